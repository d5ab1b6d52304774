"""What this process serves: per endpoint its newest routing table with every model it needs, loaded.

A `Served` never changes; a newer one takes its place between two batches, so a row is answered by one table whole.
Before each batch a process looks at one number that all workers of its server share (`board`), and every 100 ms into
the catalog, for what processes beside them committed. Models are loaded beside the answering, and those of the table
before stay: a rollback loads nothing.

A call that changes routing returns when every worker answers by the new table: each reports a generation once it has
taken it over and its last batch of the one before is done.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.errors import MillraceError, unknown
from millrace.base.seldom import Seldom
from millrace.features import online
from millrace.pipelines import models
from millrace.pipelines.encoder import Encoder
from millrace.pipelines.models import Scorer
from millrace.registry import versions
from millrace.serving import tables
from millrace.serving.board import Board
from millrace.serving.log import Log, logs
from millrace.serving.records import Columns, Endpoint, Table

_POLL_S = 0.1
_AGAIN = 10  # looks of the poll between two tries of a table that could not be served
_REPORT_S = 10.0
_log = logging.getLogger("millrace.serving")

T = TypeVar("T")
Enrich = Callable[[Ground, str, Sequence[online.Wanted], Mapping[str, Any], NDArray[np.int64]], Columns]
"""Adds the columns of feature views: (ground, workspace, views, columns of n rows, event times) → ``view__feature``."""


class Loaded(NamedTuple):
    """One version, ready to answer."""

    number: int
    tree: str
    scorer: Scorer
    encoder: Encoder


class Fault(NamedTuple):
    """Why a routing table is not served, as an error tells it."""

    table: int
    code: str
    message: str
    hint: str


class Served(NamedTuple):
    """An endpoint as one process answers it now. `asked` are the columns that every request must bring.

    A shadow that does not load is not in `table`, but in `mute`: whoever answers goes on without it. `views` are read
    by the definitions that the versions were fitted with, whatever was defined since.
    """

    workspace: str
    endpoint: Endpoint
    table: Table
    loaded: dict[int, Loaded]
    views: tuple[online.Wanted, ...]
    asked: tuple[str, ...]
    kinds: Mapping[str, str]
    log: Log
    mute: dict[int, Fault]


class Resident:
    """The endpoints of one process. Safe between threads."""

    def __init__(self, ground: Ground, seat: tuple[Board, int], enrich: Enrich | None = None) -> None:
        """`seat`: where it tells how far it is."""
        self.ground = ground
        self.enrich: Enrich = enrich or online.read
        self._served: dict[tuple[str, str], Served] = {}
        self._faults: dict[tuple[str, str], Fault] = {}  # why the newest table of an endpoint is not served
        self._models: dict[str, tuple[Scorer, Encoder]] = {}
        self._lock = threading.Lock()
        self._board, self._place = seat
        self._counting = threading.Lock()
        self._under_way: dict[int, int] = {}  # batches by the generation that they began with
        self._generation = 0  # served whole
        self._seen = -1  # looked at; newer than what is served while a model of it cannot be loaded
        self._board.report(self._place, 0)  # before the first look: whoever routes from now on waits for it
        self._seldom = Seldom(_log)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="millrace-tables", daemon=True)
        self._thread.start()

    def served(self, workspace: str, name: str) -> Served:
        """The endpoint as it is now.

        Errors: `endpoint.unknown`, `endpoint.unrouted`, and why a model of its first table cannot be loaded, such as
        `blob.corrupt` and `model.invalid`.
        """
        self._look()
        found = self._served.get((workspace, name))
        if found is None:
            raise self._absent(workspace, name)
        return found

    def unable(self) -> list[tuple[str, str]]:
        """The endpoints, with their workspaces, that have a routing table and cannot answer by any, or log no answer.

        Errors: those of the catalog, such as `catalog.unreachable`: without it nobody is let in, so none can answer.
        """
        with self.ground.catalog.read() as tx:
            tables.generation(tx)
        self._look()
        unserved = [place for place in list(self._faults) if place not in self._served]
        return unserved + [place for place, served in list(self._served.items()) if not _logs(served.log)]

    def _look(self) -> None:
        if self._seen < self._board.newest() or self._seen < 0:
            self.refresh()

    def using(self, workspace: str, name: str, act: Callable[[Served], T]) -> T:
        """One batch, by the endpoint as it is now. No newer table is in force everywhere before it is done.

        Errors: those of `served` and of `act`.
        """
        if self._seen < self._board.newest():
            self.refresh()
        with self._counting:
            begun = self._generation
            self._under_way[begun] = self._under_way.get(begun, 0) + 1
        try:
            return act(self.served(workspace, name))
        finally:
            with self._counting:
                left = self._under_way[begun] - 1
                if left:
                    self._under_way[begun] = left
                else:
                    del self._under_way[begun]
                    if begun != self._generation:
                        self._report()

    def refresh(self, *, again: bool = False) -> None:
        """Take over every table that is newer than what is served; `again`: also what failed before."""
        with self._lock:
            with self.ground.catalog.read() as tx:
                generation = tables.generation(tx)
                mute = {place for place, served in self._served.items() if again and served.mute}
                if generation == self._seen and not mute and not (again and self._generation < self._seen):
                    return
                found = [
                    (workspace, endpoint, tables.newest_table(tx, workspace, endpoint.name))
                    for workspace, endpoint in tables.every_endpoint(tx)
                ]
            whole = True
            for workspace, endpoint, table in found:
                before = self._served.get((workspace, endpoint.name))
                anew = (workspace, endpoint.name) in mute
                if table is not None and (before is None or before.table.number != table.number or anew):
                    whole &= self._take_over(workspace, endpoint, table, before)
            self._seen = generation
            with self._counting:
                if whole:
                    self._generation = generation
                self._report()

    def _report(self) -> None:
        """Tell the others by what this process answers: its oldest batch decides."""
        self._board.report(self._place, min(self._under_way, default=self._generation))

    def warm(self, workspace: str, model: str, numbers: Sequence[int]) -> None:
        """Load versions before a table needs them."""
        with self.ground.catalog.read() as tx:
            trees = [versions.find(tx, workspace, model, number).tree for number in numbers]
        for tree in trees:
            self.load(tree)

    def close(self) -> None:
        """Stop looking for newer tables."""
        self._stop.set()
        self._board.ring(self._place)
        self._thread.join()
        self._board.leave(self._place)

    def _take_over(self, workspace: str, endpoint: Endpoint, table: Table, before: Served | None) -> bool:
        try:
            fresh = self._serve(workspace, endpoint, table)
        except Exception as fault:  # a model's own code may raise anything
            self._seldom.warn(f"table {table.number} of {endpoint.name} cannot be served; the one before stays", fault)
            self._faults[workspace, endpoint.name] = _fault(table, fault)
            return False
        self._faults.pop((workspace, endpoint.name), None)
        if not self._served:
            gc.freeze()  # what is loaded by now stays: collections through it stall answers for 100 ms and more
        self._served[workspace, endpoint.name] = fresh
        kept = {loaded.tree for served in self._served.values() for loaded in served.loaded.values()}
        kept |= {loaded.tree for loaded in (before.loaded.values() if before else ())}
        self._models = {tree: model for tree, model in self._models.items() if tree in kept}
        return True

    def _serve(self, workspace: str, endpoint: Endpoint, table: Table) -> Served:
        with self.ground.catalog.read() as tx:
            trees = {number: versions.find(tx, workspace, endpoint.model, number).tree for number in table.versions}
        mute: dict[int, Fault] = {}
        loaded: dict[int, Loaded] = {}
        for number, tree in trees.items():
            try:
                loaded[number] = Loaded(number, tree, *self.load(tree))
            except Exception as fault:  # a model's own code may raise anything
                if number not in table.shadows:
                    raise
                mute[number] = _fault(table, fault)
        self._tell_mute(workspace, endpoint, mute)
        table = structs.replace(table, shadows=tuple(number for number in table.shadows if number in loaded))
        signatures = [loaded[number].scorer.signature for number in table.versions]
        views = dict.fromkeys((view.name, view.digest) for signature in signatures for view in signature.views)
        own = [name for name in (endpoint.key, endpoint.event) if name]
        asked = dict.fromkeys([name for signature in signatures for name in signature.asked] + own)
        kinds = {item.name: item.kind for signature in reversed(signatures) for item in signature.inputs}
        log = logs(self.ground).of(workspace, endpoint)
        return Served(workspace, endpoint, table, loaded, tuple(views), tuple(asked), kinds, log, mute)

    def _tell_mute(self, workspace: str, endpoint: Endpoint, mute: dict[int, Fault]) -> None:
        before = self._served.get((workspace, endpoint.name))
        for number, fault in mute.items():
            if before is None or number not in before.mute:
                _log.error("%s answers without its shadow, version %d: %s", endpoint.name, number, fault.message)

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
        fault = self._faults.get((workspace, name))
        if fault is not None:
            told = f"{name} cannot answer by its routing table {fault.table}: {fault.message}"
            return MillraceError(fault.code, told, fault.hint)
        return MillraceError(
            "endpoint.unrouted",
            f"no version answers at {name!r} yet",
            f'millrace endpoint route {name} \'[{{"number": 1, "weight": 10000}}]\'',
        )

    def _poll(self) -> None:
        looks = 0
        while not self._stop.is_set():
            self._board.listen(self._place, _POLL_S)
            looks += 1
            try:
                self.refresh(again=looks % _AGAIN == 0)
            except MillraceError as fault:
                self._seldom.warn("newer routing tables cannot be looked for", fault)


def _fault(table: Table, fault: Exception) -> Fault:
    if isinstance(fault, MillraceError):
        return Fault(table.number, fault.code, fault.message, fault.hint)
    told = f"a model does not load: {type(fault).__name__}: {str(fault)[:200]}"
    return Fault(table.number, "model.invalid", told, "route to another version; the server's log says where")


def sit(ground: Ground, board: Board, place: int) -> None:
    """Serve as the worker of a place of `board`. Before anything is served."""
    ground.memory.keep(lambda: (board, place), "serving", "seat")


def seat(ground: Ground) -> tuple[Board, int]:
    """The board of this process's server and its place there."""
    return ground.memory.keep(lambda: (Board(), 0), "serving", "seat")


