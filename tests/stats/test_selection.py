"""A layout is made from the very rows that it is compared with: no choice by their counts may look like a change."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from millrace.base.clock import DAY
from millrace.stats import distinct, drift_start, drift_update, first_pass, layout, layout_of, profile
from millrace.stats.bins import KNOWN, LEVELS, RELIABLE, SMALLEST, codes
from millrace.stats.chi_square import chi_square_tail
from millrace.stats.contrast import contrast, grid, grouped

WEEK = 7 * DAY
ZIPF = 1 / np.arange(1, 4_001)


def values(rng, kinds, rows, share=None):
    chosen = rng.integers(0, kinds, rows) if share is None else rng.choice(kinds, rows, p=share / share.sum())
    return {"c": np.array([f"v{at}" for at in chosen], object)}


def joined(parts):
    return {"c": np.concatenate([part["c"] for part in parts])}


@pytest.mark.parametrize(("kinds", "rows"), [(100, 1_000), (200, 5_000), (400, 5_000)])
def test_a_second_sample_of_many_values_is_no_change(kinds, rows):
    """60 pairs of samples: the statistic's null holds, and the debiased index is near 0."""
    rng = np.random.default_rng(kinds)
    small, index = 0, []
    for _ in range(60):
        first, second = values(rng, kinds, rows), values(rng, kinds, rows)
        cells = layout(first)
        found = grid(cells)
        apart = contrast(
            grouped(profile(second, cells), found), grouped(profile(first, cells), found).astype(float), found.starts
        )
        assert apart.degrees[0] > 20
        small += chi_square_tail(apart.statistic[0], apart.degrees[0]) < 0.05
        index.append(apart.psi[0])
    assert small <= 9  # of 60 at 5 %: beyond it with probability 0.2 %
    assert abs(np.mean(index)) < 0.005


@pytest.mark.parametrize(
    ("kinds", "rows", "share"), [(4_000, 1_000, ZIPF), (250, 100, None), (3_000, 500, ZIPF[:3_000] ** 0.5)]
)
def test_training_rows_that_made_the_layout_are_no_ideal(kinds, rows, share):
    """Weeks from the distribution of the training raise no alarm, though each brings values that it never had."""
    rng = np.random.default_rng(rows)
    training = [values(rng, kinds, rows, share) for _ in range(26)]
    cells = layout(joined(training))
    watch = drift_start(
        cells,
        window_us=WEEK,
        against="training",
        history=[(at * WEEK, profile(day, cells)) for at, day in enumerate(training)],
    )
    for at in range(26, 56):
        watch, report = drift_update(
            watch, cells, at * WEEK, profile(values(rng, kinds, rows, share), cells), quick=True
        )
        assert report.verdict.decision != "alarm", (at, report.verdict.because)


def test_texts_bring_new_words_without_an_alarm():
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, 20_001)
    share /= share.sum()

    def week():
        words = rng.choice(20_000, (300, 10), p=share)
        return {"t": np.array([" ".join(f"w{word}" for word in row) for row in words], object)}

    training = [week() for _ in range(26)]
    kinds = {"t": "text"}
    cells = layout({"t": np.concatenate([part["t"] for part in training])}, kinds)
    history = [(at * WEEK, profile(part, cells)) for at, part in enumerate(training)]
    watch = drift_start(cells, window_us=WEEK, against="training", history=history)
    for at in range(26, 46):
        watch, report = drift_update(watch, cells, at * WEEK, profile(week(), cells))
        assert report.verdict.decision != "alarm", (at, report.verdict.because)
    strange = {"t": np.array(["zzyx qwrk plmf " * 3] * 300, object)}
    _, report = drift_update(watch, cells, 46 * WEEK, profile(strange, cells))
    assert report.verdict.decision == "alarm"


def test_an_unseen_value_stands_alone_where_the_reference_had_all_often():
    cells = layout({"c": np.array(["a", "b"] * 500, object)}).columns["c"]
    assert cells.groups == (0, 1, 2, 3, 4)
    many = layout({"c": np.array([f"v{at}" for at in range(1_000)], object)}).columns["c"]
    assert many.groups[-2] == many.groups[-3] == many.groups[-1] - 1


def test_large_values_stand_alone_and_the_small_do_not_follow_their_counts():
    counts = Counter({"big": 5_000, "mid": 200} | {f"v{at}": 12 + at % 7 for at in range(300)})
    column = np.array([value for value, count in counts.items() for _ in range(count)], object)
    cells = layout({"c": column}).columns["c"]
    assert cells.levels[:2] == ("big", "mid")
    assert cells.groups[:2] == (0, 1)
    listed = [counts[value] for value in cells.levels[2:]]
    assert listed != sorted(listed, reverse=True)
    assert len(cells.levels) == 255


def told_plainly(counts: Counter[str]) -> tuple[tuple[str, ...], bytes]:
    """The rule of what is listed and what is remembered, in as few words as there are."""
    least = max(RELIABLE, SMALLEST * counts.total())
    large = sorted((value for value, count in counts.items() if count >= least), key=lambda v: (-counts[v], v))
    small = sorted((value for value in counts if counts[value] < least), key=lambda v: (distinct.text_code(v), v))
    rest = small[LEVELS - len(large) :][:KNOWN]
    return (*large, *small[: LEVELS - len(large)]), codes(rest)


@pytest.mark.parametrize("kinds", [0, 1, 40, 254, 255, 256, 257, 3_000, 70_000])
@pytest.mark.parametrize("bits", [32, 8])
def test_what_is_listed_follows_the_rule_also_where_hashes_meet(kinds, bits, monkeypatch):
    """With hashes of 8 bits most values share theirs, and the order of values decides."""
    whole = distinct.text_code
    monkeypatch.setattr(distinct, "text_code", lambda text: whole(text) >> (32 - bits))
    rng = np.random.default_rng(kinds)
    column = np.array([f"v{at}" for at in range(kinds)] + [f"v{at}" for at in rng.zipf(1.3, 5_000) % max(kinds, 1)])
    column = (column if kinds else column[:0]).astype(object)
    cells = layout({"c": column}, {"c": "category"}).columns["c"]
    levels, rest = told_plainly(Counter(column.tolist()))
    assert cells.levels == levels
    assert cells.rest == rest and cells.open == (kinds - len(levels) > KNOWN)


def test_each_value_is_hashed_once_and_nothing_else_is_done_value_by_value():
    """A million values cost half a second so, and four with a key for each in a sort."""
    scan = first_pass({"c": np.array([f"v{at}" for at in range(20_000)], object)})
    calls = 0

    def count(_frame, event, _what):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        layout_of(scan)
    finally:
        sys.setprofile(None)
    assert calls < 22_000
