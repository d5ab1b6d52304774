"""Packed series give back what was logged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.tracking import rules, series
from millrace.tracking.records import Point

points = st.lists(
    st.builds(
        Point,
        st.sampled_from(["a", "b"]),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.integers(0, 50),
        st.integers(1, 5),
    ),
    max_size=200,
)


def key_of(row: tuple[int, int, float]) -> tuple[int, int, bool, float]:
    return (row[0], row[1], math.isnan(row[2]), 0.0 if math.isnan(row[2]) else row[2] + 0.0)


@pytest.mark.slow
@given(points)
def test_sealing_keeps_each_distinct_point_once_in_order(given_points: list[Point]) -> None:
    unpacked = series.unpack_batch(series.pack_batch(given_points))
    for key in {p.key for p in given_points}:
        segments = series.seal(unpacked[key])
        rows = np.concatenate([series.unpack_points(s.points, s.length) for s in segments])
        wanted = {
            key_of((p.step, p.at, math.nan if p.value is None else p.value)) for p in given_points if p.key == key
        }
        assert [key_of(tuple(row)) for row in rows.tolist()] == sorted(wanted)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500), st.integers(1, 20))
def test_peaks_hold_every_extreme(values: list[float], size: int) -> None:
    rows = np.zeros(len(values), series.EMPTY.dtype)
    rows["step"], rows["value"] = np.arange(len(values)), values
    peaks = series.peaks_of(rows, size)
    merged = series.merged_peaks(peaks, 3)
    for found in (peaks, merged):
        assert found["low"].min() == min(values) and found["high"].max() == max(values)
    chunks = [values[i : i + size] for i in range(0, len(values), size)]
    assert peaks["low"].tolist() == [min(chunk) for chunk in chunks]


def test_a_long_series_is_small() -> None:
    rows = np.zeros(200_000, series.EMPTY.dtype)
    rows["step"] = np.arange(200_000)
    rows["at"] = 1_700_000_000_000_000 + np.arange(200_000) * 1_000
    rows["value"] = np.random.default_rng(1).normal(size=200_000)
    segments = series.seal(rows)
    assert [s.length for s in segments] == [65_536, 65_536, 65_536, 3_392]
    assert sum(len(s.points) for s in segments) / 200_000 < 10.5


@given(points)
def test_newest_is_the_largest_step_time_and_value(given_points: list[Point]) -> None:
    for key, point in rules.newest(given_points).items():
        rows = [(p.step, p.at, -math.inf if p.value is None else p.value) for p in given_points if p.key == key]
        assert (point.step, point.at, -math.inf if point.value is None else point.value) == max(rows)
