"""Segments that stay decoded: as many rows as fit, and the last one whatever its size."""

from __future__ import annotations

from millrace.serving import entry as entries
from millrace.serving.records import Logged
from millrace.serving.segments import Decoded
from tests.serving.entries import entry


def rows(count: int) -> Logged:
    return entries.flatten([entry("r", list(range(count)), [0.5] * count)])


def test_the_last_rows_stay_and_one_segment_always_does() -> None:
    kept, small, large = Decoded(10), rows(4), rows(50)
    for name in ("a", "b", "b", "c"):
        kept.put(name, small)
    assert [kept.get(name) is small for name in "abc"] == [False, True, True]
    kept.get("b")
    kept.put("d", small)
    assert [kept.get(name) is small for name in "bcd"] == [True, False, True]
    kept.put("e", large)
    assert [kept.get(name) is not None for name in "bde"] == [False, False, True]
