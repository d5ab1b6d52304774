"""How a CSV is read: what parts its lines, and what its texts say where DuckDB guesses by the first rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from millrace.base.errors import MillraceError
from millrace.data.parquet import quoted
from millrace.data.records import Column, Dataset, Kind
from millrace.data.rules import check_apart, check_width, inexact, is_unicode

if TYPE_CHECKING:
    import duckdb

_MARKS = (",", ";", "\t", "|")
_LINE = 2_000_000  # DuckDB's own bound
_HEAD = 1 << 16
_GUESSED = (
    "['NULL', 'BOOLEAN', 'BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ', 'VARCHAR']"  # a clock time is text
)


def form_of(file: Path) -> Callable[..., str]:
    """How a statement reads the file: its columns by these types, or all as texts.

    Quotes are those of RFC 4180 wherever the first one comes, and no line is a comment: none of this is guessed.
    Errors: `dataset.unreadable` for what is packed or no UTF-8, `dataset.schema` for two columns of one name
    or a column without, `dataset.wide`.
    """
    _refuse_bytes(file)
    blank, names, mark = _head(file)
    check_width(len(names))
    nameless = next((place for place, name in enumerate(names, 1) if not name.strip()), 0)
    if nameless:
        raise MillraceError(
            "dataset.schema",
            f"column {nameless} of {len(names)} has no name in the head",
            f"name it, or leave it out: a {mark!r} at the end of a line makes one, and so does the index of pandas",
        )
    check_apart(name.strip() for name in names)

    def source(types: Mapping[str, str] | None = None, *, texts: bool = False) -> str:
        given = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in (types or {}).items())
        more = ", all_varchar = true" if texts else f", types = {{{given}}}" if given else ""
        return (
            f"read_csv({literal(file)}, header = true, delim = {literal(mark)}, quote = '\"', escape = '\"', "
            f"comment = '', skip = {blank}, null_padding = false, auto_type_candidates = {_GUESSED}{more})"
        )

    return source


def _refuse_bytes(file: Path) -> None:
    with file.open("rb") as opened:
        first = opened.read(4)
    if first.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise MillraceError("dataset.unreadable", "the file is packed", "unpack it first (gunzip, unzip)")
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in first:
        raise MillraceError("dataset.unreadable", "the file is UTF-16 or no text, and not UTF-8", _AS_UTF8)


def _head(file: Path) -> tuple[int, list[str], str]:
    """How many empty lines come first, the names of a CSV, and what parts them.

    That is what parts the first row into as many values as names, or, where nothing does, the head into most names.
    """
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        blank = 0
        while (line := opened.readline()) and not line.strip():
            blank += 1
        lines = [line, *opened.readlines(_HEAD)]

    def parted(mark: str) -> tuple[list[str], bool]:
        names: list[str] = []
        with suppress(csv.Error):
            rows = csv.reader(lines, delimiter=mark)
            names = next(rows, names)
            return names, len(names) == len(next(filter(None, rows), [])) > 1
        return names, False

    by_mark = {mark: parted(mark) for mark in _MARKS}
    mark = max(_MARKS, key=lambda mark: (by_mark[mark][1], len(by_mark[mark][0])))
    return blank, by_mark[mark][0], mark


def refuse(file: Path) -> None:
    """Find what is wrong with a CSV that DuckDB does not read.

    Errors: `dataset.unreadable` for the first line that is not UTF-8, whose quotes are not closed, that has more or
    fewer values than the head, that is longer than a line may be, or that ends otherwise than the head.
    """
    _, _, mark = _head(file)
    before = csv.field_size_limit(_LINE)  # the whole program's: given back at once
    try:
        _refuse_rows(file, mark)
    finally:
        csv.field_size_limit(before)


def _refuse_rows(file: Path, mark: str) -> None:
    begins, names = 1, 0
    usual, ended = "", [""]
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        rows = csv.reader(_of_unicode(opened, ended), delimiter=mark, strict=True)
        try:
            for row in rows:
                names, usual = names or len(row), usual or ended[0]
                if ended[0] not in ("", usual):
                    raise MillraceError(
                        "dataset.unreadable",
                        f"line {rows.line_num} ends in {_ENDS[ended[0]]}, and those before it in {_ENDS[usual]}",
                        "save it with one kind of line end (dos2unix)",
                    )
                if row and len(row) != names:
                    told = f"line {rows.line_num} has {len(row)} of the {names} values that the head names"
                    raise MillraceError(
                        "dataset.unreadable",
                        told,
                        f"give every line as many; a value that holds {mark!r} stands in quotes",
                    )
                if sum(map(len, row)) >= _LINE:
                    raise _too_long(begins)
                begins = rows.line_num + 1
        except csv.Error as fault:
            if "field limit" in str(fault) and rows.line_num == begins:
                raise _too_long(begins) from None
            if "unexpected end" in str(fault):
                told = f"a quote that opens in the row of line {begins} is not closed"
            elif "expected after" in str(fault):
                told = f"line {rows.line_num} goes on after a closing quote"
            else:
                told = f"the row of line {begins} has no end within {_LINE:,} characters"
            raise MillraceError(
                "dataset.unreadable", told, "put a value in quotes whole, and double those in it"
            ) from None


def _too_long(line: int) -> MillraceError:
    return MillraceError(
        "dataset.unreadable", f"line {line} is longer than the {_LINE:,} bytes that a line of a CSV may have",
        "send a Parquet file or a frame, or leave the long value out; if a quote of it is not closed, close it",
    )  # fmt: skip


def _of_unicode(lines: Iterable[str], ended: list[str]) -> Iterator[str]:
    """The lines as they are; `ended` has how the last of them ends."""
    for number, line in enumerate(lines, 1):
        if not is_unicode(line):
            raise MillraceError("dataset.unreadable", f"line {number} of the file is not UTF-8", _AS_UTF8)
        ended[0] = line[len(line.rstrip("\r\n")) :]
        yield line


def is_time(dataset: Dataset, name: str) -> bool:
    return name in (dataset.event, dataset.arrived) or Column(name, "time") in dataset.columns


def by_text(
    connection: duckdb.DuckDBPyConnection, texts: str, dataset: Dataset, found: Sequence[tuple[Column, str]]
) -> dict[str, str]:
    """The types of columns of a CSV whose values are not what they look like at first sight.

    A column of text keeps its digits as they are written, and a leading zero or plus anywhere makes one; infinity is a
    number and not a day; a column without values is of whatever kind the dataset has; one fraction makes a column of
    whole numbers one of numbers. Errors: `dataset.whole` for whole numbers that would be read as floats, or rounded by
    it; those of `_misfits`.
    """
    known = {column.name: column.kind for column in dataset.columns}
    types = {column.name: "VARCHAR" for column, _ in found if known.get(column.name) == "text"}
    looks = {column.name: _looks(column, stored) for column, stored in found if column.name not in types}
    odd = [
        column.name
        for column, stored in found
        if column.name in looks and _is_worded(stored) and not is_time(dataset, column.name)
    ]
    far = [name for name, look in looks.items() if look == "number" and known.get(name) != "number"]
    fresh = [
        name
        for name, look in looks.items()
        if look in ("whole", "number") and name not in known and not is_time(dataset, name)
    ]
    floats = [name for name, look in looks.items() if look == "number"]
    asked = (far, _NOT_WHOLE), (odd, "true"), (odd, _NO_NUMBER), ([*fresh, *odd], _CODE), (floats, _INEXACT)
    by_look = [([name for name in looks if looks[name] == look], test) for look, test in _STRANGE.items()]
    fractions, values, words, codes, rounded, *strange = _firsts(connection, texts, *asked, *by_look)
    types |= {name: "VARCHAR" for name in fresh if codes[name] is not None}
    misfits = {name for firsts in strange for name, first in firsts.items() if first is not None}
    types |= _misfits(connection, texts, dataset, found, misfits - types.keys())
    for name in far:
        if fractions[name] is None and name not in types:
            refuse_far(connection, texts, dataset, [column.name for column, _ in found], [name])
    types |= {
        name: "DOUBLE"
        for name, look in looks.items()
        if look == "whole" and known.get(name) == "number" and name not in types
    }
    for name in odd:
        kind = known.get(name)
        if values[name] is None:
            types |= {name: CASTS[kind]} if kind else {}
        elif words[name] is None and (kind == "number" or (kind is None and codes[name] is None)):
            types[name] = "DOUBLE"
    (late,) = _firsts(connection, texts, ([name for name in looks if types.get(name) == "DOUBLE"], _INEXACT))
    for name, value in (rounded | late).items():
        if value is not None and types.get(name) != "VARCHAR":
            raise inexact(f"{name!r} of {dataset.name!r}", value, _instead(dataset, name))
    return types


def _firsts(
    connection: duckdb.DuckDBPyConnection, texts: str, *asked: tuple[Sequence[str], str]
) -> list[dict[str, str | None]]:
    """Of each group of columns the first values that are there and meet the group's test.

    It takes one look at the file for so many columns and tests: what DuckDB needs for a look grows with their square.
    """
    terms = [
        f"any_value(CASE WHEN {test.format(quoted(name))} THEN {quoted(name)} END)"
        for names, test in asked
        for name in names
    ]
    row: list[str | None] = []
    for place in range(0, len(terms), _TERMS):
        some = ", ".join(terms[place : place + _TERMS])
        row += connection.execute(f"SELECT {some} FROM {texts}").fetchone() or ()
    found = iter(row)
    return [{name: next(found) for name in names} for names, _ in asked]


def _misfits(
    connection: duckdb.DuckDBPyConnection,
    texts: str,
    dataset: Dataset,
    found: Sequence[tuple[Column, str]],
    odd: Collection[str],
) -> dict[str, str]:
    """The types of the `odd` columns, which are not what their heads looked like: what a column holds is guessed by its
    first rows.

    Errors: `dataset.schema`, for a time `dataset.time`, for a value that is of another kind than those before it.
    """
    types: dict[str, str] = {}
    for column, stored in found:
        name, looks = column.name, _looks(column, stored)
        if name not in odd:
            continue
        timed = is_time(dataset, name)
        if looks == "time" and timed:
            types[name] = "VARCHAR"  # stamps that DuckDB does not read may be some all the same
            continue
        none, names = _NO_NUMBER.format(quoted(name)), [column.name for column, _ in found]
        test = _STRANGE[looks].format(quoted(name))
        ways = [none] if looks == "whole" and not timed else [test]
        if looks == "time":  # which infinity looks like, and then all the others are numbers
            ways = [f"{test} AND {none}", f"{test} AND EXISTS (SELECT 1 FROM {texts} WHERE {none})"]
        wrong = next(filter(None, (first_wrong(connection, texts, names, name, way) for way in ways)), None)
        no_day = wrong is not None and looks == "time" and not timed
        if no_day and first_wrong(connection, texts, names, name, TIME.format(quoted(name))) is None:
            types[name] = "VARCHAR"  # days in some other way of writing are what they were
            continue
        if wrong is not None:
            raise MillraceError(
                "dataset.time" if timed else "dataset.schema",
                f"{name!r} of {dataset.name!r} is {looks} at first, and {wrong[0]!r} in line {wrong[1]}",
                ONE_WAY if timed else "correct it, or declare the column's kind when the dataset is made",
            )
        if looks == "whole":
            types[name] = "DOUBLE"
    return types


def refuse_kinds(connection: duckdb.DuckDBPyConnection, texts: str, dataset: Dataset, found: Sequence[Column]) -> None:
    """Errors: `dataset.schema` for the first value that is not of the kind which the dataset's column has."""
    known = {column.name: column.kind for column in dataset.columns}
    for name, kind in ((column.name, column.kind) for column in found):
        if known.get(name, kind) == kind or (kind, known[name]) == ("whole", "number") or known[name] == "time":
            continue
        wrong = first_wrong(
            connection, texts, [column.name for column in found], name, _STRANGE[known[name]].format(quoted(name))
        )
        if wrong is not None:
            raise MillraceError(
                "dataset.schema",
                f"{name!r} of {dataset.name!r} is {known[name]}, and {wrong[0]!r} came in line {wrong[1]}",
                _INSTEAD if kind == "bool" else "correct it, or make another dataset",
            )


