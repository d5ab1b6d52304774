"""Columns to Parquet and back, by DuckDB. Readers and writers share no state."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from millrace.base.errors import MillraceError, nearest
from millrace.data import rules

if TYPE_CHECKING:
    import duckdb

Columns = dict[str, NDArray[Any]]


def connect() -> duckdb.DuckDBPyConnection:
    """A connection of one caller: naive stamps are UTC, one thread, nothing fetched from anywhere.

    Opening an engine takes ten milliseconds, so a process keeps one.
    """
    import duckdb

    try:
        return _told(_engine(os.getpid()).cursor())
    except duckdb.Error:  # a fault inside an engine ends it for good
        _engine.cache_clear()
        return _told(_engine(os.getpid()).cursor())


@lru_cache(maxsize=1)
def _engine(process: int) -> duckdb.DuckDBPyConnection:
    """The engine of a process; a forked one opens its own."""
    import duckdb

    return _told(duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False}))


def _told(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    return connection.execute("SET TimeZone = 'UTC'")


def write(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Columns, each (n,), as one Parquet file. NaN, None and what is masked become null.

    A masked column keeps its type. The same columns give the same bytes. Errors: `dataset.kind` for a text that is no
    Unicode, `dataset.schema` for such a name, or none.
    """
    rules.check_columns(columns)
    given: Columns = {}  # DuckDB finds it by this name
    terms = [f"{_offer(given, values)} AS {quoted(name)}" for name, values in columns.items()]
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder, connect() as connection:
        place = Path(folder) / "part.parquet"
        try:
            connection.execute(f"COPY (SELECT {', '.join(terms)} FROM given) TO '{place}' ({OPTIONS})")
        except Exception:  # DuckDB and its binding have one each for it
            _check_texts(columns)
            raise
        return place.read_bytes()


def _check_texts(columns: Mapping[str, NDArray[Any]]) -> None:
    for name, values in columns.items():
        texts = values.tolist() if values.dtype == object else []
        row = next(
            (row for row, text in enumerate(texts) if isinstance(text, str) and not rules.is_unicode(text)), None
        )
        if row is not None:
            raise MillraceError(
                "dataset.kind", f"{name!r} holds half a character in row {row}, which no UTF-8 tells",
                "decode the text anew, or say text.encode('utf-8', 'replace').decode()",
            )  # fmt: skip


def _offer(given: Columns, values: NDArray[Any]) -> str:
    """Put a column into `given` as DuckDB reads it best, and say how it is selected.

    Of an object array DuckDB looks for pandas at every value, a millisecond each where there is none. So text goes in
    at a fixed width beside its nulls, but for text that this would bloat or cut (NumPy drops a NUL at the end).
    """
    name = f"c{len(given)}"
    given[name] = np.ascontiguousarray(np.ma.getdata(values))  # DuckDB reads no array backwards
    if values.dtype != object:
        if not np.ma.is_masked(values):
            return name
        given[f"{name}_missing"] = np.ascontiguousarray(np.ma.getmaskarray(values))
        return f"CASE WHEN {name}_missing THEN NULL ELSE {name} END"
    texts = values.tolist()
    there = [text for text in texts if text is not None]
    if not all(type(text) is str for text in there):
        return name
    widest = max(map(len, there), default=0)
    if len(texts) * widest > _WIDE + 8 * sum(map(len, there)) or any(text.endswith("\0") for text in there):
        return name
    given[name] = np.array([text or "" for text in texts], f"<U{max(widest, 1)}")
    if len(there) == len(texts):
        return name
    given[f"{name}_missing"] = values == None  # noqa: E711
    return f"CASE WHEN {name}_missing THEN NULL ELSE {name} END"


_WIDE = 1 << 22
_HEAD = 10_000
_MOST_WORDS = 20_000
_LARGE = 1_000_000  # bytes of Parquet from which on codes for words pay
OPTIONS = "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2"


def read(
    source: Path | bytes | Sequence[Path], names: Sequence[str] | None = None, *, exact: bool = False, limit: int = 0
) -> Columns:
    """The columns of one file or of several of one schema, in order: text as str or None, other nulls as NaN.

    Whole numbers without nulls are int64, all other numbers float64, booleans bool or float64 with NaN. With `exact`,
    whole numbers, times and booleans keep their type and are masked where null. `limit` rows at most, 0 for all.
    Errors: `frame.column` for a name that is not there, `dataset.whole` for whole numbers beside nulls that float64
    would round.
    """
    if isinstance(source, bytes):
        with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
            place = Path(folder) / "part.parquet"
            place.write_bytes(source)
            return read(place, names, exact=exact, limit=limit)
    places = [str(source)] if isinstance(source, Path) else [str(place) for place in source]
    with connect() as connection:
        large = not limit and sum(Path(place).stat().st_size for place in places) >= _LARGE
        terms: list[str] = ["*"]
        words: dict[str, NDArray[Any]] = {}
        if large or names is not None:
            told = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [places]).fetchall()
            kinds = {name: kind for name, kind, *_ in told}
            wanted = list(kinds if names is None else names)
            for name in wanted:
                if name not in kinds:
                    raise MillraceError("frame.column", f"there is no column {name!r}", nearest(name, kinds))
            texts = [name for name in dict.fromkeys(wanted) if large and kinds[name] == "VARCHAR"]
            words = _words(connection, places, texts)
            types = {name: f"word_{place}" for place, name in enumerate(words)}
            terms = [
                f"enum_code({quoted(name)}::{types[name]}) AS {quoted(name)}" if name in types else quoted(name)
                for name in wanted
            ]
        few = f" LIMIT {limit:d}" if limit else ""
        asked = f"SELECT {', '.join(terms)} FROM read_parquet(?){few}"
        found = connection.execute(asked, [places]).fetchnumpy()
    ours = {name: _spelled(words[name], values) if name in words else plain(values) for name, values in found.items()}
    return ours if exact else {name: floating(name, values) for name, values in ours.items()}


