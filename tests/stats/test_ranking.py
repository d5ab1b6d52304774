"""Ranking metrics equal scikit-learn's query by query, ties and all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from millrace.base.errors import MillraceError
from millrace.stats import ranking as r

item = st.tuples(st.integers(0, 3), st.integers(0, 4).map(float), st.integers(0, 3).map(float))
lists = st.lists(item, min_size=2, max_size=24)


@given(lists, st.integers(1, 6))
@settings(max_examples=25)
def test_gain_and_precision_equal_scikit_learns(items, at):
    query, score, gain = (np.array(c) for c in zip(*items, strict=True))
    ours = r.ndcg(gain, score, query, at)
    whole = r.query_precision(gain, score, query)
    names = np.unique(query)
    for q, value in zip(names[ours.queries], ours.values, strict=True):
        inside = query == q
        if inside.sum() > 1:
            assert value == pytest.approx(ndcg_score([gain[inside]], [score[inside]], k=at), rel=1e-9)
    for q, value in zip(names[whole.queries], whole.values, strict=True):
        inside = query == q
        assert value == pytest.approx(average_precision_score(gain[inside] > 0, score[inside]), rel=1e-9)
    assert len(ours.values) == len({q for q in query.tolist() if gain[query == q].max() > 0})


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=6), st.integers(1, 7))
@settings(max_examples=40)
def test_ties_are_averaged_over_their_orders(items, at):
    """By enumeration of every order that the scores allow."""
    gain, score = np.array([g for g, _ in items]), np.array([s for _, s in items], float)
    orders = [o for o in itertools.permutations(range(len(items))) if all(np.diff(score[list(o)]) <= 0)]
    precision = r.precision_at(gain, score, np.zeros(len(items)), at).values
    recall = r.recall_at(gain, score, np.zeros(len(items)), at).values
    if gain.sum():
        hits = np.mean([gain[list(o)][:at].sum() for o in orders])
        assert precision[0] == pytest.approx(hits / min(at, len(items)))
        assert recall[0] == pytest.approx(hits / gain.sum())
        worst = min(1 / (1 + np.argmax(gain[list(o)])) for o in orders)
        assert r.reciprocal_rank(gain, score, np.zeros(len(items))).values[0] == pytest.approx(worst)
    else:
        assert len(precision) == len(recall) == 0


def test_no_rows_and_bad_input():
    assert len(r.ndcg([], [], []).values) == 0
    assert r.reciprocal_rank([0, 1], [2.0, 1.0], [7, 7], at=1).values.tolist() == [0.0]
    for call, code in (
        (lambda: r.ndcg([-1.0], [1.0], [0]), "stats.data"),
        (lambda: r.ndcg([1.0], [1.0], [0], 0), "stats.data"),
        (lambda: r.precision_at([1.0], [1.0], [0], 1.5), "stats.data"),
        (lambda: r.ndcg([1.0], [1.0, 2.0], [0]), "stats.shape"),
        (lambda: r.ndcg([1.0], [1.0], [0, 1]), "stats.shape"),
        (lambda: r.ndcg([1.0], [np.nan], [0]), "stats.data"),
    ):
        with pytest.raises(MillraceError) as caught:
            call()
        assert caught.value.code == code and caught.value.hint
