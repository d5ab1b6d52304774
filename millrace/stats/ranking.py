"""Metrics of ranked lists: one value a query, so that the query is the unit of evidence.

Claim: normalised discounted gain and average precision of each query equal scikit-learn's to 1e-9, ties averaged over
their orders for the gain; the metric is the plain mean over queries (`mean_influence`, then `band(unit="entity")`).
Unit of evidence: the query. A query without a relevant item says nothing and is left out (NaN inside, never in an
answer).
What breaks it: rows of one query counted apart, or relevance that was only seen where the model ranked high.
Sources: Järvelin & Kekäläinen 2002; McSherry & Najork 2008 for ties.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.bands import units_of
from millrace.stats.verdict import Floats, Ints, check_whole, column, same_length


class Ranked(NamedTuple):
    """`queries`: (k,) the numbers of the queries that say something, rising; `values`: (k,) the metric of each."""

    queries: Ints
    values: Floats


def ndcg(relevance: ArrayLike, scores: ArrayLike, queries: ArrayLike, at: int | None = None) -> Ranked:
    """Normalised discounted cumulative gain of each query's first `at` items, from 0 to 1.

    `relevance`: (n,) ≥ 0; `scores`: (n,); `queries`: (n,) as in `units_of`. Errors: stats.data, stats.shape.
    """
    gains = column(relevance, "relevances")
    if gains.size and float(gains.min()) < 0:
        raise MillraceError("stats.data", "a relevance is negative", "count gains from 0 up")

    def one(gain: Floats, score: Floats, limit: int) -> float:
        discount = 1 / np.log2(np.arange(2, len(gain) + 2))
        discount[limit:] = 0
        best = float(np.sort(gain)[::-1] @ discount)
        _, group, sizes = np.unique(-score, return_inverse=True, return_counts=True)
        mean_gain = np.bincount(group, weights=gain) / sizes
        ends = np.cumsum(sizes)
        running = np.concatenate([[0.0], np.cumsum(discount)])
        return float(mean_gain @ (running[ends] - running[ends - sizes])) / best if best > 0 else np.nan

    return _each(one, gains, scores, queries, at)


def reciprocal_rank(relevance: ArrayLike, scores: ArrayLike, queries: ArrayLike, at: int | None = None) -> Ranked:
    """1/rank of each query's first relevant item, 0 when it comes after `at`; equal scores rank at their worst."""

    def one(gain: Floats, score: Floats, limit: int) -> float:
        relevant = score[gain > 0]
        if not len(relevant):
            return np.nan
        rank = int((score >= relevant.max()).sum()) - int((relevant == relevant.max()).sum()) + 1
        return 1 / rank if rank <= limit else 0.0

    return _each(one, column(relevance, "relevances"), scores, queries, at)


def precision_at(relevance: ArrayLike, scores: ArrayLike, queries: ArrayLike, at: int = 10) -> Ranked:
    """The share of relevant items among each query's first `at` (or all, if there are fewer), ties averaged."""

    def one(gain: Floats, score: Floats, limit: int) -> float:
        return _top(gain, score, limit) / min(limit, len(gain)) if bool((gain > 0).any()) else np.nan

    return _each(one, column(relevance, "relevances"), scores, queries, at)


def recall_at(relevance: ArrayLike, scores: ArrayLike, queries: ArrayLike, at: int = 10) -> Ranked:
    """The share of each query's relevant items that are among its first `at`, ties averaged."""

    def one(gain: Floats, score: Floats, limit: int) -> float:
        relevant = int((gain > 0).sum())
        return _top(gain, score, limit) / relevant if relevant else np.nan

    return _each(one, column(relevance, "relevances"), scores, queries, at)


def query_precision(relevance: ArrayLike, scores: ArrayLike, queries: ArrayLike) -> Ranked:
    """Average precision of each query, ties together; its mean over queries is known as MAP."""

    def one(gain: Floats, score: Floats, _: int) -> float:
        hit = (gain > 0).astype(np.float64)
        if not hit.any():
            return np.nan
        group = np.unique(-score, return_inverse=True)[1]
        hits, items = np.bincount(group, weights=hit), np.bincount(group)
        return float(hits @ (np.cumsum(hits) / np.cumsum(items))) / float(hit.sum())

    return _each(one, column(relevance, "relevances"), scores, queries, None)


def _top(gain: Floats, score: Floats, limit: int) -> float:
    """The expected number of relevant items among the first `limit` when ties are broken at random."""
    _, group, sizes = np.unique(-score, return_inverse=True, return_counts=True)
    hits = np.bincount(group, weights=(gain > 0).astype(np.float64))
    before = np.cumsum(sizes) - sizes
    return float(hits @ (np.clip(limit - before, 0, sizes) / sizes))


def _each(
    one: Callable[[Floats, Floats, int], float],
    gains: Floats,
    scores: ArrayLike,
    queries: ArrayLike,
    at: int | None,
) -> Ranked:
    score = column(scores, "scores")
    n = same_length("relevances and scores", gains, score)
    number = units_of(queries, n)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(int(number.max()) + 2 if n else 1))
    limit = check_whole(at, "length of a list", least=1) if at is not None else max(n, 1)
    found = [one(gains[order[a:b]], score[order[a:b]], limit) for a, b in pairwise(starts.tolist())]
    values = np.asarray(found, np.float64)
    says = ~np.isnan(values)
    return Ranked(np.flatnonzero(says).astype(np.int64), values[says])