def refuse_far(
    connection: duckdb.DuckDBPyConnection, texts: str, dataset: Dataset, names: Sequence[str], wholes: Sequence[str]
) -> None:
    """Errors: `dataset.whole` for the first value of the columns `wholes`, of those named, that 64 bits do not hold."""
    for name in wholes:
        wrong = first_wrong(connection, texts, names, name, FAR.format(quoted(name)))
        if wrong is not None:
            raise MillraceError(
                "dataset.whole",
                f"{name!r} of {dataset.name!r} gets {wrong[0]} in line {wrong[1]}, beyond 64 bits",
                _instead(dataset, name),
            )


def _instead(dataset: Dataset, name: str) -> str:
    """What helps where a column of digits is not kept as numbers."""
    known = {column.name: column.kind for column in dataset.columns}
    as_text = f"make {'another' if known else 'the'} dataset with columns={{…, {name!r}: 'text'}}, which names them all"
    return as_text if known.get(name) == "whole" else f"{as_text}, or write it with a decimal point: then it is rounded"


def _looks(column: Column, stored: str) -> Kind:
    """What a column of a CSV looks like by its head, whatever it is for."""
    if column.kind != "time":
        return column.kind
    return "text" if stored == "VARCHAR" else "time" if _is_worded(stored) else "whole"


