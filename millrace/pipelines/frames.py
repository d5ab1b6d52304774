"""Lazy frames: which rows a step wants, said before anybody reads them.

    mr.dataset("flights").latest.with_features("departures_hour").with_labels("landings").split(target="late")

Nothing is read when this line runs. When a run starts, the platform replaces names by content (the dataset's newest
version, the views' definitions), so that the step's key knows the bytes; the step's process then makes the join as
each row's own moment knew it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from millrace.base.clock import Micros, from_datetime, from_iso
from millrace.base.errors import MillraceError
from millrace.base.kinds import checked, wrong_kind

Time = Micros | str | datetime


class Frame(Struct, frozen=True):
    """Rows of a dataset with features and labels as they were known. Every method answers a new frame.

    `version` 0 means the newest. `at` is the column with the moment each row is asked at ("" is the dataset's event
    time). Rows with ``since <= at < until`` are taken; labels count only if they had arrived at `until` (as wall
    micros of event time). `target` "" leaves the frame unsplit. `test` is the share of rows, the latest ones, that are
    held back. `naive` joins the latest value and ignores when it arrived: it is there to show what that costs.
    """

    dataset: str
    version: int = 0
    at: str = ""
    views: tuple[str, ...] = ()
    labels: str = ""
    label_columns: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    since: Micros | None = None
    until: Micros | None = None
    target: str = ""
    test: float = 0.25
    naive: bool = False

    def with_features(self, *views: Any) -> Frame:
        """Add feature views, by name or as objects with a `name`; their columns are called ``view__feature``."""
        return self._but(views=(*self.views, *(_name("a feature view", view) for view in views)))

    @checked
    def with_labels(self, dataset: Any, *columns: str) -> Frame:
        """Take labels from another dataset, joined by the key; all its columns unless some are named."""
        return self._but(labels=_name("a dataset", dataset), label_columns=columns)

    @checked
    def asked(self, at: str) -> Frame:
        """Join everything as known at the moment in column `at`."""
        return self._but(at=at)

    @checked
    def between(self, since: Time | None = None, until: Time | None = None) -> Frame:
        """Only rows asked in ``[since, until)``, with labels that had arrived by `until`."""
        return self._but(since=_micros(since), until=_micros(until))

    @checked
    def only(self, *columns: str) -> Frame:
        """Keep these columns as the features, in this order."""
        return self._but(columns=columns)

    def known_naively(self) -> Frame:
        """Join the latest values whenever they arrived. This leaks; it is there to be measured."""
        return self._but(naive=True)

    @checked
    def split(self, target: str, test: float = 0.25) -> Frame:
        """Split in order of time: the latest `test` share of the rows is held back. Errors: `frame.invalid`."""
        if not 0 <= test < 1:
            raise MillraceError("frame.invalid", f"a test share of {test} is not possible", "use 0 <= test < 1")
        return self._but(target=target, test=test)

    def _but(self, **changes: Any) -> Frame:
        return msgspec.structs.replace(self, **changes)


class Dataset:
    """A dataset by its name, as a pipeline mentions it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def latest(self) -> Frame:
        """The version that is newest when a run starts."""
        return Frame(self.name)

    @checked
    def version(self, number: int) -> Frame:
        """One version."""
        return Frame(self.name, number)

    def __repr__(self) -> str:
        return f"dataset({self.name!r})"


@checked
def dataset(name: str) -> Dataset:
    """The dataset `name`; nothing is looked up yet."""
    return Dataset(name)


def _name(noun: str, what: Any) -> str:
    """Errors: `request.invalid` for what is neither a name nor has one."""
    name = getattr(what, "name", what)
    if not isinstance(name, str):
        raise wrong_kind(f"what stands for {noun}", what, f"{noun} or the name of one")
    return name


def _micros(time: Time | None) -> Micros | None:
    if isinstance(time, str):
        return from_iso(time)
    return from_datetime(time) if isinstance(time, datetime) else time
