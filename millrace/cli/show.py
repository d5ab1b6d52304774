"""How answers look on standard output: text that a person can read, JSON for a program.

A list of records is a table, and so are columns of one length; a record is ``name  value`` lines, what is nested in it
indented below its name. Times are ISO 8601 in UTC; in JSON they stay micros.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from typing import Any

from millrace.base.clock import to_iso
from millrace.cli import optable

_WIDEST = 40
_INDENT = "  "
_NONE = "–"
_PAGE = {"items", "next", "total"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIMES = range(10**14, 253_402_300_800_000_000)  # micros from 1973 to 9999: what users call `at` may be small numbers
_LINE = 200  # where it is not known how wide the terminal is


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_text(value: Any) -> str:
    """A table for a list of records or for columns, lines for a record, the value itself otherwise."""
    if isinstance(value, dict) and {"items"} < set(value) <= _PAGE and isinstance(value["items"], list):
        shown = as_text(value["items"])
        return shown if value["next"] is None else f"{shown}\n{_more(value)}"
    if isinstance(value, list):
        rows = value and all(isinstance(item, dict) for item in value)
        return table(value) if rows else "\n".join(cell(item) for item in value)
    if isinstance(value, dict):
        return table(_rows(value)) if _columnar(value) else "\n".join(_lines(_dated(value)))
    return "" if value is None else str(value)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Aligned columns. Where they are wider than the terminal, nested ones and empty ones are left out, and named."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = {name: [name, *(_narrow(row.get(name), name) for row in rows)] for name in names}
    widths = {name: max(map(len, texts)) for name, texts in cells.items()}
    most, dropped = shutil.get_terminal_size((_LINE, 24)).columns, []
    for name in sorted(names, key=lambda name: _worth(name, rows)):
        kept = [one for one in names if one not in dropped]
        if sum(widths[one] + 2 for one in kept) - 2 <= most or not _worth(name, rows)[0] < _PLAIN:
            break
        dropped.append(name)
    kept = [name for name in names if name not in dropped]
    lines = ["  ".join(f"{cells[name][i]:<{widths[name]}}" for name in kept).rstrip() for i in range(len(rows) + 1)]
    told = [f"(not shown: {', '.join(name for name in names if name in dropped)}; --json shows all)"] if dropped else []
    return "\n".join(lines + told)


def cell(value: Any, name: str = "") -> str:
    """`value`, of a field of that name, on one line."""
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return to_iso(value) if name in optable.times() and value in _TIMES else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_inner(item, key)}" for key, item in value.items()) or _NONE
    if isinstance(value, list):
        return ", ".join(_inner(item, name) for item in value) or _NONE
    return str(value)


_EMPTY, _DEEP, _FLAT, _PLAIN = range(4)


def _worth(name: str, rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """What is left out first is least."""
    values = [row.get(name) for row in rows]
    nested = [value for value in values if isinstance(value, dict | list)]
    if all(value is None or value == "" or value == [] or value == {} for value in values):
        return _EMPTY, 0
    if not nested:
        return _PLAIN, 0
    deep = any(isinstance(item, dict | list) for value in nested for item in _items(value))
    return (_DEEP, -max(len(cell(value, name)) for value in nested)) if deep else (_FLAT, 0)


def _items(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _inner(value: Any, name: str) -> str:
    text = cell(value, name)
    return f"({text})" if isinstance(value, dict | list) and value else text


def _narrow(value: Any, name: str) -> str:
    """A cell of a table; of long nested values the beginning, because a line of a table is read whole."""
    text = " ".join(cell(value, name).split("\n"))
    if isinstance(value, int) and text.endswith("Z"):
        return text.partition(".")[0].removesuffix("Z") + "Z"
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:12]}…"
    return text if len(text) <= _WIDEST or not isinstance(value, dict | list) else text[: _WIDEST - 1] + "…"


def _lines(record: dict[str, Any]) -> list[str]:
    """``name  value``, aligned; what does not fit on one line is indented below its name."""
    width = max(map(len, record), default=0)
    lines: list[str] = []
    for name, value in record.items():
        block = _block(value)
        if block is None:
            lines.append(f"{name:<{width}}  {cell(value, name)}".rstrip())
        else:
            lines += [name, *(_INDENT + line for line in block)]
    return lines


def _block(value: Any) -> list[str] | None:
    """The lines of a value that needs more than one, or None."""
    if isinstance(value, str) and "\n" in value:
        return value.splitlines()
    if not isinstance(value, dict | list) or not value:
        return None
    if isinstance(value, dict):
        return table(_rows(value)).splitlines() if _columnar(value) else _lines(value)
    if all(isinstance(item, dict) for item in value):
        return table(value).splitlines()
    return [cell(item) for item in value] if any(isinstance(item, dict | list) for item in value) else None


def _dated(record: dict[str, Any]) -> dict[str, Any]:
    """Rows of a version of a dataset, their times as such: a user's columns have any name, and a kind."""
    version, columns = record.get("version"), record.get("columns")
    if not isinstance(version, dict) or not isinstance(columns, dict) or not isinstance(version.get("columns"), list):
        return record
    kinds = {
        one["name"]: one["kind"] for one in version["columns"] if isinstance(one, dict) and {"name", "kind"} <= set(one)
    }
    dated = {
        name: [to_iso(at) if kinds.get(name) == "time" and at in _TIMES else at for at in values]
        for name, values in columns.items()
    }
    return {**record, "columns": dated}


def _columnar(value: dict[str, Any]) -> bool:
    """Whether these are columns: lists of plain values, all of one length, that is not 0."""
    lists = [item for item in value.values() if isinstance(item, list)]
    plain = not any(isinstance(cell, dict | list) for item in lists for cell in item)
    return (
        bool(lists)
        and len(lists) == len(value)
        and plain
        and len({len(item) for item in lists} - {0}) == 1
        and all(lists)
    )


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _more(page: dict[str, Any]) -> str:
    of = f" of {page['total']}" if "total" in page else ""
    return f"({len(page['items'])}{of} shown; more: --after {page['next']})"
