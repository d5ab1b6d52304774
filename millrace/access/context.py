"""What a verb may reach while it runs: who acts, in which workspace, and the ground parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from millrace.access.records import Caller
from millrace.base.clock import Clock, Micros
from millrace.base.config import Config
from millrace.base.facts import FACTS
from millrace.base.ids import Ids
from millrace.catalog.engine import Catalog
from millrace.catalog.tx import Tx

if TYPE_CHECKING:
    from millrace.store.blobs import Blobs

T = TypeVar("T")


class Memory:
    """What rooms keep in this process alone: caches over durable things, made again from nothing after a crash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], Any] = {}

    def keep(self, make: Callable[[], T], *key: str) -> T:
        """What is kept under `key` (a room's name first), made by `make` the first time. Safe between threads."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]  # type: ignore[no-any-return]  # what `make` answered under this key

    def kept(self, *key: str) -> Any | None:
        """What is kept under `key` so far, or None."""
        with self._lock:
            return self._kept.get(key)


class Ground(NamedTuple):
    """The ground parts of one platform, wired by `millrace.assemble`. Safe to share between threads."""

    clock: Clock
    ids: Ids
    catalog: Catalog
    blobs: Blobs
    folder: Path
    config: Config
    memory: Memory


class Context:
    """One call of one verb. `now` is wall time, read once, so that a verb has a single present."""

    def __init__(
        self, ground: Ground, caller: Caller, workspace: str, tx: Tx | None = None, commit: Commit | None = None
    ) -> None:
        self.ground = ground
        self.caller = caller
        self.workspace = workspace
        self.now: Micros = ground.clock.now()
        self._tx = tx
        self._commit = commit

    @property
    def actor(self) -> str:
        return self.caller.actor

    @property
    def blobs(self) -> Blobs:
        return self.ground.blobs

    @property
    def tx(self) -> Tx:
        """The open transaction. A ``work`` verb has none: it uses `read` and `commit`."""
        assert self._tx is not None, "a work verb has no open transaction: use cx.read() or cx.commit()"
        return self._tx

    def new_id(self) -> str:
        return self.ground.ids.new()

    def fact(self, kind: str, subject: str, data: Mapping[str, Any] | None = None) -> int:
        """Write what happened to the journal, in this transaction; the fact's number. Ids and digests only."""
        assert kind in FACTS, f"{kind!r} is an unlisted fact; add it to millrace/base/facts.py"
        return self.tx.fact(self.workspace, self.now, self.actor, kind, subject, data or {})

    def read(self) -> AbstractContextManager[Tx]:
        """A reading transaction, for a ``work`` verb."""
        return self.ground.catalog.read()

    def commit(self, write: Callable[[Context], T]) -> T:
        """Make a ``work`` verb's result visible: `write` runs in one writing transaction. Call it exactly once."""
        assert self._commit is not None, "only a work verb commits by itself"
        return self._commit(self, write)  # type: ignore[no-any-return]  # the waist passes the answer through


Commit = Callable[["Context", Callable[["Context"], Any]], Any]
