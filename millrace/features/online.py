"""Online reads: the rows that can matter, in memory by key, made anew after a start.

A read gathers the shelves of the keys that were asked for and folds them with the very function that training uses.
For a moment that is older than `stream.SLACK_S` before the newest row, rows may be gone from memory: it is answered by
the join over all stored rows, as slowly as a training reads them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from millrace.access.context import Ground
from millrace.base.errors import unknown
from millrace.catalog.tx import Tx
from millrace.data import life
from millrace.data import read as versions
from millrace.data import tables as data_tables
from millrace.features import tables
from millrace.features.join import Columns, known_of, needed, told
from millrace.features.records import View
from millrace.features.shelf import Ints
from millrace.features.stream import Stream

_STALE_S = 0.05
Wanted = str | tuple[str, str]
"""A view by its name, as it is defined now; or by name and digest, as it was when a model was fitted with it."""


def read(
    ground: Ground, workspace: str, names: Sequence[Wanted], columns: Mapping[str, Sequence[Any]], at: Ints
) -> Columns:
    """``view__feature`` columns for n rows that bring the views' keys, each at its own moment `at` (n,) int64 micros.

    The same numbers as `join.training`, bit for bit. Errors: `view.unknown`, `frame.column`.
    """
    views = ground.memory.keep(Views, "features", workspace)
    found: Columns = {}
    for stream, digest in views.live(ground, workspace, names):
        values = stream.read(digest, columns, at)
        old = stream.too_old(digest, at)
        if old.any():
            asked = {key: np.asarray(columns[key], object)[old] for key in stream.views[digest].keys}
            for name, exact in _of_all(ground, workspace, stream.views[digest], asked, at[old]).items():
                values[name] = values[name].copy()
                values[name][old] = exact
        found.update(values)
    return found


def _of_all(ground: Ground, workspace: str, view: View, asked: Columns, at: Ints) -> Columns:
    """The view's features from every row that is stored: those of the newest version, and those that wait."""
    with ground.catalog.read() as tx:
        dataset, newest = life.find(tx, workspace, view.source), data_tables.version(tx, workspace, view.source)
        waiting = data_tables.pushes(tx, workspace, view.source)
    parts = [life.unpack(packed) for _, packed in waiting]
    wanted = [*view.keys, *view.reads, *dataset.key, dataset.event, *filter(None, (dataset.arrived,))]
    if newest is not None:
        parts.insert(0, versions.columns(ground.blobs, newest, needed(view.keys, view.reads, newest)))
    rows = {name: np.concatenate([part[name] for part in parts]) for name in dict.fromkeys(wanted)}
    return known_of(view, told(rows, dataset), asked, at)


class Views:
    """The streams of a workspace's views: their newest definitions, and each that was asked for by its digest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: dict[Wanted, View] = {}
        self._streams: dict[str, Stream] = {}
        self._seen, self._checked = -1, -np.inf

    def live(self, ground: Ground, workspace: str, names: Sequence[Wanted]) -> list[tuple[Stream, str]]:
        """The stream of each of these views, with the view's digest. Errors: `view.unknown`."""
        commits, now = ground.catalog.wait(-1, 0), ground.clock.monotonic()
        with self._lock:
            current = commits == self._seen and now - self._checked < _STALE_S
            if not current or any(name not in self._views for name in names):
                with ground.catalog.read() as tx:
                    self._define(tx, workspace, names)
                    asked = {self._views[name].source for name in names}
                    for source in asked:
                        self._streams[source].keep_up(ground, tx, workspace)
                self._seen, self._checked = (commits, now) if asked >= set(self._streams) else (-1, -np.inf)
            views = [self._views[name] for name in names]
            return [(self._streams[view.source], view.digest) for view in views]

    def _define(self, tx: Tx, workspace: str, names: Sequence[Wanted]) -> None:
        """Know the definitions. A stream that gets another one begins anew."""
        newest = tables.digests(tx, workspace) if any(isinstance(name, str) for name in names) else {}
        for name in names:
            if name in self._views and not (isinstance(name, str) and self._views[name].digest != newest.get(name)):
                continue
            if isinstance(name, str):
                view = tables.view(tx, workspace, name)
            else:
                view = tables.definition(tx, workspace, *name)
            if view is None:
                raise unknown("view", name if isinstance(name, str) else name[0], tables.digests(tx, workspace))
            self._views[name] = view
            held = self._streams.get(view.source)
            if held is None or view.digest not in held.views:
                mine = {other.digest: other for other in self._views.values() if other.source == view.source}
                self._streams[view.source] = Stream(view.source, list(mine.values()))