def _is_worded(stored: str) -> bool:
    return re.fullmatch(r"TIMESTAMP.*|DATE|VARCHAR", stored) is not None


def first_wrong(
    connection: duckdb.DuckDBPyConnection, texts: str, names: Sequence[str], name: str, test: str
) -> tuple[str, int] | None:
    """The first value of a CSV's column that meets `test`, and its line; values may themselves have several."""
    line = quoted("line of " + " ".join(names))  # a name that no column has
    held = f"concat_ws('', {', '.join(map(quoted, names))})"
    before = (
        f"sum(length({held}) - length(replace({held}, chr(10), ''))) OVER "
        "(ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    numbered = f"SELECT *, row_number() OVER () + 1 + coalesce({before}, 0) AS {line} FROM {texts}"
    row = connection.execute(
        f"SELECT {quoted(name)}, {line} FROM ({numbered}) WHERE {quoted(name)} IS NOT NULL AND {test} LIMIT 1"
    ).fetchone()
    return (str(row[0]), int(row[1])) if row is not None else None


def literal(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


CASTS: dict[Kind, str] = {
    "number": "DOUBLE", "whole": "BIGINT", "text": "VARCHAR", "bool": "BOOLEAN", "time": "TIMESTAMP"
}  # fmt: skip
_NOT_WHOLE = "NOT regexp_full_match({}, ' *[+-]?[0-9]+ *')"
_NO_NUMBER = "(TRY_CAST({0} AS DOUBLE) IS NULL OR contains({0}, '_'))"  # DuckDB reads 12_34 as one
_CODE = (  # a leading zero or plus says that it is no quantity
    "CASE WHEN regexp_matches({0}, '^ *(-?0|[+])[0-9]') THEN TRY_CAST({0} AS DOUBLE) IS NOT NULL END"
)
_INEXACT = (  # digits alone that float64 does not tell; few are so long, and only they are looked at closely
    "CASE WHEN strlen({0}) >= 16 AND abs(TRY_CAST({0} AS DOUBLE)) >= 9007199254740992 "
    "THEN regexp_full_match({0}, ' *[+-]?[0-9]+ *') "
    "AND NOT coalesce(TRY_CAST(TRY_CAST({0} AS DOUBLE) AS HUGEINT) = TRY_CAST({0} AS HUGEINT), false) END"
)
# 01/02/2020 is one day here and another there, and DuckDB takes 01/02/03 for a day of the year 1 or 2001.
TIME = "(regexp_matches({0}, '^ *[0-9]{{4}}[-/][0-9]{{1,2}}[-/][0-9]') AND TRY_CAST({0} AS TIMESTAMPTZ) IS NOT NULL)"
_STRANGE: dict[Kind, str] = {
    "whole": _NOT_WHOLE, "number": _NO_NUMBER, "bool": "TRY_CAST({} AS BOOLEAN) IS NULL",
    "time": f"NOT coalesce({TIME}, false)",
}  # fmt: skip
_TERMS = 500
_INSTEAD = "write 1 and 0 where numbers are meant, or make another dataset"
_ENDS = {"\n": "LF", "\r": "CR", "\r\n": "CR LF"}
_AS_UTF8 = "save it again as UTF-8"
ONE_WAY = "write all as ISO texts such as 2013-03-01T12:00:00Z, or all as whole microseconds since 1970"
FAR = "TRY_CAST({} AS BIGINT) IS NULL"
