"""The newest rows of one dataset, by the keys of the views over it: kept up with versions and pushes.

A row is taken in once, whatever the number of views: it is made, checked against corrections and then laid on the shelf
of its key in each view. Shelves are put in order when they are read.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.clock import SECOND
from millrace.base.errors import MillraceError, misnamed
from millrace.catalog.tx import Tx
from millrace.data import life
from millrace.data import read as versions
from millrace.data import tables as data_tables
from millrace.data.parquet import floating, listed
from millrace.data.records import Dataset, Kind, Version
from millrace.features import rules
from millrace.features.join import Columns, asked_codes, coded, decoded, needed, source_rows, told
from millrace.features.records import View
from millrace.features.shelf import ARRIVED, CORRECTED, EVENT, VALUES, Floats, Ints, Shelf, fold, is_plain, order

SLACK_S = 28_800
_MANY = 4_096
_LOOSE = 64  # so many rows may lie on a shelf unordered, and so many old ones at its end
Key = tuple[Any, ...]
_PLURAL: dict[Kind, str] = {
    "number": "numbers", "whole": "whole numbers", "text": "texts", "bool": "truths", "time": "times in micros",
}  # fmt: skip


class Shelves:
    """The rows of one view, (n, 3 + reads) float64 for each key. Old ones are dropped when there are many."""

    def __init__(self, view: View, keys: Sequence[str], reads: Sequence[str]) -> None:
        self.view = view
        self._key = [list(keys).index(name) for name in view.keys]
        self._columns = [*range(VALUES), *(VALUES + list(reads).index(name) for name in view.reads)]
        self._ordered: dict[Key, Floats] = {}
        self._loose: dict[Key, list[Floats]] = {}
        span = rules.horizon_s(view)
        self.horizon = float((span + SLACK_S) * SECOND) if span else np.inf

    def clear(self) -> None:
        self._ordered, self._loose = {}, {}

    def name(self, keys: Key) -> Key:
        """The view's part of the values of all key columns."""
        return tuple(keys[place] for place in self._key)

    def lay(self, rows: Floats, keys: Columns, places: Ints, newest: float) -> None:
        """Take in rows `places` of the stream's."""
        mine = rows[places][:, self._columns]
        columns = [keys[name][places] for name in self.view.keys]
        if len(mine) > _MANY:
            codes, names = coded(columns)
            ordered = np.argsort(codes, kind="stable")
            bounds = np.searchsorted(codes[ordered], np.arange(len(names) + 1))
            for code, name in enumerate(names):
                self._put(name, mine[ordered[bounds[code] : bounds[code + 1]]], newest)
            return
        loose = self._loose
        for name, row in zip(zip(*map(listed, columns), strict=True), mine, strict=True):
            if None not in name:
                lying = loose.setdefault(name, [])
                lying.append(row)
                if len(lying) >= _LOOSE:
                    self.rows(name, newest)

    def rows(self, name: Key, newest: float) -> Floats | None:
        """The rows of a key in the view's order."""
        lying = self._loose.pop(name, None)
        if lying is not None:
            self._put(name, np.array(lying), newest)
        return self._ordered.get(name)

    def close(self, name: Key, row: Floats, until: float, newest: float) -> None:
        """From `until` on the stream's row is another. Rows that hold the same are alike, so any one may be closed."""
        mine, held = row[self._columns], self.rows(name, newest)
        if held is None:
            return
        found = np.flatnonzero(((held == mine) | (np.isnan(held) & np.isnan(mine))).all(axis=1))
        if len(found):
            held = held.copy()
            held[found[0], CORRECTED] = until
            self._ordered[name] = held

    def _put(self, name: Key, fresh: Floats, newest: float) -> None:
        held, over = self._ordered.get(name), self.view.over
        if len(fresh) > 1:
            fresh = fresh[order(fresh, over)]
        rows = fresh if held is None else np.concatenate([held, fresh])
        if held is not None and _moment(held[-1], over) >= _moment(fresh[0], over):
            rows = rows[order(rows, over)]
        oldest = newest - self.horizon
        if len(rows) > _LOOSE and _moment(rows[len(rows) // 2], "arrival") < oldest:
            rows = rows[_known(rows) >= oldest]
        if len(rows):
            self._ordered[name] = rows
        else:
            self._ordered.pop(name, None)


def _moment(row: Floats, over: str) -> float:
    """`shelf.axis` of one row."""
    event, arrived = row.item(EVENT), row.item(ARRIVED)
    return event if over == "event" or event > arrived else arrived


class Stream:
    """The newest rows of a dataset for some views over it."""

    def __init__(self, source: str, views: Sequence[View]) -> None:
        self.source = source
        self._reads = tuple(dict.fromkeys(name for view in views for name in view.reads))
        self._keys = tuple(dict.fromkeys(name for view in views for name in view.keys))
        self._shelves = {view.digest: Shelves(view, self._keys, self._reads) for view in views}
        self._horizon = max(shelves.horizon for shelves in self._shelves.values())
        self._lock = threading.Lock()
        self._rows: dict[Key, list[tuple[Key, Floats]]] = {}  # by the dataset's key: its rows with their views' keys
        self._words: dict[str, dict[float, str]] = {}
        self._newest = -np.inf
        self._version, self._sealed, self._push = 0, 0, 0
        self._dataset: Dataset | None = None
        self._kinds: dict[str, Kind] = {}

    @property
    def views(self) -> dict[str, View]:
        """By digest."""
        return {digest: shelves.view for digest, shelves in self._shelves.items()}

    def read(self, digest: str, asked: Mapping[str, Sequence[Any]], at: Ints) -> Columns:
        """A view's features for rows that bring its keys.

        Errors: `frame.column` for a key that is missing, or unknown and of another kind than the dataset's column.
        """
        shelves = self._shelves[digest]
        view = shelves.view
        for key in view.keys:
            if key not in asked:
                raise MillraceError("frame.column", f"view {view.name!r} needs the key {key!r}", misnamed(key, asked))
        names: dict[Key, int] = {}
        for name in zip(*(listed(asked[key]) for key in view.keys), strict=True):
            if None not in name:
                names.setdefault(name, len(names))
        with self._lock:
            found = [shelves.rows(name, self._newest) for name in names]
        for name, held in zip(names, found, strict=True):
            if held is None:
                self._check(view, name)
        there = [rows for rows in found if rows is not None]
        rows = np.concatenate(there) if there else np.empty((0, VALUES + len(view.reads)))
        start = np.cumsum([0, *(0 if rows is None else len(rows) for rows in found)]).astype(np.int64)
        question = asked_codes(asked, view.keys, names)
        return decoded(view, fold(view, Shelf(rows, start, is_plain(rows)), question, at), self._words)

    def _check(self, view: View, name: Key) -> None:
        """That a key of which there are no rows is of a kind that could have some."""
        for key, value in zip(view.keys, name, strict=True):
            kind = self._kinds.get(key)
            if kind is not None and not _fits(value, kind):
                raise MillraceError(
                    "frame.column", f"view {view.name!r} has {_PLURAL[kind]} in its key {key!r}, and not {value!r}",
                    f"send {_PLURAL[kind]}, null where unknown",
                )  # fmt: skip

    def too_old(self, digest: str, at: Ints) -> NDArray[np.bool_]:
        """Which of the moments `at` (n,) rows may be gone that a view would need."""
        if not np.isfinite(self._shelves[digest].horizon):
            return np.zeros(len(at), np.bool_)
        old: NDArray[np.bool_] = at < self._newest - SLACK_S * SECOND
        return old

    def keep_up(self, ground: Ground, tx: Tx, workspace: str) -> None:
        """Take in what came since the last look."""
        version, push = data_tables.standing(tx, workspace, self.source)
        if version == self._version and push == self._push:
            return
        with self._lock:
            if version != self._version:
                self._take_version(ground, tx, workspace)
            if push > self._push:
                self._take_pushes(tx, workspace)

    def _take_version(self, ground: Ground, tx: Tx, workspace: str) -> None:
        newest = data_tables.version(tx, workspace, self.source)
        assert newest is not None, "a dataset that counts versions has one"
        follows = newest.number == self._version + 1 and newest.pushed > self._sealed
        if not follows or newest.pushed > self._push:  # not merely the rows that are here already, sealed
            self._rows, self._newest = {}, -np.inf
            for shelves in self._shelves.values():
                shelves.clear()
            self._push = newest.pushed
            wanted = needed(self._keys, self._reads, newest)
            self._take(versions.columns(ground.blobs, newest, wanted), newest)
        self._version, self._sealed = newest.number, newest.pushed

    def _take_pushes(self, tx: Tx, workspace: str) -> None:
        if self._dataset is None or not self._dataset.columns:
            self._dataset = life.find(tx, workspace, self.source)
        waiting = data_tables.pushes(tx, workspace, self.source, self._push)
        if waiting:
            rows = life.joined([life.unpack(packed, exact=True) for _, packed in waiting], self._dataset)
            self._take({name: floating(name, values) for name, values in rows.items()}, self._dataset)
            self._push = waiting[-1][0]

    def _take(self, columns: Columns, source: Version | Dataset) -> None:
        self._kinds = {column.name: column.kind for column in source.columns}
        columns = self._young(columns, source)
        made = source_rows(self._keys, self._reads, told(columns, source))
        for name, words in made.words.items():
            self._words.setdefault(name, {}).update(words)
        if not len(made.rows):
            return
        self._newest = max(self._newest, float(_known(made.rows).max()))
        kept = np.arange(len(made.rows))
        if source.key:
            own = [listed(columns[part][made.places]) for part in source.key]
            kept = self._correct(list(zip(*own, strict=True)), made.rows, made.keys)
        for shelves in self._shelves.values():
            shelves.lay(made.rows, made.keys, kept, self._newest)

    def _young(self, columns: Columns, source: Version | Dataset) -> Columns:
        """Without the rows that are too old to matter to any answer."""
        known = columns[source.event].astype(np.float64)
        if not np.isfinite(self._horizon) or not len(known):
            return columns
        if source.arrived:
            known = np.maximum(known, columns[source.arrived])
        young = known >= max(self._newest, float(known.max())) - self._horizon
        return columns if young.all() else {name: values[young] for name, values in columns.items()}

    def _correct(self, own: Sequence[Key], rows: Floats, keys: Columns) -> Ints:
        """Close the rows that these correct, and these where a correction came before them; which are no repetition."""
        kept: list[int] = []
        held = self._rows
        names = zip(*(listed(keys[key]) for key in self._keys), strict=True)
        for number, (key, name, row) in enumerate(zip(own, names, rows, strict=True)):
            before = held.get(key)
            if before is None:
                held[key] = [(name, row)]
                kept.append(number)
            elif self._correct_one(before, name, row):
                kept.append(number)
        self._forget()
        return np.array(kept, np.int64)

    def _correct_one(self, held: list[tuple[Key, Floats]], name: Key, row: Floats) -> bool:
        after = [other for _, other in held if other[ARRIVED] > row[ARRIVED]]
        before = [other for other in held if other[1][ARRIVED] < row[ARRIVED]]
        if len(after) + len(before) < len(held):
            return False
        if after:
            row[CORRECTED] = min(other[ARRIVED] for other in after)
        if before:
            last, corrected = max(before, key=lambda other: float(other[1][ARRIVED]))
            for shelves in self._shelves.values():
                shelves.close(shelves.name(last), corrected, float(row[ARRIVED]), self._newest)
            corrected[CORRECTED] = row[ARRIVED]
        held.append((name, row))
        return True

    def _forget(self) -> None:
        """Drop keys whose rows are so old that a correction of them matters to nobody."""
        oldest = self._newest - 2 * self._horizon
        if len(self._rows) > _LOOSE and next(iter(self._rows.values()))[-1][1][ARRIVED] < oldest:
            young = oldest + self._horizon
            self._rows = {own: held for own, held in self._rows.items() if held[-1][1][ARRIVED] > young}


def _known(rows: Floats) -> Floats:
    known: Floats = np.maximum(rows[:, EVENT], rows[:, ARRIVED])
    return known


def _fits(value: Any, kind: Kind) -> bool:
    """Whether a column of the kind can hold the value: a whole number may come as a float, a truth as 0 or 1."""
    if isinstance(value, str) or kind == "text":
        return isinstance(value, str) and kind == "text"
    if kind == "bool":
        return value in (0, 1)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return False
    return kind == "number" or float(value).is_integer()
