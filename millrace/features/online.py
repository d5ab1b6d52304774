"""Online reads: the rows that can matter, in memory by key, kept up with versions and pushes, made anew after a start.

A read gathers the shelves of the keys that were asked for and folds them with the very function that training uses.
It answers exactly for any moment that is not older than `SLACK_S` before the newest row.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.errors import MillraceError, nearest, unknown
from millrace.catalog.tx import Tx
from millrace.data import life
from millrace.data import read as versions
from millrace.data import tables as data_tables
from millrace.data.records import Dataset, Version
from millrace.features import rules, tables
from millrace.features.join import Columns, asked_codes, coded, decoded, listed, needed, source_rows
from millrace.features.records import View
from millrace.features.shelf import ARRIVED, CORRECTED, EVENT, Floats, Ints, Shelf, axis, fold, is_plain, order

SLACK_S = 7_200
_SECOND = 1_000_000
_STALE_S = 0.05
_TRIM_FROM = 64
Key = tuple[Any, ...]


class Live:
    """The newest rows of one view. Calls hold its lock."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._lock = threading.Lock()
        self._shelves: dict[Key, Floats] = {}
        self._rows: dict[Key, list[tuple[Key, Floats]]] = {}  # by the dataset's key: on which shelf, which row
        self._words: dict[str, dict[float, str]] = {}
        self._newest = -np.inf
        self._version, self._sealed, self._push = 0, 0, 0
        self._source: Dataset | None = None
        span = rules.horizon_s(view)
        self._horizon = float((span + SLACK_S) * _SECOND) if span else np.inf

    def read(self, asked: Mapping[str, Sequence[Any]], at: Ints) -> Columns:
        """The view's features for rows that bring its keys. Errors: `frame.column`."""
        for key in self.view.keys:
            if key not in asked:
                raise MillraceError(
                    "frame.column", f"view {self.view.name!r} needs the key {key!r}", nearest(key, asked)
                )
        names: dict[Key, int] = {}
        for name in zip(*(listed(asked[key]) for key in self.view.keys), strict=True):
            if None not in name:
                names.setdefault(name, len(names))
        with self._lock:
            found = [self._shelves.get(name) for name in names]
        there = [rows for rows in found if rows is not None]
        rows = np.concatenate(there) if there else np.empty((0, 3 + len(self.view.reads)))
        start = np.concatenate([[0], np.cumsum([0 if rows is None else len(rows) for rows in found])]).astype(np.int64)
        question = asked_codes(asked, self.view.keys, names)
        return decoded(self.view, fold(self.view, Shelf(rows, start, is_plain(rows)), question, at), self._words)

    def keep_up(self, ground: Ground, tx: Tx, workspace: str) -> None:
        """Take in what came since the last look."""
        version, push = data_tables.standing(tx, workspace, self.view.source)
        if version == self._version and push == self._push:
            return
        with self._lock:
            if version != self._version:
                self._take_version(ground, tx, workspace)
            if push > self._push:
                self._take_pushes(tx, workspace)

    def _take_version(self, ground: Ground, tx: Tx, workspace: str) -> None:
        newest = data_tables.version(tx, workspace, self.view.source)
        assert newest is not None, "a dataset that counts versions has one"
        follows = newest.number == self._version + 1 and newest.pushed > self._sealed
        if not follows or newest.pushed > self._push:  # not merely the rows that are here already, sealed
            self._shelves, self._rows, self._newest = {}, {}, -np.inf
            self._push = newest.pushed
            self._take(versions.columns(ground.blobs, newest, needed(self.view, newest)), newest)
        self._version, self._sealed = newest.number, newest.pushed

    def _take_pushes(self, tx: Tx, workspace: str) -> None:
        if self._source is None or not self._source.columns:
            self._source = life.find(tx, workspace, self.view.source)
        for number, packed in data_tables.pushes(tx, workspace, self.view.source, self._push):
            self._take(life.unpack(packed), self._source)
            self._push = number

    def _take(self, columns: Columns, source: Version | Dataset) -> None:
        columns = self._young(columns, source)
        made = source_rows(self.view, columns, source)
        for name, words in made.words.items():
            self._words.setdefault(name, {}).update(words)
        if not len(made.rows):
            return
        rows = made.rows
        self._newest = max(self._newest, float(_known(rows).max()))
        codes, names = coded([made.keys[key] for key in self.view.keys])
        kept = codes >= 0
        if source.key:
            kept &= self._correct([columns[part][made.places] for part in source.key], rows, codes, list(names))
        ordered = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[ordered], np.arange(len(names) + 1))
        for code, place in enumerate(names):
            some = ordered[bounds[code] : bounds[code + 1]]
            some = some[kept[some]]
            if len(some):
                self._put(place, rows[some])

    def _young(self, columns: Columns, source: Version | Dataset) -> Columns:
        """Without the rows that are too old to matter to any answer."""
        known = columns[source.event].astype(np.float64)
        if not np.isfinite(self._horizon) or not len(known):
            return columns
        if source.arrived:
            known = np.maximum(known, columns[source.arrived])
        young = known >= max(self._newest, float(known.max())) - self._horizon
        return columns if young.all() else {name: values[young] for name, values in columns.items()}

    def _put(self, name: Key, fresh: Floats) -> None:
        held = self._shelves.get(name)
        if len(fresh) > 1:
            fresh = fresh[order(fresh, self.view.over)]
        rows = fresh if held is None else np.concatenate([held, fresh])
        if held is not None and axis(held[-1:], self.view.over) >= axis(fresh[:1], self.view.over):
            rows = rows[order(rows, self.view.over)]
        if len(rows) > _TRIM_FROM and np.isfinite(self._horizon):
            young = _known(rows) >= self._newest - self._horizon
            rows = rows[young] if 2 * int(young.sum()) < len(rows) else rows
        self._shelves[name] = rows

    def _correct(
        self, key: Sequence[NDArray[Any]], rows: Floats, codes: Ints, names: Sequence[Key]
    ) -> NDArray[np.bool_]:
        """Close the rows that these correct, and these where a correction came before them; False for repeated ones."""
        kept = np.ones(len(rows), bool)
        for number, own in enumerate(zip(*(part.tolist() for part in key), strict=True)):
            row = rows[number]
            held = self._rows.get(own)
            place = names[codes[number]] if codes[number] >= 0 else ()
            if held is None:
                self._rows[own] = [(place, row)]
                continue
            after = [other for _, other in held if other[ARRIVED] > row[ARRIVED]]
            before = [other for other in held if other[1][ARRIVED] < row[ARRIVED]]
            if len(after) + len(before) < len(held):
                kept[number] = False
                continue
            if after:
                row[CORRECTED] = min(other[ARRIVED] for other in after)
            if before:
                self._close(*max(before, key=lambda other: float(other[1][ARRIVED])), float(row[ARRIVED]))
            held.append((place, row))
        oldest = self._newest - 2 * self._horizon
        if len(self._rows) > _TRIM_FROM and next(iter(self._rows.values()))[-1][1][ARRIVED] < oldest:
            young = oldest + self._horizon
            self._rows = {own: held for own, held in self._rows.items() if held[-1][1][ARRIVED] > young}
        return kept

    def _close(self, place: Key, row: Floats, until: float) -> None:
        """From `until` on the row is another. Rows that hold the same are alike, so any one of them may be closed."""
        held = self._shelves.get(place)
        if held is not None:
            found = np.flatnonzero(((held == row) | (np.isnan(held) & np.isnan(row))).all(axis=1))
            if len(found):
                held = held.copy()
                held[found[0], CORRECTED] = until
                self._shelves[place] = held
        row[CORRECTED] = until


