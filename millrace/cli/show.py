"""How answers look on standard output: text that a person can read, JSON for a program.

A list of records is a table, and so are columns of one length; a record is ``name  value`` lines, what is nested in it
indented below its name. A table fits the terminal: long texts are shortened, the longest is wrapped in the last column,
and columns that find no room are named below it. Times are ISO 8601 in UTC; in JSON they stay micros.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from bisect import bisect_right
from collections.abc import Iterable, Sequence
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
_ENDLESS = 1 << 30  # a line that holds everything
_LEAST = 10  # a shortened text keeps as much
_PROSE = 24  # and the one that is wrapped has as much room, if there is
_FIRST = frozenset({"id", "name", "number", "version", "state"})  # what gives way last


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_text(value: Any, wide: bool = False) -> str:
    """A table for a list of records or for columns, lines for a record, the value itself otherwise; whole if `wide`."""
    return _text(value, _ENDLESS if wide else _terminal())


def _terminal() -> int:
    return shutil.get_terminal_size((_LINE, 24)).columns


def _text(value: Any, most: int) -> str:
    if isinstance(value, dict) and {"items"} < set(value) <= _PAGE and isinstance(value["items"], list):
        shown = _text(value["items"], most)
        return shown if value["next"] is None else f"{shown}\n{_more(value)}"
    if isinstance(value, list):
        rows = value and all(isinstance(item, dict) for item in value)
        return "\n".join(_table(value, most)) if rows else "\n".join(cell(item) for item in value)
    if isinstance(value, dict):
        return "\n".join(_table(_rows(value), most) if _columnar(value) else _lines(_dated(value), most))
    return "" if value is None else str(value)


def table(rows: Sequence[dict[str, Any]], wide: bool = False) -> str:
    """Aligned columns that fit the terminal, or whole if `wide`."""
    return "\n".join(_table(rows, _ENDLESS if wide else _terminal()))


def _table(rows: Sequence[dict[str, Any]], most: int) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = {name: [name, *(_narrow(row.get(name), name, most) for row in rows)] for name in names}
    widths = {name: max(map(len, texts)) for name, texts in cells.items()}
    least, prose = _kept(names, widths, rows, most)
    kept, sizes = list(least), _sizes(least, prose, widths, most)
    lines, shortened = [], False
    for place in range(len(rows) + 1):
        row = {name: cells[name][place] for name in kept}
        wrapped: list[str] = []
        if prose is not None and len(row[prose]) > sizes[prose]:
            wrapped = textwrap.wrap(row[prose], sizes[prose]) or [""]
            row[prose] = wrapped[0]
        shortened = shortened or any(len(text) > sizes[name] for name, text in row.items())
        lines.append("  ".join(f"{_cut(text, sizes[name]):<{sizes[name]}}" for name, text in row.items()).rstrip())
        before = _across(sizes[name] for name in kept[:-1]) + 2 * (len(kept) > 1)
        lines += [" " * before + rest for rest in wrapped[1:]]
    dropped = [name for name in names if name not in kept]
    if dropped or shortened:
        told = f"not shown: {', '.join(dropped)}" if dropped else "shortened"
        lines += textwrap.wrap(f"({told}; --wide or --json shows all)", max(most, _PROSE))
    return lines


def _across(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + 2 * max(0, len(found) - 1)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(0, size - 1)] + "…"


def _kept(
    names: list[str], widths: dict[str, int], rows: Sequence[dict[str, Any]], most: int
) -> tuple[dict[str, int], str | None]:
    """The columns that find room, each with its least width, and the one that is wrapped, last: None where all fit.

    Nested and empty columns go first, then those that say the same in every row, then the last ones.
    """
    kept = list(names)
    for name in sorted(names, key=lambda name: _worth(name, rows)):
        if _across(widths[one] for one in kept) <= most or not _worth(name, rows)[0] < _PLAIN:
            break
        kept.remove(name)
    if _across(widths[one] for one in kept) <= most:
        return {name: widths[name] for name in kept}, None
    texts = [name for name in kept if any(" " in row[name] for row in rows if isinstance(row.get(name), str))]
    prose = max(texts, key=lambda name: widths[name], default=None)
    if prose is not None:
        kept = [*(name for name in kept if name != prose), prose]
    least = {name: _least(name, prose, widths, rows) for name in kept}

    def stays(name: str) -> tuple[bool, bool, int]:
        same = len(rows) > 1 and len({str(row.get(name)) for row in rows}) == 1
        return name in _FIRST, not same, -names.index(name)

    for name in sorted((name for name in kept[1:] if name != prose), key=stays):
        if _across(least.values()) <= most:
            break
        del least[name]
    return least, prose


def _least(name: str, prose: str | None, widths: dict[str, int], rows: Sequence[dict[str, Any]]) -> int:
    """How narrow a column may become: a number or a time that was cut would be another one."""
    if name == prose:
        return min(widths[name], _PROSE)
    values = [row.get(name) for row in rows]
    text = any(isinstance(value, str | dict | list) for value in values)
    return min(widths[name], max(_LEAST, len(name))) if text else widths[name]


def _sizes(least: dict[str, int], prose: str | None, widths: dict[str, int], most: int) -> dict[str, int]:
    """How wide each column is drawn: texts give way together, the longest first."""
    room = most - 2 * (len(least) - 1)

    def drawn(cap: int) -> dict[str, int]:
        return {name: max(low, min(widths[name], cap) * (name != prose)) for name, low in least.items()}

    caps = range(_LEAST, max((widths[name] for name in least if name != prose), default=0) + 1)
    cap = bisect_right(caps, room, key=lambda cap: sum(drawn(cap).values()))
    sizes = drawn(caps[cap - 1] if cap else _LEAST)
    if prose is not None:
        sizes[prose] = min(widths[prose], max(4, room - sum(sizes.values()) + sizes[prose]))
    return sizes


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


def _narrow(value: Any, name: str, most: int) -> str:
    """A cell of a table; of long nested values the beginning, because a line of a table is read whole."""
    text = " ".join(cell(value, name).split("\n"))
    if most > _ENDLESS // 2:
        return text
    if isinstance(value, int) and text.endswith("Z"):
        return text.partition(".")[0].removesuffix("Z") + "Z"
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:12]}…"
    return text if len(text) <= _WIDEST or not isinstance(value, dict | list) else text[: _WIDEST - 1] + "…"


def _lines(record: dict[str, Any], most: int) -> list[str]:
    """``name  value``, aligned; what does not fit on one line is indented below its name."""
    width = max(map(len, record), default=0)
    lines: list[str] = []
    for name, value in record.items():
        block = _block(value, most - len(_INDENT))
        if block is None:
            lines.append(f"{name:<{width}}  {cell(value, name)}".rstrip())
        else:
            lines += [name, *(_INDENT + line for line in block)]
    return lines


def _block(value: Any, most: int) -> list[str] | None:
    """The lines of a value that needs more than one, or None."""
    if isinstance(value, str) and "\n" in value:
        return value.splitlines()
    if not isinstance(value, dict | list) or not value:
        return None
    if isinstance(value, dict):
        return _table(_rows(value), most) if _columnar(value) else _lines(value, most)
    if all(isinstance(item, dict) for item in value):
        return _table(value, most)
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
    return f"({len(page['items'])}{of} shown; more: --after {page['next']}, or --all)"
