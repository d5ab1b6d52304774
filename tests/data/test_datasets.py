"""Datasets through their verbs: versions that never change, rows that stream in, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.clock import from_iso
from millrace.base.errors import MillraceError
from millrace.data import frames, life, parquet, read
from millrace.data.records import Version

NOON = from_iso("2013-03-01T12:00:00Z")
TRIPS = {"id": [1, 2, 3], "at": [NOON, NOON + 5, NOON + 9], "where": ["a", None, "c"], "length": [1.5, None, 3.0]}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    opened.call("dataset.make", {"name": "trips", "key": ["id"], "event": "at"})
    yield opened
    opened.close()


def add(platform: Platform, frame: Any, mode: str = "append", name: str = "trips") -> Version:
    content = frame if isinstance(frame, bytes) else frames.to_parquet(frame)
    digest = platform.ground.blobs.put(content)
    found: Version = platform.call("dataset.add", {"dataset": name, "files": [digest], "mode": mode})
    return found


def content(platform: Platform, number: int = 0) -> dict[str, list[Any]]:
    with platform.ground.catalog.read() as tx:
        version = read.resolve(tx, "main", "trips", number)
    found = read.columns(platform.ground.blobs, version)
    return {name: [None if value != value else value for value in values.tolist()] for name, values in found.items()}


def push(platform: Platform, **columns: Any) -> None:
    platform.call("dataset.push", {"tables": {"trips": columns}})


def table(**changes: Any) -> dict[str, Any]:
    return {**TRIPS, **changes}


CSV = (
    b"id,at,where,length\n2,2013-03-01T12:00:00.000005Z,,\n"
    b"1,2013-03-01T07:00:00-05:00,a,1.5\n3,2013-03-01 12:00:00.000009,c,3\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(TRIPS),
        pl.DataFrame(TRIPS).with_columns(pl.from_epoch("at", time_unit="us")),
        pl.DataFrame(TRIPS).with_columns(pl.from_epoch("at", time_unit="us").dt.replace_time_zone("UTC")),
        pd.DataFrame({**TRIPS, "at": pd.to_datetime(TRIPS["at"], unit="us", utc=True).tz_convert("America/New_York")}),
        pl.DataFrame(TRIPS).to_arrow(),
        {name: np.array(values, float if name == "length" else None) for name, values in TRIPS.items()},
        CSV,
    ],
    ids=["polars", "naive stamps", "UTC stamps", "pandas, New York", "arrow", "arrays", "CSV, unsorted, mixed zones"],
)
def test_the_same_rows_come_in_from_everywhere(platform: Platform, frame: Any) -> None:
    version = add(platform, frame)
    assert content(platform) == TRIPS
    assert (version.rows, version.since, version.until) == (3, NOON, NOON + 9)


def test_a_version_never_changes_and_the_same_content_makes_none(platform: Platform) -> None:
    one = add(platform, pl.DataFrame(TRIPS))
    assert add(platform, pl.DataFrame(TRIPS)) == one
    two = add(platform, pl.DataFrame(table(id=[4, 5, 6])))
    assert (two.number, two.rows, two.added) == (2, 6, 3)
    assert content(platform, 1) == TRIPS
    assert content(platform, 2)["id"] == [1, 2, 3, 4, 5, 6]
    three = add(platform, pl.DataFrame(table(id=[7, 8, 9])), mode="replace")
    assert (three.rows, content(platform)["id"]) == (3, [7, 8, 9])
    kinds = [fact.kind for fact in platform.call("audit.facts").items]
    assert kinds.count("dataset.versioned") == 3


def test_pushed_rows_wait_and_are_cut_into_a_version(platform: Platform) -> None:
    push(platform, id=[2, 1], at=["2013-03-01T12:00:00.000005Z", NOON], where=[None, "a"], length=[None, 1.5])
    push(platform, id=[3], at=[NOON + 9], where=["c"], length=[3])
    assert platform.call("dataset.get", {"dataset": "trips"}).waiting == 3
    version = platform.call("dataset.seal", {"dataset": "trips"})
    assert content(platform) == TRIPS
    assert (version.number, version.rows) == (1, 3)
    assert platform.call("dataset.get", {"dataset": "trips"}).waiting == 0
    assert platform.call("dataset.seal", {"dataset": "trips"}) == version


def test_rows_that_wait_come_before_rows_that_are_added(platform: Platform) -> None:
    push(platform, id=[1], at=[NOON], where=["a"], length=[1.5])
    add(platform, pl.DataFrame(table(id=[4, 5, 6])))
    assert content(platform)["id"] == [1, 4, 5, 6]


def test_a_push_over_several_datasets_is_all_or_nothing(platform: Platform) -> None:
    platform.call("dataset.make", {"name": "other", "event": "at"})
    tables = {"trips": TRIPS, "other": {"at": ["no time"]}}
    with pytest.raises(MillraceError):
        platform.call("dataset.push", {"tables": tables})
    assert platform.call("dataset.get", {"dataset": "trips"}).waiting == 0


def test_a_dataset_is_made_with_rows_that_are_pushed_or_not_at_all(platform: Platform) -> None:
    for tables, code in (
        ({}, "dataset.empty"),
        ({"new": {"id": []}}, "dataset.schema"),
        ({"new": {"x": [1]}}, "dataset.schema"),
    ):
        with pytest.raises(MillraceError) as caught:
            platform.call("dataset.push", {"tables": tables, "roles": {"new": {"key": ["id"]}}})
        assert caught.value.code == code
        assert "new" not in {one.name for one in platform.call("dataset.list").items}
    platform.call("dataset.push", {"tables": {"new": {"id": [1]}}, "roles": {"new": {"key": ["id"]}}})
    assert platform.call("dataset.get", {"dataset": "new"}).key == ("id",)


def test_the_summary_of_a_version_is_that_of_all_its_rows(platform: Platform) -> None:
    add(platform, pl.DataFrame(TRIPS))
    both = {summary.name: summary for summary in add(platform, pl.DataFrame(table(id=[4, 5, 60]))).summary}
    assert (both["id"].low, both["id"].high, both["id"].missing) == (1.0, 60.0, 0)
    assert both["id"].mean == pytest.approx(np.mean([1, 2, 3, 4, 5, 60]))
    assert both["id"].deviation == pytest.approx(np.std([1, 2, 3, 4, 5, 60], ddof=1))
    assert both["length"].missing == 2


def test_versions_are_compared_by_key(platform: Platform) -> None:
    add(platform, pl.DataFrame(TRIPS))
    add(platform, pl.DataFrame(table(id=[2, 3, 4], length=[9.0, 3.0, 1.0], where=["b", "c", "d"])), mode="replace")
    found = platform.call("dataset.diff", {"dataset": "trips", "before": 1})
    assert (found.added, found.gone, found.changed) == (1, 1, 2)


def test_a_preview_shows_the_first_rows_of_all_parts(platform: Platform) -> None:
    for first in (1, 4, 7):
        add(platform, pl.DataFrame(table(id=[first, first + 1, first + 2])))
    shown = platform.call("dataset.preview", {"dataset": "trips", "limit": 2}).columns
    assert (shown["id"], shown["where"]) == ([1, 2], ["a", None])
    for limit in (4, 50):
        shown = platform.call("dataset.preview", {"dataset": "trips", "limit": limit}).columns
        assert shown["id"] == list(range(1, 10))[:limit]
    assert shown["length"] == TRIPS["length"] * 3


def test_a_dataset_that_never_had_a_row_may_be_made_otherwise(platform: Platform) -> None:
    platform.call("dataset.make", {"name": "trips", "key": ["number"], "event": "at"})
    assert platform.call("dataset.get", {"dataset": "trips"}).key == ("number",)
    with pytest.raises(MillraceError, match="already"):
        platform.call("dataset.make", {"name": "trips", "key": ["number"], "event": "at"})
    push(platform, number=[1], at=[NOON])
    with pytest.raises(MillraceError, match="already"):
        platform.call("dataset.make", {"name": "trips", "key": ["id"], "event": "at"})


KINDS = {"id": "number", "at": "time", "where": "text", "length": "number"}
MAKING: dict[str, Any] = {"key": ["id"], "event": "at", "arrived": ""}


def made_with(platform: Platform, frame: Any, name: str = "rides", **said: Any) -> Version:
    files = [
        platform.ground.blobs.put(frames.to_parquet(one)) for one in (frame if isinstance(frame, list) else [frame])
    ]
    found: Version = platform.call("dataset.add", {"dataset": name, "files": files, **said})
    return found


def facts_of(platform: Platform, name: str) -> list[str]:
    return [fact.kind for fact in platform.call("audit.facts", {"subject": name}).items]


def test_a_dataset_is_made_with_its_first_version_or_not_at_all(platform: Platform) -> None:
    for frame, said, code in (
        (TRIPS, {}, "dataset.unknown"),
        (table(id=[1, 1, 1], at=[NOON] * 3), MAKING, "dataset.duplicate"),
        (TRIPS, {"key": ["nokey"]}, "dataset.schema"),
        (TRIPS, {"event": "where"}, "dataset.time"),
        (TRIPS, {**MAKING, "columns": {"where": "number"}}, "dataset.schema"),
        ([TRIPS, table(length=[1.0, float("inf"), 2.0])], MAKING, "dataset.infinite"),
        ([], MAKING, "dataset.empty"),
    ):
        with pytest.raises(MillraceError) as caught:
            made_with(platform, frame, **said)
        assert caught.value.code == code
        assert facts_of(platform, "rides") == []
    with pytest.raises(MillraceError, match="possible dataset name"):
        made_with(platform, TRIPS, "no/name", **MAKING)
    version = made_with(platform, TRIPS, **MAKING)
    assert (version.number, version.key, version.event) == (1, ("id",), "at")
    assert facts_of(platform, "rides") == ["dataset.made", "dataset.versioned"]
    assert made_with(platform, TRIPS, **MAKING) == made_with(platform, TRIPS) == version
    assert made_with(platform, TRIPS, key=["id"]) == made_with(platform, TRIPS, key=[], event="") == version


def test_rows_for_a_dataset_of_another_key_are_refused(platform: Platform) -> None:
    made_with(platform, TRIPS, **MAKING)
    for said, told in (
        ({"key": ["where"]}, "with key 'id', not with key 'where'"),
        ({"key": ["id", "where"], "event": "at"}, "with key 'id', not with key 'id', 'where'"),
        ({**MAKING, "arrived": "at"}, "with arrived none, not with arrived 'at'"),
    ):
        with pytest.raises(MillraceError, match=told) as caught:
            made_with(platform, table(id=[7, 8, 9]), **said)
        assert caught.value.code == "dataset.schema"
    assert len(platform.call("dataset.versions", {"dataset": "rides"}).items) == 1


def test_a_dataset_that_never_had_a_row_is_made_otherwise_by_its_first_version(platform: Platform) -> None:
    with pytest.raises(MillraceError, match="nokey"):
        made_with(platform, TRIPS, "trips", key=["nokey"])
    assert platform.call("dataset.get", {"dataset": "trips"}).key == ("id",)
    version = made_with(platform, TRIPS, "trips", key=["at", "id"], columns=KINDS)
    assert (version.key, version.event, version.columns[0].kind) == (("at", "id"), "at", "number")


def test_of_many_who_make_a_dataset_at_once_one_does(platform: Platform) -> None:
    def one(number: int) -> str:
        key = ["id"] if number % 2 else ["at", "id"]
        try:
            return str(made_with(platform, table(id=[3 * number + row for row in range(3)]), key=key).rows)
        except MillraceError as fault:
            return fault.code

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))
    assert sorted(found) == ["12", "3", "6", "9", *["dataset.schema"] * 4]
    assert facts_of(platform, "rides").count("dataset.made") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "dataset.empty"),
        (b"PAR1 not really", "dataset.unreadable"),
        (b"\xff\xfe\x00\x01", "dataset.unreadable"),
        (pl.DataFrame(TRIPS).clear(), "dataset.empty"),
        (pl.DataFrame(table(id=[1, 1, 1], at=[NOON] * 3)), "dataset.duplicate"),
        (pl.DataFrame(table(id=[1, None, 2])), "dataset.null"),
        (pl.DataFrame(table(at=[NOON, NOON, None])), "dataset.null"),
        (pl.DataFrame(table(length=[1.0, float("inf"), 2.0])), "dataset.infinite"),
        (pl.DataFrame(TRIPS).drop("at"), "dataset.schema"),
        (pl.DataFrame(table(at=["noon", "later", "never"])), "dataset.time"),
        (pl.DataFrame(table(length=[[1], [2], [3]])), "dataset.kind"),
    ],
)
def test_what_cannot_enter_is_refused_and_leaves_nothing(platform: Platform, frame: Any, code: str) -> None:
    with pytest.raises(MillraceError) as caught:
        add(platform, frame)
    assert caught.value.code == code
    assert caught.value.hint
    assert platform.call("dataset.get", {"dataset": "trips"}).latest == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"id": [1], "at": [NOON], "where": ["a"]}, "dataset.schema"),
        (table(more=[1, 2, 3]), "dataset.schema"),
        (table(where=[1, 2, 3]), "dataset.schema"),
        (table(id=[1.5, 2, 3]), "dataset.schema"),
        (table(id=[True, 2, 3]), "dataset.schema"),
        (table(at=["yesterday"] * 3), "dataset.time"),
        (table(id=[1, 2**63, 3]), "dataset.whole"),
        (table(id=[1, 2]), "dataset.schema"),
        (table(id=[], at=[], where=[], length=[]), "dataset.empty"),
    ],
)
def test_pushed_rows_must_fit_the_schema(platform: Platform, columns: dict[str, Any], code: str) -> None:
    add(platform, pl.DataFrame(TRIPS))
    with pytest.raises(MillraceError) as caught:
        push(platform, **columns)
    assert caught.value.code == code


def test_a_mistyped_name_is_told_the_nearest(platform: Platform) -> None:
    with pytest.raises(MillraceError) as caught:
        platform.call("dataset.get", {"dataset": "tripz"})
    assert (caught.value.code, caught.value.hint) == ("dataset.unknown", "did you mean 'trips'?")
    with pytest.raises(MillraceError, match="no version yet"):
        platform.call("dataset.preview", {"dataset": "trips"})


def test_a_frame_must_be_a_table(tmp_path: Path) -> None:
    with pytest.raises(MillraceError, match="no table"):
        frames.to_parquet(7)
    with pytest.raises(MillraceError, match=r"nowhere\.csv"):
        frames.to_parquet(tmp_path / "nowhere.csv")


def test_the_same_columns_are_the_same_bytes_and_come_back() -> None:
    columns = {"n": np.array([1, 2]), "x": np.array([0.5, np.nan]), "t": np.array(["a", None], object)}
    packed = parquet.write(columns)
    assert parquet.write(columns) == packed
    for name, values in parquet.read(packed).items():
        np.testing.assert_array_equal(values, columns[name])
    with pytest.raises(MillraceError, match="'y'"):
        parquet.read(packed, ["y"])


def test_a_packed_batch_comes_back_as_it_went(platform: Platform) -> None:
    version = add(platform, pl.DataFrame(TRIPS))
    columns = read.columns(platform.ground.blobs, version)
    for name, values in life.unpack(life.pack(columns, version.columns)).items():
        np.testing.assert_array_equal(values, columns[name])