def read(
    ground: Ground, workspace: str, names: Sequence[str], columns: Mapping[str, Sequence[Any]], at: Ints
) -> Columns:
    """``view__feature`` columns for n rows that bring the views' keys, each at its own moment `at` (n,) int64 micros.

    The same numbers as `join.training`, bit for bit. Errors: `view.unknown`, `frame.column`.
    """
    views = ground.memory.keep(Views, "features", workspace)
    found: Columns = {}
    for live in views.live(ground, workspace, names):
        found.update(live.read(columns, at))
    return found


class Views:
    """The live rows of a workspace's views, each of its newest definition."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, Live] = {}
        self._seen, self._checked = -1, -np.inf

    def live(self, ground: Ground, workspace: str, names: Sequence[str]) -> list[Live]:
        """Those of these names. Errors: `view.unknown`."""
        commits, now = ground.catalog.wait(-1, 0), ground.clock.monotonic()
        with self._lock:
            current = commits == self._seen and now - self._checked < _STALE_S
            if not current or any(name not in self._live for name in names):
                with ground.catalog.read() as tx:
                    newest = tables.digests(tx, workspace)
                    for name in names:
                        if name not in newest:
                            raise unknown("view", name, newest)
                        if name not in self._live or self._live[name].view.digest != newest[name]:
                            view = tables.view(tx, workspace, name)
                            assert view is not None, "its digest was read in this snapshot"
                            self._live[name] = Live(view)
                        self._live[name].keep_up(ground, tx, workspace)
                self._seen, self._checked = (commits, now) if set(names) >= set(self._live) else (-1, -np.inf)
            return [self._live[name] for name in names]


def _known(rows: Floats) -> Floats:
    known: Floats = np.maximum(rows[:, EVENT], rows[:, ARRIVED])
    return known
