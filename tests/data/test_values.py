"""Nothing is falsified on the way in: whole numbers, times and nulls come out as they were given, or are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet_of
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.assemble import Platform, open_platform
from millrace.base.clock import from_iso
from millrace.base.errors import MillraceError
from millrace.data import frames, ingest, life, parquet, read, rules
from millrace.data.records import Column, Dataset

FAR = 2**53 + 1
ROWS = {"id": [1, 2], "at": [20, 10]}
MORE = {"id": [3, 4], "at": [30, 40]}
KEYED = Dataset("rides", ("id",), "at", "", (), 0)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    opened.call("dataset.make", {"name": "rides", "key": ["id"], "event": "at"})
    yield opened
    opened.close()


def add(platform: Platform, frame: Any) -> None:
    digest = platform.ground.blobs.put(frame if isinstance(frame, bytes) else frames.to_parquet(frame))
    platform.call("dataset.add", {"dataset": "rides", "files": [digest]})


def push(platform: Platform, columns: dict[str, list[Any]]) -> None:
    platform.call("dataset.push", {"tables": {"rides": columns}})


def shown(platform: Platform) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = platform.call("dataset.preview", {"dataset": "rides"}).columns
    return found


def code_of(platform: Platform, frame: Any) -> str:
    return refusal(platform, frame).code


def refusal(platform: Platform, frame: Any) -> MillraceError:
    with pytest.raises(MillraceError) as caught:
        add(platform, frame)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("way", ["add", "csv", "polars", "pandas", "push"])
def test_whole_numbers_of_64_bits_stay_exact_beside_the_nulls_of_other_rows(platform: Platform, way: str) -> None:
    for columns in ({**ROWS, "v": [FAR, -FAR]}, {**MORE, "v": [3, None]}):
        frame: Any = columns
        if way == "csv":
            frame = pl.DataFrame(columns).write_csv().encode()
        elif way == "polars":
            frame = pl.DataFrame(columns)
        elif way == "pandas":
            frame = pd.DataFrame({name: pd.Series(values, dtype="Int64") for name, values in columns.items()})
        if way == "push":
            push(platform, columns)
        else:
            add(platform, frame)
    if way == "push":
        platform.call("dataset.seal", {"dataset": "rides"})
    assert shown(platform) == {"id": [2, 1, 3, 4], "at": [10, 20, 30, 40], "v": [-FAR, FAR, 3, None]}
    with platform.ground.catalog.read() as tx:
        version = read.resolve(tx, "main", "rides")
    assert version.columns[2] == Column("v", "whole")
    with pytest.raises(MillraceError, match=str(FAR)) as caught:
        read.columns(platform.ground.blobs, version)
    assert caught.value.code == "dataset.whole"
    assert read.columns(platform.ground.blobs, version, ["id"])["id"].tolist() == [2, 1, 3, 4]


@pytest.mark.parametrize(
    "frame",
    [
        {**ROWS, "v": [FAR, None]},
        pl.DataFrame({**ROWS, "v": [FAR, None]}),
        pd.DataFrame({**ROWS, "v": pd.Series([FAR, None], dtype=object)}),
        f"id,at,v\n1,20,{FAR}\n2,10,\n".encode(),
    ],
    ids=["mapping", "polars", "pandas", "CSV"],
)
def test_whole_numbers_that_no_column_in_memory_tells_are_refused_at_the_door(platform: Platform, frame: Any) -> None:
    assert code_of(platform, frame) == "dataset.whole"
    with pytest.raises(MillraceError, match=str(FAR)):
        push(platform, {**ROWS, "v": [FAR, None]})


@pytest.mark.parametrize(
    "frame",
    [
        {"id": [2**65, 2**65 + 1], "at": [1, 2]},
        {"id": [2**63, -1], "at": [1, 2]},
        {"id": np.array([2**63, 1], np.uint64), "at": [1, 2]},
        pd.DataFrame({"id": [2**65, 2**65 + 1], "at": [1, 2]}),
        pl.DataFrame({"id": pl.Series([2**63, 1], dtype=pl.UInt64), "at": [1, 2]}),
        f"id,at\n{2**65},1\n{2**65 + 1},2\n".encode(),
    ],
    ids=["mapping", "mixed signs", "uint64", "pandas", "polars", "CSV"],
)
def test_whole_numbers_beyond_64_bits_are_refused(platform: Platform, frame: Any) -> None:
    with pytest.raises(MillraceError, match=r"36893488147419103232|9223372036854775808") as caught:
        add(platform, frame)
    assert caught.value.code == "dataset.whole"


def test_nulls_keep_the_kind_of_a_column(platform: Platform) -> None:
    add(platform, {**ROWS, "late": [True, None], "n": [None, 2**53], "on": [datetime(2020, 1, 1), None]})
    assert [column.kind for column in platform.call("dataset.get", {"dataset": "rides"}).columns] == [
        "whole", "time", "bool", "whole", "time"
    ]  # fmt: skip
    add(platform, {**MORE, "late": [False, True], "n": [1, 2], "on": [None, date(2020, 1, 2)]})
    day = from_iso("2020-01-01")
    assert shown(platform) == {
        "id": [2, 1, 3, 4], "at": [10, 20, 30, 40], "late": [None, True, False, True], "n": [2**53, None, 1, 2],
        "on": [None, day, None, day + 86_400_000_000],
    }  # fmt: skip
    found = platform.call("dataset.diff", {"dataset": "rides", "before": 1})
    assert (found.added, found.changed) == (2, 0)


def test_every_value_that_python_has_comes_in_or_is_refused(platform: Platform) -> None:
    one, stamp = UUID(int=1), datetime(2020, 1, 1)
    columns = {
        **ROWS,
        "text": [one, None],
        "cost": [Decimal("1.5"), float("nan")],
        "series": pd.Series(["a", None], dtype="category"),
        "masked": np.ma.MaskedArray([5, 6], [False, True]),
        "small": np.array([1, 2], np.float16),
        "scalars": [np.int8(1), np.int64(FAR)],
        "zones": [stamp, stamp.replace(tzinfo=UTC)],
        "nanos": np.array(["2020-01-01T00:00:00.000000999", "NaT"], "datetime64[ns]"),
        "york": pd.Series([stamp, stamp]).dt.tz_localize("America/New_York"),
        "polars": pl.Series([FAR, 3]),
    }
    add(platform, columns)
    day = from_iso("2020-01-01")
    assert {name: values[::-1] for name, values in shown(platform).items()} == {
        **ROWS, "text": [str(one), None], "cost": [1.5, None], "series": ["a", None], "masked": [5, None],
        "small": [1.0, 2.0], "scalars": [1, FAR], "zones": [day, day], "nanos": [day, None],
        "york": [day + 5 * 3_600_000_000] * 2, "polars": [FAR, 3],
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({}, "dataset.empty"),
        ({"id": [], "at": []}, "dataset.empty"),
        ({"id": [1, 2], "at": [1]}, "dataset.schema"),
        ({**ROWS, "v": [1, "a"]}, "dataset.schema"),
        ({**ROWS, "v": [datetime(2020, 1, 1), 5]}, "dataset.schema"),
        ({**ROWS, "v": [b"x", b"y"]}, "dataset.kind"),
        ({**ROWS, "v": [[1], [2]]}, "dataset.kind"),
        ({**ROWS, "v": np.zeros((2, 2))}, "dataset.kind"),
        ({**ROWS, "v": np.zeros(2, complex)}, "dataset.kind"),
        ({**ROWS, "v": 7}, "dataset.kind"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["id", "id"]), "dataset.schema"),
        (pl.DataFrame({**ROWS, "v": [object(), object()]}), "dataset.kind"),
        (pl.DataFrame({**ROWS, "v": pl.Series([1, 2], dtype=pl.Int128)}), "dataset.unreadable"),
        (b"id,at\n", "dataset.empty"),
        (b"id,at,v\n1,20,inf\n", "dataset.infinite"),
        (b"id,at,v\n1,inf,2\n", "dataset.time"),
        (pl.DataFrame({"id": [1], "at": pl.Series([2**63], dtype=pl.UInt64)}), "dataset.time"),
    ],
)
def test_what_is_no_table_of_plain_columns_is_told_by_code(platform: Platform, frame: Any, code: str) -> None:
    assert code_of(platform, frame) == code
    add(platform, {**ROWS, "v": [1.5, 2.0]})
    assert code_of(platform, frame) in (code, "dataset.schema" if code != "dataset.empty" else code)


def long_csv(odd: Any, even: str = "{}") -> bytes:
    """25,000 rows, more than are looked at to guess what a column holds; the last but 99 has `odd`."""
    rows = [f"{row},{row},{odd if row == 24_900 else even.format(row)}" for row in range(25_000)]
    return "\n".join(["id,at,line", *rows, ""]).encode()


@pytest.mark.parametrize(("odd", "even"), [("oops", "{}"), ("oops", "{}.5"), ("perhaps", "true"), ("oops", "1e{}")])
def test_a_late_value_of_another_kind_is_told_with_its_line(platform: Platform, odd: str, even: str) -> None:
    fault = refusal(platform, long_csv(odd, even.replace("1e{}", "1e5")))
    assert fault.code == "dataset.schema"
    assert "'line' of 'rides'" in fault.message
    assert f"{odd!r} in line 24902" in fault.message


def test_a_late_fraction_rounds_nothing(platform: Platform) -> None:
    add(platform, long_csv(1.5))
    version = platform.call("dataset.versions", {"dataset": "rides"}).items[-1]
    columns = read.columns(platform.ground.blobs, version)
    assert columns["line"][24_900] == 1.5
    assert columns["line"][24_901] == 24_901


def test_a_late_value_that_is_no_time_is_told_with_its_line(platform: Platform) -> None:
    head = [f"{row},{row},2013-01-01" for row in range(25_000)]
    for odd, code, told in (
        ("24900,soon,2013-01-01", "dataset.time", "'at' of 'rides' is whole at first, and 'soon' in line 24902"),
        ("24900,1,soon", "dataset.schema", "'on' of 'rides' is time at first, and 'soon' in line 24902"),
        ("24900,1,25", "dataset.schema", "'on' of 'rides' is time at first, and '25' in line 24902"),
        ("24900,1", "dataset.unreadable", "line 24902 has 2 of the 3 values that the head names"),
    ):
        fault = refusal(platform, "\n".join(["id,at,on", *head[:24_900], odd, *head[24_901:], ""]).encode())
        assert fault.code == code
        assert told in fault.message


def test_a_late_stamp_may_be_written_otherwise(platform: Platform) -> None:
    rows = [f"{row},2013-01-01 00:00:00" for row in range(25_000)]
    rows[24_900] = "24900,2013-01-01T00:00Z"
    add(platform, "\n".join(["id,at", *rows, ""]).encode())
    assert platform.call("dataset.versions", {"dataset": "rides"}).items[-1].rows == 25_000


@pytest.mark.parametrize("odd", ["never", "it's late", "1356998400000000"])
def test_a_late_stamp_that_is_none_is_told_with_its_line(platform: Platform, odd: str) -> None:
    rows = [f"{row},2013-01-01 00:00:00" for row in range(25_000)]
    rows[24_900] = f"24900,{odd}"
    fault = refusal(platform, "\n".join(["id,at", *rows, ""]).encode())
    assert fault.code == "dataset.time"
    assert f"{odd!r} in line 24902, which is no time" in fault.message


def test_lines_are_counted_as_an_editor_does(platform: Platform) -> None:
    rows = [f'{row},{row},"two\nlines",{row}' for row in range(25_000)]
    rows[24_900] = "24900,1,one,oops"
    fault = refusal(platform, "\n".join(["id,at,text,n", *rows, ""]).encode())
    assert "'oops' in line 49802" in fault.message


def test_decimals_without_places_are_whole(platform: Platform) -> None:
    near, far = (pl.Series([Decimal(value), Decimal(1)], dtype=pl.Decimal(38, 0)) for value in (FAR, 2**65))
    add(platform, pl.DataFrame({**ROWS, "v": near}))
    assert shown(platform)["v"] == [1, FAR]
    assert code_of(platform, pl.DataFrame({**MORE, "v": far})) == "dataset.whole"
    add(platform, {**MORE, "v": [Decimal(FAR), Decimal("1E+3")]})
    assert shown(platform)["v"] == [1, FAR, FAR, 1_000]


@pytest.mark.parametrize("places", [2, 18])
def test_decimals_are_exact_or_refused(platform: Platform, places: int) -> None:
    def typed(*values: str) -> pl.DataFrame:
        return pl.DataFrame({**ROWS, "v": pl.Series([Decimal(v) for v in values], dtype=pl.Decimal(38, places))})

    fine = ("12345678901.23", "-0.10")
    many = ("12345678901234567.89", "0.10")
    for frame in (typed(*many), typed(*many).to_pandas(), {**ROWS, "v": list(map(Decimal, many))}):
        with pytest.raises(MillraceError, match=r"12345678901234567\.89.*no float64 tells it") as caught:
            add(platform, frame)
        assert caught.value.code == "dataset.whole"
    for frame in (typed(*fine), typed(*fine).to_pandas(), {**ROWS, "v": list(map(Decimal, fine))}):
        add(platform, frame)
        assert shown(platform)["v"] == [-0.1, 12345678901.23]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=6))
def test_a_decimal_is_the_number_that_prints_as_it(value: Decimal) -> None:
    try:
        assert Decimal(repr(rules.of_decimal(value))) == value
    except MillraceError:
        assert len(value.normalize().as_tuple().digits) > 15


def test_a_whole_number_among_numbers_is_exact_or_refused(platform: Platform) -> None:
    add(platform, {**ROWS, "v": [0.5, 2**60]})
    for frame in ({**MORE, "v": [FAR, 1]}, pl.DataFrame({**MORE, "v": [FAR, 1]}), {**MORE, "v": [FAR, 0.5]}):
        assert code_of(platform, frame) == "dataset.whole"
    with pytest.raises(MillraceError, match=str(FAR)):
        push(platform, {**MORE, "v": [FAR, 1]})
    add(platform, pl.DataFrame({**MORE, "v": [2**60, 1]}))
    assert shown(platform)["v"] == [2**60, 0.5, 2**60, 1]


def test_texts_of_a_csv_go_before_what_they_look_like(platform: Platform) -> None:
    add(platform, {**ROWS, "v": [1.5, 2.0], "zip": ["a", "b"], "late": [True, False], "n": [1, 2]})
    add(platform, b"id,at,v,zip,late,n\n3,1970-01-01T00:00Z,,007,,\n")
    assert {name: values[-1] for name, values in shown(platform).items()} == {
        "id": 3, "at": 0, "v": None, "zip": "007", "late": None, "n": None
    }  # fmt: skip
    infinite = refusal(platform, b"id,at,v,zip,late,n\n4,9,inf,1,,\n5,9,2.5,1,,\n")
    assert (infinite.code, "line 2" in infinite.message) == ("dataset.infinite", True)
    assert code_of(platform, b"id,at,v,zip,late,n\n4,9,,1,,1.5\n") == "dataset.schema"


def test_stamps_are_read_as_a_push_reads_them(platform: Platform) -> None:
    stamps = ["2020-01-01T00:00Z", "2020-01-01T02:00+01:00", "2020-01-01T02:00:00.000001"]
    add(platform, {"id": [1, 2, 3], "at": stamps})
    assert shown(platform)["at"] == [from_iso(stamp) for stamp in stamps]
    add(platform, b"id,at\n4,2020-01-02T00:00Z\n5,2020-01-03T00:00:00Z\n")
    assert shown(platform)["at"][3:] == [from_iso("2020-01-02"), from_iso("2020-01-03")]
    told = refusal(platform, {"id": [1, 2], "at": ["2020-01-01T00:00Z", "yesterday"]})
    assert (told.code, told.message) == ("dataset.time", "'at' of 'rides' gets 'yesterday', which is no time")


def test_a_missing_key_is_told_by_the_row_as_it_was_given(platform: Platform) -> None:
    assert "first 2" in refusal(platform, {"id": [1, 2, None], "at": [30, 20, 10]}).message
    assert "row 1" in refusal(platform, {"id": [1, 2], "at": [30, 20], "v": [1.0, float("inf")]}).message


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_a_packed_batch_and_a_part_hold_every_value(values: list[int | None]) -> None:
    column = {"v": rules.array("rides", "v", "whole", values)}
    batch = life.unpack(life.pack(column, [Column("v", "whole")]), exact=True)
    part = parquet.read(parquet.write(batch), exact=True)
    for found in (batch, part):
        assert found["v"].tolist() == values and found["v"].dtype == np.int64
    beyond = None in values and any(value is not None and abs(value) > 2**53 for value in values)
    try:
        assert parquet.listed(parquet.floating("v", part["v"])) == values
    except MillraceError as fault:
        assert beyond and fault.code == "dataset.whole"
    else:
        assert not beyond


@pytest.mark.parametrize("large", [0, 1 << 60])
def test_texts_that_repeat_come_back_as_they_were_each_once(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_LARGE", large)
    words = [None, "a", "it's", 'a "b"', "", "é\0", "🛫"]
    texts, unique, nothing = (np.empty(700, object) for _ in range(3))
    texts[:], unique[:] = words * 100, [f"u{place}" for place in range(700)]
    given = {"integer": texts, 'we\'ird "name"': texts[::-1], "Word_0": unique, "empty": nothing}
    part = parquet.write({**given, "x": np.arange(700.0)})
    found = parquet.read(part)
    assert list(found) == [*given, "x"]
    for name, values in given.items():
        assert found[name].tolist() == values.tolist()
    assert len({id(text) for text in found["integer"].tolist()}) == len(words)
    assert parquet.read(part, ["empty", "integer"], limit=8)["integer"].tolist() == texts[:8].tolist()


@pytest.mark.parametrize("values", [
    np.arange(9), np.arange(9.0), np.array(["ä", None, "b\0"], object), np.ma.MaskedArray([1, 2], [False, True]),
])  # fmt: skip
def test_an_array_may_run_backwards(values: Any) -> None:
    found = parquet.read(parquet.write({"v": values[::-1]}), exact=True)
    assert found["v"].tolist() == values.tolist()[::-1]


def test_true_is_not_one(platform: Platform) -> None:
    add(platform, {**ROWS, "n": [1, 2], "x": [1.5, 2.5]})
    for odd in {"n": [True, False], "x": [1.0, 2.0]}, {"n": [1, 2], "x": [True, None]}:
        fault = refusal(platform, {**MORE, **odd})
        assert fault.code == "dataset.schema" and "bool came" in fault.message


def test_more_columns_than_a_dataset_has_are_refused_however_they_come(platform: Platform, tmp_path: Path) -> None:
    wide: dict[str, Any] = {"at": [1], **{f"c{place}": [1] for place in range(4_000)}}
    file = tmp_path / "wide.parquet"
    pl.DataFrame(wide).write_parquet(file)
    roles = {"rides": {"key": [], "event": "at"}}
    for way in (
        lambda: frames.to_parquet(wide), lambda: frames.to_parquet(pl.DataFrame(wide)),
        lambda: frames.to_parquet(pd.DataFrame(wide)), lambda: add(platform, file.read_bytes()),
        lambda: platform.call("dataset.push", {"tables": {"rides": wide}, "roles": roles}),
        lambda: platform.call("dataset.make", {"name": "w", "columns": dict.fromkeys(wide, "whole")}),
    ):  # fmt: skip
        with pytest.raises(MillraceError) as caught:
            way()
        assert caught.value.code == "dataset.wide"


def test_rows_pushed_to_an_earlier_millrace_keep_their_kinds() -> None:
    kinds = Column("v", "whole"), Column("b", "bool")
    old = {"v": np.array([1.0, np.nan]), "b": np.array([1.0, np.nan])}
    new = {"v": np.array([FAR]), "b": np.array([False])}
    found = life.joined([old, new], Dataset("rides", (), "", "", kinds, 0))
    assert {name: values.tolist() for name, values in found.items()} == {"v": [1, None, FAR], "b": [True, None, False]}


@pytest.mark.parametrize("ids", [["#1", "2", "#3"], ["1", "2", "#3", "4"], ["#1", "#2", "#3"], ["a", "b # c", "#"]])
def test_no_line_of_a_csv_is_a_comment(platform: Platform, ids: list[str]) -> None:
    rows = platform.ground.blobs.put(("id,at\n" + "".join(f"{id},{at}\n" for at, id in enumerate(ids))).encode())
    version = platform.call("dataset.add", {"dataset": "marked", "event": "at", "files": [rows]})
    assert read.columns(platform.ground.blobs, version)["id"].tolist() == ids


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize(("line", "values"), [(0, 2), (0, 4), (3, 2), (6, 2), (6, 4), (6, 1)])
def test_lines_of_another_length_than_the_head_are_told(platform: Platform, mark: str, line: int, values: int) -> None:
    rows = [[str(row), str(10 * row), "x"] for row in range(7)]
    rows[line] = ["7", "70", "x", "y"][:values]
    text = "\n".join(mark.join(row) for row in [["id", "at", "name"], *rows, [""]])
    fault = refusal(platform, text.encode())
    assert fault.code == "dataset.unreadable"
    assert f"line {line + 2} has {values} of the 3 values that the head names" in fault.message


def test_a_csv_of_one_column_may_hold_what_parts_others(platform: Platform) -> None:
    rows = platform.ground.blobs.put(b'"a, b"\n"1, 2"\n"3"\n')
    version = platform.call("dataset.add", {"dataset": "one", "key": ["a, b"], "files": [rows]})
    assert read.columns(platform.ground.blobs, version)["a, b"].tolist() == ["1, 2", "3"]


def test_half_a_character_is_refused() -> None:
    with pytest.raises(MillraceError, match="'t' holds half a character in row 1") as caught:
        frames.to_parquet({"n": [1, 2, 3], "t": ["a", "\ud800", None]})
    assert caught.value.code == "dataset.kind"


class Counted:
    """A connection whose statements are counted."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.statements = connection, 0

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def execute(self, *given: Any) -> Any:
        self.statements += 1
        return self._connection.execute(*given)


