"""The log as a file: every answer of a window once, beside its outcome, however it is cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.assemble import Platform
from millrace.base.clock import HOUR
from millrace.base.errors import MillraceError
from millrace.data import parquet
from millrace.serving import export
from millrace.serving.records import Endpoint, Segment
from tests.serving.test_sealing import advance, write


def exported(platform: Platform, **asked: object) -> parquet.Columns:
    made = platform.call("prediction.export", {"endpoint": "delays", "since": 0, "until": 9 * HOUR, **asked})
    found = parquet.read(platform.ground.blobs.path(made.digest))
    assert made.columns == list(found) and made.rows == len(found["id"])
    return found


def test_answers_stand_beside_their_outcomes(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5, 2.5])
    write(platform, delays, "b", [1.5])
    advance(platform, 2)
    platform.call(
        "label.add",
        {"endpoint": "delays", "ids": ["b:0", "a:1"], "values": [1.0, None], "states": ["", "cancelled"],
         "event": [HOUR * 3 // 2, HOUR * 5 // 2], "arrived": [5 * HOUR, 6 * HOUR]},
    )  # fmt: skip
    found = exported(platform)
    assert found["id"].tolist() == ["a:0", "b:0", "a:1"]
    assert np.array_equal(found["score"], [0.005, 0.015, 0.025])
    assert np.array_equal(found["label"], [np.nan, 1, np.nan], equal_nan=True)
    assert found["state"].tolist() == [None, "", "cancelled"]
    assert np.array_equal(found["label_arrived"], [np.nan, 5 * HOUR, 6 * HOUR], equal_nan=True)
    inputs = {name for name in found if name.startswith("input.")}
    assert inputs and not inputs & set(exported(platform, inputs=False))
    assert exported(platform, since=HOUR, until=2 * HOUR)["id"].tolist() == ["b:0"]


def test_a_window_without_answers_is_a_file_without_rows(platform: Platform, delays: Endpoint) -> None:
    assert exported(platform)["id"].tolist() == []
    write(platform, delays, "a", [0.5])
    assert exported(platform, role="shadow")["id"].tolist() == []
    assert exported(platform, role="")["id"].tolist() == ["a:0"]


def test_a_log_larger_than_a_span_is_whole(
    platform: Platform, delays: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(6):
        write(platform, delays, f"r{hour}", [hour + 0.5, hour + 0.7])
    advance(platform, 5)
    at_once = exported(platform)
    assert len(at_once["id"]) == 12
    monkeypatch.setattr(export, "SPAN_ROWS", 3)
    in_spans = exported(platform)
    assert repr([(name, values.tolist()) for name, values in in_spans.items()]) == repr(
        [(name, values.tolist()) for name, values in at_once.items()]
    )


@given(
    rows=st.lists(st.integers(0, 90), max_size=12),
    size=st.integers(1, 200),
    since=st.integers(-3, 6),
    length=st.integers(0, 12),
)
def test_spans_cover_the_window_once(rows: list[int], size: int, since: int, length: int) -> None:
    sealed = [Segment(hour, hour + 1, 0, "", "", count) for hour, count in enumerate(rows)]
    cut = export.spans(sealed, since, since + length, size)
    assert cut[0][0] == since and cut[-1][1] == since + length
    assert all(before[1] == after[0] for before, after in itertools.pairwise(cut))
    for first, last in cut[:-1]:
        inside = [segment.rows for segment in sealed if first < segment.until <= last]
        assert sum(inside) >= size or first == since


@pytest.mark.parametrize("op", ["prediction.export", "prediction.search", "label.coverage"])
@pytest.mark.parametrize(("since", "until"), [(2 * HOUR, HOUR), (HOUR, HOUR)])
def test_a_window_that_holds_no_time_is_refused(platform: Platform, op: str, since: int, until: int) -> None:
    with pytest.raises(MillraceError, match="is not after since") as caught:
        platform.call(op, {"endpoint": "delays", "since": since, "until": until})
    assert (caught.value.code, caught.value.hint) == ("request.invalid", "give the earlier time as since")
