"""Files to columns: Parquet and CSV bytes as rows in the dataset's own kinds, every value as it was written.

What a file's values are is DuckDB's guess where it is CSV; what the dataset knows, and what the texts say, goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from millrace.base.errors import MillraceError
from millrace.data import arrow, csv, rules
from millrace.data.parquet import Columns, connect, plain, quoted
from millrace.data.records import Column, Dataset, Kind

if TYPE_CHECKING:
    import duckdb

_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"BOOLEAN", "bool"),
    (r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(\d+,\s*0\)", "whole"),
    (r"FLOAT|DOUBLE|DECIMAL\(.*\)", "number"),
    (r"VARCHAR|UUID|ENUM\(.*\)", "text"),
    (r"TIMESTAMP.*|DATE", "time"),
)


def columns_of(file: Path, dataset: Dataset) -> tuple[Columns, tuple[Column, ...]]:
    """The rows of a file as they lie in it, and the dataset's columns that they fit.

    Errors: `dataset.empty`, `dataset.unreadable` (no Parquet and no CSV, or a damaged one), `dataset.kind` for a nested
    column, `dataset.time` for a value that is no time, `dataset.whole` for one beyond 64 bits or that float64 does not
    tell, and those of `rules.schema`.
    """
    import duckdb

    if not file.stat().st_size:
        raise MillraceError("dataset.empty", "the file is empty", "give Parquet or CSV with at least one row")
    with connect() as connection:
        try:
            form = None if _is_parquet(file) else csv.form_of(file)
            names = _names(connection, file) if not form else []
            rules.check_width(len(names))
            source = form() if form else f"read_parquet({csv.literal(file)})"
            if connection.execute(f"SELECT 1 FROM {source} LIMIT 1").fetchone() is None:
                raise MillraceError("dataset.empty", "the file has columns and no row", "give at least one row")
            found = _described(connection, source, dataset)
            texts = ""
            if not form:
                rules.check_apart(names)
                _refuse_durations(connection, file)
            if form:
                texts = form(texts=True)
                types = csv.by_text(connection, texts, dataset, found)
                source = form(types)
                found = _described(connection, source, dataset) if types else found
                csv.refuse_kinds(connection, texts, dataset, [column for column, _ in found])
            fitted = rules.schema(dataset.name, dataset.columns, [column for column, _ in found])
            columns = _read(connection, source, texts, dataset, found, fitted)
        except (duckdb.Error, UnicodeDecodeError) as fault:
            if not _is_parquet(file):
                csv.refuse(file)
            told = "" if isinstance(fault, duckdb.InternalException) else f": {_told(fault)}"
            raise MillraceError(
                "dataset.unreadable",
                f"the file is neither whole Parquet nor CSV{told}".replace(f'file "{file}"', "it"),
                "write it again",
            ) from fault
    return columns, fitted


def _told(fault: Exception) -> str:
    """What DuckDB says is wrong, without the row itself and its advice."""
    first, *more = str(fault).splitlines()
    why = next((line for line in more[:3] if line and not line.startswith("Original Line")), "")
    return f"{first}: {why}" if "CSV Error" in first and why else first


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"PAR1"


def _described(connection: duckdb.DuckDBPyConnection, source: str, dataset: Dataset) -> list[tuple[Column, str]]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    return [_column(dataset, str(row[0]), str(row[1])) for row in rows]


def _names(connection: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    """The names of a flat Parquet file as they stand there; where two are one, DuckDB renames the second."""
    rows = connection.execute(f"SELECT name FROM parquet_schema({csv.literal(file)})").fetchall()
    return [str(row[0]) for row in rows[1:]]  # the first is the table's own


def _refuse_durations(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    notes = f"SELECT value FROM parquet_kv_metadata({csv.literal(file)}) WHERE key = 'ARROW:schema'::BLOB"
    for (note,) in connection.execute(notes).fetchall():
        for name in arrow.durations(note):
            raise MillraceError(
                "dataset.kind", f"{name!r} is a duration, which no column here can hold",
                "write it as a number, with its unit in the name",
            )  # fmt: skip


def _column(dataset: Dataset, name: str, stored: str) -> tuple[Column, str]:
    found = next((held for pattern, held in _KINDS if re.fullmatch(pattern, stored)), None)
    if found is None:
        raise MillraceError(
            "dataset.kind", f"{name!r} is {stored}, which no column here can hold", "flatten it into plain columns"
        )
    return Column(name, "time" if csv.is_time(dataset, name) and found in ("text", "whole") else found), stored


def _read(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    texts: str,
    dataset: Dataset,
    found: Sequence[tuple[Column, str]],
    fitted: Sequence[Column],
) -> Columns:
    import duckdb

    wanted = {column.name: column.kind for column in fitted}
    _refuse_inexact(
        connection, source, dataset, [(c.name, stored) for c, stored in found if wanted[c.name] == "number"]
    )
    terms = {column.name: _term(column.name, stored, wanted[column.name]) for column, stored in found}
    listed = ", ".join(f"{term} AS {quoted(name)}" for name, term in terms.items())
    try:
        raw = connection.execute(f"SELECT {listed} FROM {source}").fetchnumpy()
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        wholes = [name for name in terms if wanted[name] == "whole"]
        if texts:
            csv.refuse_far(connection, texts, dataset, list(terms), wholes)
        else:
            _refuse_far(connection, source, dataset, wholes)
        raise
    columns = {column.name: plain(raw[column.name]) for column in fitted}
    for name, values in columns.items():
        if wanted[name] == "time" and np.ma.is_masked(values):
            columns[name] = _times(connection, source, texts, dataset, name, terms, values)
        if texts and wanted[name] == "number" and np.isinf(values).any():
            test = f"isinf(TRY_CAST({quoted(name)} AS DOUBLE))"
            if wrong := csv.first_wrong(connection, texts, list(terms), name, test):
                raise rules.infinite(f"{name!r} of {dataset.name!r}", f"line {wrong[1]}")
    return columns


def _term(name: str, stored: str, kind: Kind) -> str:
    """A column in its kind. What is no time is null for now."""
    value = quoted(name)
    if kind == "time":
        if re.fullmatch(r"TIMESTAMP.*|DATE|VARCHAR", stored):
            stamp = f"TRY_CAST({value} AS TIMESTAMPTZ)"
            read = f"isfinite({stamp})" if stored != "VARCHAR" else f"{csv.TIME.format(value)} AND isfinite({stamp})"
            return f"CASE WHEN {read} THEN epoch_us({stamp}) END"
        return f"TRY_CAST({value} AS BIGINT)"
    if kind == "number" and stored.startswith("DECIMAL"):
        return f"CAST(CAST({value} AS VARCHAR) AS DOUBLE)"  # the nearest one, which dividing does not always find
    return f"CAST({value} AS {csv.CASTS[kind]})"


def _refuse_inexact(
    connection: duckdb.DuckDBPyConnection, source: str, dataset: Dataset, found: Sequence[tuple[str, str]]
) -> None:
    """Errors: `dataset.whole` for the first value of these columns of numbers that float64 does not tell."""
    for name, stored in found:
        value, digits = quoted(name), re.fullmatch(r"DECIMAL\((\d+),.*", stored)
        if digits is not None and int(digits[1]) > _DIGITS_OF_FLOAT:
            there = f"TRY_CAST(CAST(CAST(CAST({value} AS VARCHAR) AS DOUBLE) AS VARCHAR) AS {stored})"
        elif stored in ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"):
            there = f"TRY_CAST(CAST({value} AS DOUBLE) AS HUGEINT)"
        else:
            continue
        row = connection.execute(
            f"SELECT CAST({value} AS VARCHAR) FROM {source} "
            f"WHERE {value} IS NOT NULL AND {there} IS DISTINCT FROM {value} LIMIT 1"
        ).fetchone()
        if row is not None:
            raise rules.inexact(f"{name!r} of {dataset.name!r}", row[0])


def _times(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    texts: str,
    dataset: Dataset,
    name: str,
    terms: Mapping[str, str],
    values: NDArray[Any],
) -> NDArray[Any]:
    """The stamps that DuckDB does not read, as `dataset.push` reads them. Errors: `dataset.time`, of a CSV by line."""
    value, term = quoted(name), terms[name]
    raw = connection.execute(
        f"SELECT CASE WHEN {term} IS NULL THEN CAST({value} AS VARCHAR) END AS text FROM {source}"
    ).fetchnumpy()["text"]
    found = plain(raw)
    mended = values.copy()
    for row in np.flatnonzero([text is not None for text in found]):
        try:
            mended[row] = rules.micros(dataset.name, name, found[row])  # which clears its mask
        except MillraceError as fault:
            text = str(found[row]).replace("'", "''")
            wrong = csv.first_wrong(connection, texts, list(terms), name, f"{value} = '{text}'") if texts else None
            if wrong is None:
                raise
            told = f"{name!r} of {dataset.name!r} gets {wrong[0]!r} in line {wrong[1]}, which is no time"
            raise MillraceError(fault.code, told, csv.ONE_WAY) from fault
    return mended if np.ma.is_masked(mended) else np.ma.getdata(mended)


def _refuse_far(connection: duckdb.DuckDBPyConnection, source: str, dataset: Dataset, names: Sequence[str]) -> None:
    """Errors: `dataset.whole` for the first value of these columns that 64 bits do not hold."""
    for name in names:
        value = quoted(name)
        row = connection.execute(
            f"SELECT CAST({value} AS VARCHAR) FROM {source} "
            f"WHERE {value} IS NOT NULL AND {csv.FAR.format(value)} LIMIT 1"
        ).fetchone()
        if row is not None:
            raise MillraceError(
                "dataset.whole", f"{name!r} of {dataset.name!r} gets {row[0]}, beyond 64 bits",
                "send it as text, or as a float",
            )  # fmt: skip


_DIGITS_OF_FLOAT = 15  # decimals of so many digits are all told by the nearest float64
