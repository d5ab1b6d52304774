"""How answers look on standard output: aligned columns for a person, JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_WIDEST = 40


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_text(value: Any) -> str:
    """A table for a list of records, ``name  value`` lines for one, the value itself otherwise."""
    if isinstance(value, dict) and set(value) == {"items", "next"}:
        value = value["items"]
    if isinstance(value, list):
        rows = value and all(isinstance(item, dict) for item in value)
        return table(value) if rows else "\n".join(str(item) for item in value)
    if isinstance(value, dict):
        width = max((len(name) for name in value), default=0)
        return "\n".join(f"{name:<{width}}  {cell(item)}" for name, item in value.items())
    return "" if value is None else str(value)


def table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_narrow(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    lines = [names, *cells]
    padded = ([f"{text:<{width}}" for text, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _narrow(value: Any) -> str:
    """A cell of a table; of long nested values the beginning, because a line of a table is read whole."""
    text = cell(value)
    return text if len(text) <= _WIDEST or not isinstance(value, dict | list) else text[: _WIDEST - 1] + "…"


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
