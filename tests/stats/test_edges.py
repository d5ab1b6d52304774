"""Quantiles of a stream: exact while small, within the stated rank error when large, the same whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import edges

FLOATS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


@given(FLOATS, st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_small_streams_are_exact(values: list[float], shares: list[float]) -> None:
    sketch = edges.add(edges.Sketch(), values)
    inner = [p for p in shares if abs(p * len(values) - round(p * len(values))) > 1e-6 or p in (0, 1)]
    found = edges.quantiles(sketch, inner)
    assert np.array_equal(found, np.quantile(np.asarray(values) + 0.0, inner, method="inverted_cdf"))


@given(FLOATS, st.integers(1, 50))
def test_batches_do_not_matter_while_exact(values: list[float], size: int) -> None:
    whole = edges.add(edges.Sketch(), values)
    parts = edges.Sketch()
    for start in range(0, len(values), size):
        parts = edges.add(parts, values[start : start + size])
    assert np.array_equal(edges.cuts(whole), edges.cuts(parts))
    assert (whole.rows, whole.minimum, whole.maximum) == (parts.rows, parts.minimum, parts.maximum)


def test_large_streams_are_within_the_stated_rank_error() -> None:
    values = np.random.default_rng(1).lognormal(0, 2, 400_000)
    sketch = edges.Sketch()
    for chunk in np.array_split(values, 57):
        sketch = edges.add(sketch, chunk)
    shares = np.linspace(0.005, 0.995, 199)
    ranks = np.searchsorted(np.sort(values), edges.quantiles(sketch, shares)) / values.size
    assert float(np.abs(ranks - shares).max()) < 0.002
    assert (sketch.minimum, sketch.maximum) == (values.min(), values.max())
    assert sum(level.size for level in sketch.levels) < 8 * edges.CAPACITY


@given(FLOATS)
def test_cuts_hold_the_whole_reference(values: list[float]) -> None:
    sketch = edges.add(edges.Sketch(), values)
    cut = edges.cuts(sketch)
    assert (np.diff(cut) > 0).all() and cut[0] < min(values) and cut[-1] == max(values) and cut.size <= 65
    assert np.isclose(edges.shares(sketch, cut).sum(), 1)


def test_values_that_are_not_finite_are_left_out() -> None:
    sketch = edges.add(edges.Sketch(), [np.nan, np.inf, -np.inf, 1e200, 3.0])
    assert (sketch.rows, sketch.minimum, sketch.maximum) == (1, 3.0, 3.0)


def test_bad_input_has_its_own_code() -> None:
    with pytest.raises(MillraceError) as none:
        edges.quantiles(edges.add(edges.Sketch(), [np.nan]), 0.5)
    with pytest.raises(MillraceError) as outside:
        edges.quantiles(edges.add(edges.Sketch(), [1.0]), 1.5)
    assert (none.value.code, outside.value.code) == ("stats.data", "stats.data")
