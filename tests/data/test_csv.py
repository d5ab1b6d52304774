"""A CSV is read as RFC 4180 writes it, wherever its first quote comes, and what is none is told by line."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from millrace.base.errors import MillraceError
from millrace.data import ingest
from millrace.data.records import Column, Dataset, Kind

HEAD = "id,at,x\n"
WORDS = "".join(f"k{row},{row},t{row % 50}\n" for row in range(21_000))  # more rows than are looked at to guess


def columns(folder: Path, content: str | bytes, *known: Column, event: str = "") -> dict[str, list[Any]]:
    file = folder / "rows.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    found, _ = ingest.columns_of(file, Dataset("rides", (), event, "", known, 0))
    return {name: values.tolist() for name, values in found.items()}


def refusal(folder: Path, content: str | bytes, *known: Column, event: str = "") -> MillraceError:
    with pytest.raises(MillraceError) as caught:
        columns(folder, content, *known, event=event)
    return caught.value


@pytest.mark.parametrize("before", ["", WORDS])
@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"plain text"', "plain text"), ('"a ""q"" b"', 'a "q" b'), ('"Doe, Jane"', "Doe, Jane"),
        ('"two\nlines"', "two\nlines"), ("'tis", "'tis"), ("5\" pipe", "5\" pipe"),
    ],
)  # fmt: skip
def test_quotes_are_quotes_wherever_the_first_one_comes(tmp_path: Path, before: str, cell: str, value: str) -> None:
    found = columns(tmp_path, f'{HEAD}{before}"k7",7,{cell}\n')
    assert (found["id"][-1], found["at"][-1], found["x"][-1]) == ("k7", 7, value)


@pytest.mark.parametrize("before", ["", "a,0,1:05\n" * 21_000])
def test_a_clock_time_is_the_text_that_it_was(tmp_path: Path, before: str) -> None:
    assert columns(tmp_path, f"{HEAD}{before}b,1,12:30\nc,2,23:05:00\n")["x"][-2:] == ["12:30", "23:05:00"]


def test_a_late_quoted_number_is_one(tmp_path: Path) -> None:
    rows = "".join(f"{row},{row}\n" for row in range(21_000))
    assert columns(tmp_path, f'id,x\n{rows}7,"8"\n')["x"][-1] == 8


@pytest.mark.parametrize(("before", "line"), [("", 2), (WORDS, 21_002)])
@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ('1,2,"abc\n2,3,x\n', "a quote that opens in the row of line {} is not closed"),
        (f'1,2,"abc\n{WORDS}', "a quote that opens in the row of line {} is not closed"),
        (f'1,2,"abc\n{8 * WORDS}', "the row of line {} has no end within 2,000,000 characters"),
        (f"1,2,{2_100_000 * 'x'}\n", "line {} is longer than the 2,000,000 bytes that a line of a CSV may have"),
        (f"1,{1_100_000 * 'x'},{1_100_000 * 'x'}\n", "line {} is longer than the 2,000,000 bytes"),
        ('1,2,"a\\"b"\n', "line {} goes on after a closing quote"),
        ("1,2,Doe, Jane\n", "line {} has 4 of the 3 values that the head names"),
    ],
    ids=[
        "open",
        "open for long",
        "open for too long",
        "a long value",
        "two long values",
        "on after a quote",
        "too many",
    ],
)
def test_quotes_that_do_not_close_are_told_by_line(
    tmp_path: Path, before: str, line: int, rows: str, told: str
) -> None:
    fault = refusal(tmp_path, HEAD + before + rows)
    assert fault.code == "dataset.unreadable" and fault.message.startswith(told.format(line))
    assert "quote" in fault.hint and csv.field_size_limit() == 131_072


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_end_as_any_system_ends_them(tmp_path: Path, end: str) -> None:
    text = '\nid,at,x\n1,2,"a,b"\n\n2,3,c\n'.replace("\n", end)
    expected = {"id": [1, 2], "at": [2, 3], "x": ["a,b", "c"]}
    assert columns(tmp_path, text) == columns(tmp_path, text.encode("utf-8-sig")) == expected
    assert "line 4 has 2 of the 3" in refusal(tmp_path, "id,at,x\n1,2,a\n\n2,3\n".replace("\n", end)).message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a, b";c\n1;2\n', {"a, b": [1], "c": [2]}),
        ("id;speed, km/h\n1;2\n", {"id": [1], "speed, km/h": [2]}),
        ("id;x\n1;5,5\n", {"id": [1], "x": ["5,5"]}),
        ("id\tnote\n1\ta|b|c,d\n", {"id": [1], "note": ["a|b|c,d"]}),
        ('"id, no"\n1\n', {"id, no": [1]}),
        ('"id\nno",x\n1,2\n', {"id\nno": [1], "x": [2]}),
    ],
)
def test_what_parts_the_names_parts_the_values(tmp_path: Path, text: str, expected: dict[str, list[Any]]) -> None:
    assert columns(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("content", "told", "hint"),
    [
        ((HEAD + WORDS).encode() + b"7,2,caf\xe9\n", "line 21002 of the file is not UTF-8", "as UTF-8"),
        ("id,café\n1,2\n".encode("latin-1"), "line 1 of the file is not UTF-8", "as UTF-8"),
        ((HEAD + "1,2,5\n").encode("utf-16"), "UTF-16", "as UTF-8"),
        ((HEAD + "1,2,5\n").encode("utf-16-be"), "UTF-16", "as UTF-8"),
        (gzip.compress((HEAD + WORDS).encode()), "the file is packed", "unpack it first"),
        (b"PK\x03\x04" + bytes(range(256)), "the file is packed", "unpack it first"),
    ],
    ids=["late", "head", "UTF-16", "big-endian", "gzip", "zip"],
)  # fmt: skip
def test_what_is_no_utf8_says_what_it_is(tmp_path: Path, content: bytes, told: str, hint: str) -> None:
    fault = refusal(tmp_path, content)
    assert fault.code == "dataset.unreadable"
    assert told in fault.message and hint in fault.hint


@pytest.mark.parametrize("rows", [2, 21_000])
@pytest.mark.parametrize(
    ("even", "odd"),
    [("{}", "00501"), ("{}", "-007"), ("{}.5", "00501"), ("{}", "+491701234567"), ("-{}", "+5"), ("", "007")],
)
def test_a_leading_zero_or_plus_makes_a_text_wherever_it_comes(tmp_path: Path, rows: int, even: str, odd: str) -> None:
    plain = [even.format(row + 1) for row in range(rows)]
    found = columns(tmp_path, "x,y\n" + "".join(f"{x},1\n" for x in [*plain, odd]))
    assert found["x"] == [*(value or None for value in plain), odd]


def test_an_underscore_makes_a_text(tmp_path: Path) -> None:
    assert columns(tmp_path, "x,y\n12_34,1\n56,2\n")["x"] == ["12_34", "56"]
    rows = "".join(f"{row},{row}.5\n" for row in range(21_000))
    assert "'1_0' in line 21002" in refusal(tmp_path, f"x,y\n{rows}1_0,1\n").message
    assert "'1_0' in line 21002" in refusal(tmp_path, f"x,y\n{rows}1,1_0\n").message


@pytest.mark.parametrize("rows", [1, 21_000])
@pytest.mark.parametrize("far", [2**53 + 1, -(2**53) - 1, 10**41 + 1])
def test_a_fraction_rounds_no_whole_number(tmp_path: Path, rows: int, far: int) -> None:
    fault = refusal(tmp_path, "x,y\n" + f"{far},1\n" * rows + "0.5,1\n")
    assert (fault.code, str(far) in fault.message) == ("dataset.whole", True)
    assert columns(tmp_path, "x,y\n" + f"{2**60},1\n" * rows + "0.5,1\n")["x"] == [2.0**60] * rows + [0.5]


def test_lines_are_counted_through_columns_known_as_text(tmp_path: Path) -> None:
    known = Dataset("rides", (), "", "", (Column("note", "text"), Column("x", "whole")), 0)
    file = tmp_path / "rows.csv"
    file.write_text('note,x\n"two\nlines",1\n' + "a,1\n" * 21_000 + "a,oops\n")
    with pytest.raises(MillraceError, match="'oops' in line 21004"):
        ingest.columns_of(file, known)


@pytest.mark.parametrize("kind", ["whole", "number"])
@pytest.mark.parametrize(
    ("rows", "value", "line"),
    [("1,true\n", "true", 2), ("1,\n2,False\n", "False", 3), ("1,5\n2,true\n", "true", 3), ("1,yes\n", "yes", 2)],
)
def test_a_word_is_no_number(tmp_path: Path, kind: Kind, rows: str, value: str, line: int) -> None:
    fault = refusal(tmp_path, "id,x\n" + rows, Column("id", "whole"), Column("x", kind))
    assert fault.code == "dataset.schema"
    assert fault.message == f"'x' of 'rides' is {kind}, and {value!r} came in line {line}"


def test_a_value_of_another_kind_is_told_by_line(tmp_path: Path) -> None:
    known = Column("id", "whole"), Column("x", "bool")
    assert "is bool, and '5' came in line 3" in refusal(tmp_path, "id,x\n1,true\n2,5\n", *known).message
    assert columns(tmp_path, "id,x\n1,true\n2,\n", *known)["x"] == [True, None]


def test_a_file_of_many_columns_is_read_in_several_looks(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(700)]
    cells = {"c0": "007", "c350": "2.5", "c351": "true", "c698": "x", "c699": "2020-01-02"}
    row = ",".join(cells.get(name, str(place)) for place, name in enumerate(names))
    found = columns(tmp_path, f"{','.join(names)}\n{row}\n{row}\n")
    assert [found[name][1] for name in ("c0", "c350", "c351", "c698")] == ["007", 2.5, True, "x"]
    assert [found[name] for name in names[1:350]] == [[place, place] for place in range(1, 350)]


def test_more_columns_than_a_dataset_has_are_refused(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(20_000)]
    fault = refusal(tmp_path, ",".join(names) + "\n" + ",".join("5" for _ in names) + "\n")
    assert (fault.code, fault.message) == ("dataset.wide", "20,000 columns came, and a dataset has at most 4,000")
    assert "several datasets" in fault.hint


@pytest.mark.parametrize("day", ["01/02/2020", "01/02/03", "13.02.2020", "20-01-02", "01-02-03 10:00:00", "1/2/3"])
def test_a_day_whose_year_does_not_come_first_is_the_text_that_it_was_and_no_time(tmp_path: Path, day: str) -> None:
    assert columns(tmp_path, f"id,x\n1,{day}\n2,\n")["x"] == [day, None]
    for fault in (
        refusal(tmp_path, f"id,x\n1,{day}\n", event="x"),
        refusal(tmp_path, f"id,x\n1,{day}\n", Column("id", "whole"), Column("x", "time")),
    ):
        assert fault.code == "dataset.time" and f"{day!r} in line 2" in fault.message and "ISO" in fault.hint
    assert refusal(tmp_path, "id,x\n" + "1,2020-01-02\n" * 21_000 + f"1,{day}\n").code == "dataset.schema"


@pytest.mark.parametrize("day", ["2020-01-02", "2020/1/2", "2020-01-02 00:00", "2020-01-02T01:00:00.0+01:00"])
def test_a_day_whose_year_comes_first_is_a_time(tmp_path: Path, day: str) -> None:
    assert columns(tmp_path, f"id,x\n1,{day}\n2,\n")["x"] == [1_577_923_200_000_000, None]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("id,x,\n1,2,\n", "3 of 3"),
        ("id;x;;\n1;2;;\n", "3 of 4"),
        (",id,x\n0,1,2\n", "1 of 3"),
        ('id," "\n1,2\n', "2 of 2"),
    ],
)
def test_a_column_without_a_name_is_told_by_its_place(tmp_path: Path, content: str, place: str) -> None:
    fault = refusal(tmp_path, content)
    assert (fault.code, fault.message) == ("dataset.schema", f"column {place} has no name in the head")
    assert "at the end of a line" in fault.hint


@pytest.mark.parametrize(("before", "line"), [("", 3), ("1,a\n" * 21_000, 21_003)])
@pytest.mark.parametrize(
    ("usual", "odd", "told"),
    [("\n", "\r\n", "CR LF, and those before it in LF"), ("\r\n", "\n", "LF, and those before it in CR LF"),
     ("\n", "\r", "CR, and those before it in LF"), ("\r", "\n", "LF, and those before it in CR")],
)  # fmt: skip
def test_lines_that_end_in_two_ways_are_told(
    tmp_path: Path, before: str, line: int, usual: str, odd: str, told: str
) -> None:
    text = f"id,x\n1,a\n{before}".replace("\n", usual)
    fault = refusal(tmp_path, f"{text}2,b{odd}3,c{usual}4,d{usual}")
    assert (fault.code, fault.message) == ("dataset.unreadable", f"line {line} ends in {told}")
    assert "one kind of line end" in fault.hint
    assert columns(tmp_path, f'{text}2,"b{odd}c"{usual}')["x"][-1] == f"b{odd}c"


FAR = "99999999999999999999"


@pytest.mark.parametrize(("before", "line"), [("", 2), ("5,5\n" * 21_000, 21_002)])
@pytest.mark.parametrize("known", [(), (Column("id", "whole"), Column("x", "whole"))])
def test_whole_numbers_beyond_64_bits_are_told_by_line_with_a_hint_that_helps(
    tmp_path: Path, before: str, line: int, known: tuple[Column, ...]
) -> None:
    fault = refusal(tmp_path, f"id,x\n{before}1,{FAR}\n", *known)
    assert (fault.code, fault.message) == ("dataset.whole", f"'x' of 'rides' gets {FAR} in line {line}, beyond 64 bits")
    assert "columns={…, 'x': 'text'}" in fault.hint and ("decimal point" in fault.hint) == (not known)
    declared = Column("id", "whole"), Column("x", "text")
    assert columns(tmp_path, f"id,x\n{before}1,{FAR}\n", *declared)["x"][-1] == FAR
    if not known:
        assert columns(tmp_path, f"id,x\n{before}1,{FAR}.\n")["x"][-1] == 1e20


@pytest.mark.parametrize("before", ["", "5,5\n" * 21_000])
def test_a_column_of_numbers_takes_whole_ones_that_float64_tells(tmp_path: Path, before: str) -> None:
    known = Column("id", "whole"), Column("x", "number")
    assert columns(tmp_path, f"id,x\n{before}1,{2**64}\n2,7\n", *known)["x"][-2:] == [2.0**64, 7.0]
    fault = refusal(tmp_path, f"id,x\n{before}1,{FAR}\n", *known)
    assert fault.code == "dataset.whole" and FAR in fault.message and "decimal point" in fault.hint
    assert columns(tmp_path, f"id,x\n{before}1,{FAR}.\n", *known)["x"][-1] == 1e20