def test_a_wide_csv_is_looked_at_as_often_as_a_narrow_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for width in (3, 20):  # of more it takes several looks
        names = [f"{kind}{place}" for place in range(width) for kind in ("number", "text", "day", "empty")]
        cells = ["1.5", "x", "2013-01-01", ""] * width
        file = tmp_path / f"{width}.csv"
        file.write_text("\n".join(",".join(line) for line in (["at", *names], ["1", *cells], ["2", *cells])))
        counted = Counted(parquet.connect())
        monkeypatch.setattr(ingest, "connect", lambda counted=counted: counted)
        _, fitted = ingest.columns_of(file, Dataset("wide", (), "at", "", (), 0))
        assert len(fitted) == 1 + 4 * width
        counts.append(counted.statements)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_a_column_needs_a_name_that_can_be_written(platform: Platform, name: str) -> None:
    with pytest.raises(MillraceError) as caught:
        frames.to_parquet({"id": [1], name: [2]})
    assert caught.value.code == "dataset.schema"
    with pytest.raises(MillraceError) as caught:
        platform.call("dataset.push", {"tables": {"rides": {**{c: [1] for c in ("id", "at")}, name: [2]}}})
    assert caught.value.code in ("dataset.schema", "request.invalid")


def test_leading_zeros_make_a_text(platform: Platform) -> None:
    rows = platform.ground.blobs.put(b"zip,at,x\n00501,1,1e3\n501,2,0.5\n02134,3,0\n")
    version = platform.call("dataset.add", {"dataset": "codes", "event": "at", "files": [rows]})
    found = read.columns(platform.ground.blobs, version)
    assert found["zip"].tolist() == ["00501", "501", "02134"] and found["x"].tolist() == [1000.0, 0.5, 0.0]


@pytest.mark.parametrize("second", ["v", "V"])
@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_two_columns_of_one_name_are_refused(platform: Platform, form: str, second: str) -> None:
    rows = f"id,at,v,{second}\n1,2,3,4\n".encode()
    if form == "Parquet":
        file = BytesIO()
        names = ["id", "at", "v", second]
        parquet_of.write_table(pa.Table.from_arrays([pa.array([1])] * 4, names=names), file)
        rows = file.getvalue()
    fault = refusal(platform, rows)
    assert (fault.code, fault.message) == ("dataset.schema", "two columns of the file have one name")
