"""Whatever holds a table, as Parquet bytes: pandas, Polars, Arrow, a mapping of columns, a list of rows, a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from millrace.base.clock import from_datetime
from millrace.base.errors import MillraceError
from millrace.data import files, parquet, rules

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_parquet(frame: Any) -> bytes:
    """The rows of `frame`: an object with ``__arrow_c_stream__``, a mapping of columns, a list of rows
    as mappings (what a row does not name is null in it), or the path of a file.

    A path is read as it is (Parquet or CSV). Errors: `file.unknown`, `dataset.unreadable`, `dataset.wide`,
    `dataset.whole` for a whole number beyond 64 bits or a decimal of more digits than a float64 tells; of a mapping
    `dataset.empty`, `dataset.schema` for columns of different lengths or values of several kinds, `dataset.kind` for
    values that are no plain ones.
    """
    if isinstance(frame, str | Path):
        return files.content(frame)
    if isinstance(frame, list | tuple) and all(isinstance(row, Mapping) for row in frame):
        frame = {
            name: [row.get(name) for row in frame] for name in dict.fromkeys(name for row in frame for name in row)
        }
    if isinstance(frame, Mapping):
        return parquet.write(_columns(frame))
    if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "columns"):
        # DuckDB guesses what a column of objects holds by some of them, and whole numbers may become floats.
        if not frame.columns.is_unique:
            raise MillraceError("dataset.schema", "two columns of the frame have one name", "name each by itself")
        return parquet.write(_columns({name: frame[name] for name in frame.columns}))
    if not hasattr(frame, "__arrow_c_stream__"):
        raise MillraceError(
            "dataset.unreadable",
            f"a {type(frame).__name__} is no table",
            "give a mapping of columns, a list of rows (mappings), a pandas, Polars or Arrow frame, or a path",
        )
    try:
        return _of_stream(frame)
    except MillraceError:
        raise
    except Exception as fault:  # every library of frames raises its own
        told = (str(fault) or type(fault).__name__).splitlines()[0]
        raise MillraceError(
            "dataset.unreadable", f"the {type(frame).__name__} cannot be read: {told}", "give plain columns of one type"
        ) from fault


def _of_stream(frame: Any) -> bytes:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="millrace-") as folder, parquet.connect() as connection:
        place = Path(folder) / "frame.parquet"
        stream = frame  # DuckDB finds it, and what is made of it, by these names
        rows = connection.sql("SELECT * FROM stream")
        rules.check_width(len(rows.columns))
        kinds = zip(rows.columns, map(str, rows.types), strict=True)
        # Parquet has no whole numbers of 128 bits; DuckDB would write floats.
        far = [parquet.quoted(name) for name, kind in kinds if kind in ("HUGEINT", "UHUGEINT")]
        narrow = ", ".join(f"CAST({name} AS BIGINT) AS {name}" for name in far)
        wanted = f"* REPLACE ({narrow})" if far else "*"
        try:
            connection.execute(f"COPY (SELECT {wanted} FROM rows) TO '{place}' ({parquet.OPTIONS})")
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as fault:
            raise MillraceError(
                "dataset.whole", f"a whole number in {', '.join(far)} is beyond 64 bits", "send it as text"
            ) from fault
        del stream, rows
        return place.read_bytes()


def _columns(given: Mapping[Any, Any]) -> parquet.Columns:
    """The columns of a mapping, each (n,), with nothing rounded on the way. Errors: those of `to_parquet`."""
    rules.check_width(len(given))
    columns = {str(name): _column(str(name), values) for name, values in given.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if not any(lengths.values()):
        raise MillraceError("dataset.empty", "there are no rows", "give at least one row")
    if len(set(lengths.values())) > 1:
        raise MillraceError("dataset.schema", f"the columns have lengths {lengths}", "one value a row")
    return columns


def _column(name: str, values: Any) -> NDArray[Any]:
    import numpy as np

    if type(values).__module__.partition(".")[0] == "pandas" and hasattr(values, "to_numpy"):
        values = _of_series(values)
    if isinstance(getattr(values, "dtype", None), np.dtype):
        held = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        if held.ndim == 1 and held.dtype.kind in _NARROW:
            return _numeric(held)
        if held.ndim != 1 or held.dtype.kind not in "OU":
            raise _foreign(name, f"an array of {held.dtype} in {held.ndim} dimensions")
    for way in ("to_pylist", "to_list", "tolist"):  # Arrow's, Polars', NumPy's
        if hasattr(values, way):
            values = getattr(values, way)()
            break
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise _foreign(name, f"{values!r}")
    values = list(values)
    if not set(map(type, values)) <= {str, int, type(None)}:
        values = [_plain(value) for value in values]
    return _listed(name, values)


def _of_series(values: Any) -> Any:
    """A column of pandas as an array of NumPy's, of objects with None for null where NumPy has no such type."""
    import numpy as np

    if getattr(values.dtype, "tz", None) is not None:
        values = (values.dt if hasattr(values, "dt") else values).tz_convert("UTC")
        values = (values.dt if hasattr(values, "dt") else values).tz_localize(None)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in _NARROW:
        return values.to_numpy()
    return values.to_numpy(object, na_value=None) if hasattr(values, "isna") else values.to_numpy(object)


_NARROW = "biufM"  # what DuckDB takes from NumPy as it is


def _numeric(held: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if held.dtype.kind == "M":
        stamps = held.astype("datetime64[us]")
        return np.ma.MaskedArray(np.ma.getdata(stamps), np.ma.getmaskarray(held) | np.isnat(np.ma.getdata(held)))
    return held.astype(np.float64) if held.dtype.kind == "f" else held


def _listed(name: str, values: Sequence[Any]) -> NDArray[Any]:
    """A column of Python's values, None where null."""
    import numpy as np

    types = {type(value) for value in values if value is not None}
    strange = [kind for kind in types if kind not in (bool, int, float, str, datetime)]
    if strange:
        raise _foreign(name, f"values of {min(kind.__name__ for kind in strange)}")
    if types == {datetime}:
        stamps = [None if value is None else from_datetime(value) for value in values]
        return rules.array("the mapping", name, "time", stamps).astype("datetime64[us]")
    if datetime in types:
        raise MillraceError("dataset.schema", f"{name!r} mixes times with other values", "give one kind a column")
    if not types:  # it fits whatever the dataset holds there
        return np.ma.MaskedArray(np.zeros(len(values), np.int64), True)
    if types == {str}:
        return np.array(values, object)
    return rules.array("the mapping", name, rules.kind_of("the mapping", name, values), values)


def _plain(value: Any) -> Any:
    """One value as Python's own; None for whatever a library calls missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if type(value).__module__ == "numpy":
        value = value.astype("datetime64[us]").item() if type(value).__name__ == "datetime64" else value.item()
    if isinstance(value, int):
        return value if isinstance(value, bool) else int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, datetime):
        return value if type(value) is datetime else datetime.fromisoformat(value.isoformat())
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # a day begins in UTC
    if isinstance(value, Decimal):
        return None if value.is_nan() else rules.of_decimal(value)
    return str(value) if isinstance(value, UUID) else value


def _foreign(name: str, what: str) -> MillraceError:
    return MillraceError(
        "dataset.kind", f"{name!r} is {what}, which no column here can hold", "give one plain value a row"
    )
