"""Rows as people hold them (a mapping, a list of mappings, a frame) as the columns of plain lists that verbs take.

Nothing heavy is loaded: a frame is asked by its own methods. NaN becomes None, stamps become microseconds. Infinity is
refused here, because JSON has no word for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from millrace.base.clock import from_datetime, from_iso
from millrace.base.errors import MillraceError, few

Listed = dict[str, list[Any]]
_PLAIN = frozenset({int, float, str, bool, type(None)})


def listed(rows: Any, infinite: str = "dataset.infinite") -> tuple[Listed, bool]:
    """(columns, whether one row came by itself, as a mapping of plain values).

    Errors: `request.invalid`, and `infinite`: the code for an infinite number.
    """
    alone = False
    if isinstance(rows, Mapping):
        single = [str(name) for name, value in rows.items() if not _is_column(value)]
        alone = bool(rows) and len(single) == len(rows)
        if single and not alone:
            several = {str(name): len(value) for name, value in rows.items() if _is_column(value)}
            raise MillraceError(
                "request.invalid",
                f"{few([repr(name) for name in single])} of the columns are single values, "
                f"{few([f'{name!r} has {count}' for name, count in several.items()])}",
                "give one value a row in each column, or a single row of single values",
            )
        columns = {str(name): [value] if alone else value for name, value in rows.items()}
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes) and rows and isinstance(rows[0], Mapping):
        names = dict.fromkeys(str(name) for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
    else:
        columns = _of_frame(rows)
    return {name: _column(name, values, infinite) for name, values in columns.items()}, alone


def micros(time: Any) -> Any:
    """ISO texts and datetimes as microseconds; anything else as it is. Errors: `request.invalid`."""
    if isinstance(time, str):
        return from_iso(time)
    return from_datetime(time) if isinstance(time, datetime) else time


def _of_frame(frame: Any) -> Listed:
    kind = type(frame).__module__.partition(".")[0]
    if hasattr(frame, "to_pydict"):
        found = frame.to_pydict()
    elif kind == "polars" and hasattr(frame, "to_dict"):
        found = frame.to_dict(as_series=False)
    elif kind == "pandas" and hasattr(frame, "to_dict"):
        found = frame.to_dict("list")
    else:
        raise MillraceError(
            "request.invalid", f"a {type(frame).__name__} holds no rows", "give a mapping, a list of them, or a frame"
        )
    return {str(name): values for name, values in found.items()}


def _is_column(value: Any) -> bool:
    if getattr(value, "ndim", 0):
        return True
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _column(name: str, values: Any, infinite: str) -> list[Any]:
    if getattr(getattr(values, "dtype", None), "kind", "") == "M":
        values = [None if value is None else from_datetime(value) for value in _stamps(values)]
    plain = values.tolist() if hasattr(values, "tolist") else list(values)
    cells = [_cell(value) for value in plain]
    _check_kinds(name, cells)
    if math.inf in cells or -math.inf in cells:
        row = next(row for row, value in enumerate(cells) if value in (math.inf, -math.inf))
        raise MillraceError(
            infinite, f"{name!r} is infinite in row {row}", "leave it empty (None), or cut it to a range"
        )
    return cells


def _check_kinds(name: str, cells: list[Any]) -> None:
    """JSON would take bytes for text in base64, and has no half characters."""
    kinds = set(map(type, cells))
    if kinds & {bytes, bytearray, memoryview}:
        raise MillraceError("request.invalid", f"{name!r} holds bytes", "decode them, and send text")
    if str in kinds:
        try:
            "".join(cell for cell in cells if type(cell) is str).encode()
        except UnicodeEncodeError as fault:
            raise MillraceError(
                "request.invalid", f"{name!r} holds half a character, which no UTF-8 tells", "decode the text anew"
            ) from fault


def _stamps(values: Any) -> list[Any]:
    return list(values.astype("datetime64[us]").tolist())


def _is_missing(value: Any) -> bool:
    """NaN, NaT, and pandas' NA, which will not even say whether it is itself."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def _cell(value: Any) -> Any:
    if type(value) in _PLAIN:
        return None if value != value else value
    if _is_missing(value):
        return None
    if isinstance(value, datetime):
        return from_datetime(value)
    return value.item() if hasattr(value, "item") else value
