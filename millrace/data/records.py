"""What data remembers: datasets, their immutable versions, and a summary of every column."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from millrace.base.clock import Micros
from millrace.base.names import Name

Kind = Literal["number", "whole", "text", "bool", "time"]
KINDS: tuple[Kind, ...] = ("number", "whole", "text", "bool", "time")


class Column(Struct, frozen=True):
    """A column: number (float64), whole (int64), text, bool, or time (int64 microseconds since 1970, UTC)."""

    name: str
    kind: Kind


class Summary(Struct, frozen=True):
    """An additive summary of one column: rows, missing ones, range, mean and Σ(x − mean)² of those that are numbers.

    Of text, `mean` and the range are those of the lengths in characters.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    low: float | None
    high: float | None
    mean: float | None
    squares: float

    @property
    def deviation(self) -> float | None:
        """The standard deviation (n − 1), None below two values."""
        count = self.rows - self.missing
        return math.sqrt(self.squares / (count - 1)) if count > 1 else None


class Dataset(Struct, frozen=True):
    """A named table.

    `key` are the columns that name a row: the same key again is a correction, and the newest to arrive holds. `event`
    is the column of event time and `arrived` the one that says when the row was known; where that is empty, a row was
    known when it happened. `latest` is the number of the newest version, 0 before the first; `waiting` counts pushed
    rows that no version holds yet.
    """

    name: Name
    key: tuple[str, ...]
    event: str
    arrived: str
    columns: tuple[Column, ...]
    made: Micros
    latest: int = 0
    waiting: int = 0


class Version(Struct, frozen=True):
    """What a dataset held when it was cut: a tree of Parquet parts, and all that is needed to read them.

    `pushed` is the number of the last push that it holds. `added` counts the rows that came with it.
    """

    dataset: Name
    number: int
    id: str
    tree: str
    rows: int
    added: int
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event: str
    arrived: str
    since: Micros | None
    until: Micros | None
    summary: tuple[Summary, ...]
    made: Micros
    actor: str
    pushed: int = 0
