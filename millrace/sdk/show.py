"""How handles look: one telling line in a terminal, a small table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from millrace.base.clock import to_iso
from millrace.base.errors import MillraceError
from millrace.sdk.client import Client
from millrace.sdk.current import current, in_step

_STYLE = "text-align:left;padding:2px 12px 2px 0"


class Shown:
    """A handle that tells what it is. `_told` is the line between the brackets; `_rows` the table beside it."""

    def _told(self) -> str:
        raise NotImplementedError

    def _rows(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        return (), ()

    def _named(self) -> str:
        """What can be said without asking anybody."""
        return type(self).__name__.lower()

    def __repr__(self) -> str:
        if in_step():
            return f"<{self._named()}>"
        try:
            return f"<{self._told()}>"
        except MillraceError as fault:
            return f"<{self._named()}: {fault.message}>"

    def _repr_html_(self) -> str:
        try:
            heads, rows = self._rows()
        except MillraceError:  # the line says it
            heads, rows = (), ()
        return f"<p><code>{escape(repr(self))}</code></p>" + (table(heads, rows) if heads else "")


class Named(Shown):
    """A handle by name, looked up when it is asked for, by the client it was given or the program's."""

    def __init__(self, name: str, client: Client | None = None) -> None:
        self.name = name
        self._given = client

    @property
    def _client(self) -> Client:
        return self._given or current()


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in HTML; every cell is escaped."""
    first = "".join(f'<th style="{_STYLE}">{escape(head)}</th>' for head in heads)
    lines = ["".join(f'<td style="{_STYLE}">{escape(cell(value))}</td>' for value in row) for row in rows]
    return f"<table><tr>{first}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def day(micros: int | None) -> str:
    """A moment to the minute, or a dash."""
    return "–" if micros is None else to_iso(micros)[:16].replace("T", " ")


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
