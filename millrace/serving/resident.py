"""What this process serves: per endpoint its newest routing table with every model it needs, loaded.

A `Served` never changes; a newer one takes its place between two batches, so a row is answered by one table whole.
This process looks for a newer table before each batch when it committed anything since, and every 100 ms for what
other processes committed. Models are loaded beside the answering, and those of the table before stay: a rollback
loads nothing.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.errors import MillraceError, unknown
from millrace.features import online
from millrace.pipelines import models
from millrace.pipelines.encoder import Encoder
from millrace.pipelines.models import Scorer
from millrace.registry import versions
from millrace.serving import tables
from millrace.serving.log import Log, logs
from millrace.serving.records import Columns, Endpoint, Table

_POLL_S = 0.1
_log = logging.getLogger("millrace.serving")

Enrich = Callable[[Ground, str, Sequence[str], Mapping[str, Any], NDArray[np.int64]], Columns]
"""Adds the columns of feature views: (ground, workspace, views, columns of n rows, event times) → ``view__feature``."""


class Loaded(NamedTuple):
    """One version, ready to answer."""

    number: int
    tree: str
    scorer: Scorer
    encoder: Encoder


class Served(NamedTuple):
    """An endpoint as one process answers it now. `asked` are the columns that every request must bring."""

    workspace: str
    endpoint: Endpoint
    table: Table
    loaded: dict[int, Loaded]
    views: tuple[str, ...]
    asked: tuple[str, ...]
    kinds: Mapping[str, str]
    log: Log


class Resident:
    """The endpoints of one process. Safe between threads."""

    def __init__(self, ground: Ground, enrich: Enrich | None = None) -> None:
        self.ground = ground
        self.enrich: Enrich = enrich or online.read
        self._served: dict[tuple[str, str], Served] = {}
        self._models: dict[str, tuple[Scorer, Encoder]] = {}
        self._lock = threading.Lock()
        self._generation = -1
        self._commits = -1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="millrace-tables", daemon=True)
        self._thread.start()

    def served(self, workspace: str, name: str) -> Served:
        """The endpoint as it is now. Errors: `endpoint.unknown`, `endpoint.unrouted`."""
        commits = self.ground.catalog.wait(-1, 0)
        if commits != self._commits:
            self.refresh()
            self._commits = commits
        found = self._served.get((workspace, name))
        if found is None:
            raise self._absent(workspace, name)
        return found

    def refresh(self) -> None:
        """Take over every table that is newer than what is served."""
        with self._lock:
            with self.ground.catalog.read() as tx:
                generation = tables.generation(tx)
                if generation == self._generation:
                    return
                found = [
                    (workspace, endpoint, tables.newest_table(tx, workspace, endpoint.name))
                    for workspace, endpoint in tables.every_endpoint(tx)
                ]
            for workspace, endpoint, table in found:
                before = self._served.get((workspace, endpoint.name))
                if table is not None and (before is None or before.table.number != table.number):
                    self._take_over(workspace, endpoint, table, before)
            self._generation = generation

    def warm(self, workspace: str, model: str, numbers: Sequence[int]) -> None:
        """Load versions before a table needs them."""
        with self.ground.catalog.read() as tx:
            trees = [versions.find(tx, workspace, model, number).tree for number in numbers]
        for tree in trees:
            self.load(tree)

    def close(self) -> None:
        """Stop looking for newer tables."""
        self._stop.set()
        self._thread.join()

    def _take_over(self, workspace: str, endpoint: Endpoint, table: Table, before: Served | None) -> None:
        try:
            fresh = self._serve(workspace, endpoint, table)
        except MillraceError:
            _log.exception("table %d of %s cannot be served; the one before stays", table.number, endpoint.name)
            return
        if not self._served:
            gc.freeze()  # what is loaded by now stays: collections through it stall answers for 100 ms and more
        self._served[workspace, endpoint.name] = fresh
        kept = {loaded.tree for served in self._served.values() for loaded in served.loaded.values()}
        kept |= {loaded.tree for loaded in (before.loaded.values() if before else ())}
        self._models = {tree: model for tree, model in self._models.items() if tree in kept}

    def _serve(self, workspace: str, endpoint: Endpoint, table: Table) -> Served:
        with self.ground.catalog.read() as tx:
            trees = {number: versions.find(tx, workspace, endpoint.model, number).tree for number in table.versions}
        loaded = {number: Loaded(number, tree, *self.load(tree)) for number, tree in trees.items()}
        signatures = [loaded[number].scorer.signature for number in table.versions]
        views = dict.fromkeys(view.name for signature in signatures for view in signature.views)
        own = [name for name in (endpoint.key, endpoint.event) if name]
        asked = dict.fromkeys([name for signature in signatures for name in signature.asked] + own)
        kinds = {item.name: item.kind for signature in reversed(signatures) for item in signature.inputs}
        log = logs(self.ground).of(workspace, endpoint)
        return Served(workspace, endpoint, table, loaded, tuple(views), tuple(asked), kinds, log)

    def load(self, tree: str) -> tuple[Scorer, Encoder]:
        """The model of a tree, loaded once. Errors: `model.invalid`, `model.unsafe`, `blob.unknown`."""
        held = self._models.get(tree)
        if held is None:
            scorer = models.load(self.ground.blobs, tree)
            held = self._models[tree] = (scorer, Encoder(scorer.signature.inputs))
        return held

    def _absent(self, workspace: str, name: str) -> MillraceError:
        with self.ground.catalog.read() as tx:
            known = [endpoint.name for endpoint in tables.endpoints(tx, workspace)]
        if name not in known:
            return unknown("endpoint", name, known)
        return MillraceError(
            "endpoint.unrouted",
            f"no version answers at {name!r} yet",
            f'millrace endpoint route {name} \'[{{"number": 1, "weight": 10000}}]\'',
        )

    def _poll(self) -> None:
        while not self._stop.wait(_POLL_S):
            try:
                self.refresh()
            except MillraceError as fault:
                _log.warning("looking for newer routing tables: %s", fault)


def resident(ground: Ground) -> Resident:
    """What this process serves."""
    return ground.memory.keep(lambda: Resident(ground), "serving", "resident")


def stop(ground: Ground) -> None:
    """End this process's threads and tapes, if it ever served."""
    for part in (ground.memory.kept("serving", "resident"), ground.memory.kept("serving", "logs")):
        if part is not None:
            part.close()
