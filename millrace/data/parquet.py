"""Columns to Parquet and back, by DuckDB. Readers and writers share no state."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from millrace.base.errors import MillraceError, nearest

if TYPE_CHECKING:
    import duckdb

Columns = dict[str, NDArray[Any]]


def connect(memory_mb: int = 0) -> duckdb.DuckDBPyConnection:
    """A connection of one caller: naive stamps are UTC, one thread, nothing fetched from anywhere."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    if memory_mb:
        connection.execute("SET memory_limit = ?", [f"{memory_mb}MB"])
    return connection


def write(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Columns, each (n,), as one Parquet file. NaN and None become null. The same columns give the same bytes."""
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        place = Path(folder) / "part.parquet"
        given = dict(columns)  # DuckDB finds it by this name
        with connect() as connection:
            connection.execute(f"COPY (SELECT * FROM given) TO '{place}' ({OPTIONS})")
        del given
        return place.read_bytes()


OPTIONS = "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2"


def read(source: Path | bytes | Sequence[Path], names: Sequence[str] | None = None, where: str = "") -> Columns:
    """The columns of one file or of several of one schema, in order: text as str or None, other nulls as NaN.

    Whole numbers without nulls are int64, all other numbers float64, booleans bool or float64 with NaN.
    Errors: `frame.column` for a name that is not there.
    """
    if isinstance(source, bytes):
        with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
            place = Path(folder) / "part.parquet"
            place.write_bytes(source)
            return read(place, names, where)
    places = [str(source)] if isinstance(source, Path) else [str(place) for place in source]
    with connect() as connection:
        if names is not None:
            there = [
                row[0] for row in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [places]).fetchall()
            ]
            for name in names:
                if name not in there:
                    raise MillraceError("frame.column", f"there is no column {name!r}", nearest(name, there))
        wanted = "*" if names is None else ", ".join(quoted(name) for name in names)
        query = f"SELECT {wanted} FROM read_parquet(?)" + (f" WHERE {where}" if where else "")
        found = connection.execute(query, [places]).fetchnumpy()
    return {name: plain(values) for name, values in found.items()}


def plain(values: Any) -> NDArray[Any]:
    """DuckDB's masked array as ours: text as str or None, the rest with NaN where something is missing."""
    missing = np.ma.getmaskarray(values)
    data: NDArray[Any] = np.ma.getdata(values)
    if data.dtype == object:
        data = data.copy()
        data[missing] = None
        return data
    if missing.any():
        return np.where(missing, np.nan, data.astype(np.float64))
    return data.astype(np.float64) if data.dtype.kind == "f" else data


def quoted(name: str) -> str:
    """A column's name in a statement."""
    return '"' + name.replace('"', '""') + '"'
