"""Files to parts: Parquet and CSV bytes become one sorted Parquet part in the dataset's own kinds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from millrace.base.errors import MillraceError
from millrace.data import rules
from millrace.data.parquet import Columns, connect, plain, quoted
from millrace.data.records import Column, Dataset, Kind

if TYPE_CHECKING:
    import duckdb

_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"BOOLEAN", "bool"),
    (r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", "whole"),
    (r"FLOAT|DOUBLE|DECIMAL\(.*\)", "number"),
    (r"VARCHAR|UUID|ENUM\(.*\)", "text"),
    (r"TIMESTAMP.*|DATE", "time"),
)


def columns_of(file: Path, dataset: Dataset) -> tuple[Columns, tuple[Column, ...]]:
    """The rows of a file in the order of event time, and the dataset's columns that they fit.

    Errors: `dataset.unreadable` (no Parquet and no CSV, or a damaged one), `dataset.kind` for a nested column, and
    those of `rules.schema` and `rules.check`.
    """
    import duckdb

    if not file.stat().st_size:
        raise MillraceError("dataset.empty", "the file is empty", "give Parquet or CSV with at least one row")
    with connect() as connection:
        try:
            source = _source(file)
            described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
            found = [_column(dataset, str(row[0]), str(row[1])) for row in described]
            fitted = rules.schema(dataset.name, dataset.columns, [column for column, _ in found])
            columns = _read(connection, source, dataset, found, fitted)
        except (duckdb.Error, UnicodeDecodeError) as fault:
            told = str(fault).splitlines()[0]
            raise MillraceError(
                "dataset.unreadable", f"the file is neither whole Parquet nor CSV: {told}", "write it again"
            ) from fault
    return columns, fitted


def _source(file: Path) -> str:
    with file.open("rb") as opened:
        parquet = opened.read(4) == b"PAR1"
    place = str(file).replace("'", "''")
    return f"read_parquet('{place}')" if parquet else f"read_csv('{place}', header = true, null_padding = false)"


def _column(dataset: Dataset, name: str, kind: str) -> tuple[Column, str]:
    found = next((held for pattern, held in _KINDS if re.fullmatch(pattern, kind)), None)
    if found is None:
        raise MillraceError(
            "dataset.kind", f"{name!r} is {kind}, which no column here can hold", "flatten it into plain columns"
        )
    timely = name in (dataset.event, dataset.arrived)
    return Column(name, "time" if timely and found in ("text", "whole") else found), kind


def _read(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    dataset: Dataset,
    found: Sequence[tuple[Column, str]],
    fitted: Sequence[Column],
) -> Columns:
    wanted = {column.name: column.kind for column in fitted}
    terms = [f"{_term(c.name, kind, wanted[c.name])} AS {quoted(c.name)}" for c, kind in found]
    order = f" ORDER BY {quoted(dataset.event)}" if dataset.event in wanted else ""
    raw = connection.execute(f"SELECT {', '.join(terms)} FROM {source}{order}").fetchnumpy()
    return {column.name: plain(raw[column.name]) for column in fitted}


def _term(name: str, stored: str, kind: Kind) -> str:
    value = quoted(name)
    if kind == "time":
        if re.fullmatch(r"TIMESTAMP.*|DATE|VARCHAR", stored):
            return f"epoch_us(CAST({value} AS TIMESTAMPTZ))"
        return f"CAST({value} AS BIGINT)"
    return f"CAST({value} AS {_CASTS[kind]})"


_CASTS: dict[Kind, str] = {"number": "DOUBLE", "whole": "BIGINT", "text": "VARCHAR", "bool": "BOOLEAN"}