def _words(connection: duckdb.DuckDBPyConnection, places: list[str], texts: list[str]) -> dict[str, NDArray[Any]]:
    """The distinct texts, in the order of their codes and then None, of those columns that have few. The n-th of them
    becomes the type ``word_n`` of the connection.

    Codes come ten times as fast as texts, of which each would be an object of its own.
    """
    if not texts:
        return {}
    terms = ", ".join(f"approx_count_distinct({quoted(name)})" for name in texts)
    counts = connection.execute(f"SELECT {terms} FROM read_parquet(?)", [places]).fetchall()[0]
    words: dict[str, NDArray[Any]] = {}
    for name in itertools.compress(texts, [count <= _MOST_WORDS for count in counts]):
        kind, column = f"word_{len(words)}", quoted(name)
        distinct = f"SELECT DISTINCT {column} FROM read_parquet(?) WHERE {column} IS NOT NULL"
        connection.execute(f"CREATE TEMP TYPE {kind} AS ENUM ({distinct})", [places])
        range_ = connection.execute(f"SELECT enum_range(NULL::{kind})").fetchall()[0][0]
        words[name] = np.array([*range_, None], object)
    return words


def _spelled(words: NDArray[Any], codes: Any) -> NDArray[Any]:
    """The texts, each word one object however often it comes."""
    places = np.ma.getdata(codes).astype(np.int64)
    places[np.ma.getmaskarray(codes)] = len(words) - 1
    return words[places]


def join(parts: Sequence[Path], whole: Path) -> list[str]:
    """Write the rows of several files, in order, as one; the names of its columns. A column that a file lacks is null
    there. Held in memory is a row group at a time."""
    with connect() as connection:
        every = connection.from_parquet([str(part) for part in parts], union_by_name=True)
        connection.execute(f"COPY every TO '{whole}' ({OPTIONS})")
        return list(every.columns)


def plain(values: Any) -> NDArray[Any]:
    """DuckDB's masked array as ours: text as str or None, numbers as float64 with NaN where something is missing;
    whole numbers, times and booleans keep their type, and their mask where something is missing.

    Equal texts of a column that repeats itself are one object: labels take eight bytes a row instead of sixty.
    """
    missing = np.ma.getmaskarray(values)
    data: NDArray[Any] = np.ma.getdata(values)
    if data.dtype == object:
        data = _one_each(data) if _repeats(data) else data.copy()
        data[missing] = None
        return data
    if data.dtype.kind == "f":
        return np.where(missing, np.nan, data.astype(np.float64))
    return np.ma.MaskedArray(data, missing) if missing.any() else data


def floating(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """A column as rooms pass it on: what is masked as float64 with NaN, the rest as it is.

    Errors: `dataset.whole` where that would round a value.
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    rules.check_exact(repr(name), values)
    return np.where(np.ma.getmaskarray(values), np.nan, np.ma.getdata(values).astype(np.float64))


def _repeats(values: NDArray[Any]) -> bool:
    head = values[:_HEAD].tolist()
    return len(set(head)) * 2 < len(head)


def _one_each(values: NDArray[Any]) -> NDArray[Any]:
    one = _Texts()
    found = np.empty(len(values), object)
    found[:] = [one[value] for value in values.tolist()]
    return found


class _Texts(dict[Any, Any]):
    """Each text once. It is copied, so that what is kept stands together and the memory of the rest goes back."""

    def __missing__(self, value: Any) -> Any:
        kept = value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass") if type(value) is str else value
        self[kept] = kept
        return kept


def listed(values: Any) -> list[Any]:
    """The values of a column as plain ones, as JSON has them: None where something is missing."""
    found = values.tolist() if isinstance(values, np.ndarray) else list(values)
    floating = not isinstance(values, np.ndarray) or values.dtype.kind == "f"
    return [None if value != value else value for value in found] if floating else found


def quoted(name: str) -> str:
    """A column's name in a statement."""
    return '"' + name.replace('"', '""') + '"'