def in_force(ground: Ground, generation: int) -> list[int]:
    """Tell all workers of a generation that is durable, and wait until they answer by it.

    A process that is stuck is not waited for longer than ten seconds: the answer names those that do not answer by it
    yet. Whoever shares the catalog from beside this server follows within 200 ms.
    """
    board, place = seat(ground)
    board.announce(place, generation)
    here: Resident | None = ground.memory.kept("serving", "resident")
    if here is not None:
        try:
            here.refresh()
        except MillraceError as fault:
            _log.warning("taking over routing tables: %s", fault)
    late = board.wait(generation, _REPORT_S)
    if late:
        _log.error("the processes %s do not answer by the newest routing tables", late)
    return late


def behind(ground: Ground) -> list[int]:
    """The processes of this server that do not answer by the newest routing tables."""
    board, _ = seat(ground)
    return board.behind(board.newest())


def _logs(log: Log) -> bool:
    try:
        log.check()
    except MillraceError:
        return False
    return True


def resident(ground: Ground) -> Resident:
    """What this process serves."""
    own = seat(ground)
    return ground.memory.keep(lambda: Resident(ground, own), "serving", "resident")


def stop(ground: Ground) -> None:
    """End this process's threads and tapes, if it ever served."""
    for part in (ground.memory.kept("serving", "resident"), ground.memory.kept("serving", "logs")):
        if part is not None:
            part.close()
