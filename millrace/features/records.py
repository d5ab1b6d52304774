"""What features remember: views, each a definition over one dataset, versioned by its content."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from millrace.base.clock import Micros
from millrace.base.names import Name

How = Literal["count", "sum", "mean", "share", "min", "max", "last"]


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """One feature over a window of time: `how` of `column` over the last `span_s` seconds.

    ``count`` needs no column; ``share`` is the share of rows whose value is above `above`; ``last`` the newest value.
    Rows without a value do not count, but for ``count`` without a column. An empty window counts 0 and is NaN else.
    """

    name: Name
    how: How
    span_s: int
    column: str = ""
    above: float = 0.0


class View(Struct, frozen=True):
    """Features of an entity, from the rows of one dataset.

    `keys` are the entity's columns, in the dataset and in a request alike. `columns` are taken from the newest row that
    is not older than `ttl_s` seconds (inclusive; 0 is no limit); `age`, if it has a name, is that row's age in seconds.
    A window covers ``(floor(T − span), T]``, cut to whole `hop_s` seconds at its old end, of event time, or with
    ``over="arrival"`` of the moment at which rows became known. A feature is called ``view__name``.

    Only rows that had arrived at the moment of the question are seen; a later row of the same key corrects the earlier.
    """

    name: Name
    source: Name
    keys: tuple[str, ...]
    columns: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    age: str = ""
    ttl_s: int = 0
    hop_s: int = 60
    over: Literal["event", "arrival"] = "event"
    about: str = ""
    number: int = 0
    digest: str = ""
    made: Micros = 0

    @property
    def features(self) -> tuple[str, ...]:
        """The full names, in order: newest values, the age, windows."""
        own = (*self.columns, *((self.age,) if self.age else ()), *(window.name for window in self.windows))
        return tuple(f"{self.name}__{feature}" for feature in own)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns whose values it needs."""
        used = (*self.columns, *(window.column for window in self.windows if window.column))
        return tuple(dict.fromkeys(used))
