"""The catalog's machinery, the same for both engines: one writer at a time that commits in groups, and pooled readers.

A writer thread drains its queue into one transaction, so callers that wait at the same time share one sync to disk;
there is no timer. A caller who is alone writes in its own thread and is spared two changes of thread. Each piece of
work runs behind a savepoint: one that fails takes back only itself. A `write` returns after its commit is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from millrace.base.errors import MillraceError
from millrace.catalog.statements import Statements
from millrace.catalog.tx import Cursor, Heads, Tx

T = TypeVar("T")
_GROUP = 256
_QUIET = 8
"""After so many groups of one a caller who finds nobody writing writes in its own thread."""


class Session(Protocol):
    """One connection of an engine. Errors of the engine leave it as `MillraceError`s through `translate`."""

    @property
    def cursor(self) -> Cursor: ...

    def begin_write(self) -> None:
        """Begin a transaction and hold the catalog's only writing lock, over all processes."""

    def begin_read(self) -> None:
        """Begin a transaction that sees one snapshot."""

    def commit(self) -> None:
        """Make the transaction durable."""

    def rollback(self) -> None:
        """Take the transaction back; safe to call when none is open."""

    def close(self) -> None: ...


class Engine(Protocol):
    """A database that can hold the catalog. Adapters: SQLite, PostgreSQL."""

    @property
    def statements(self) -> Statements: ...

    def connect(self) -> Session: ...

    def translate(self, fault: Exception) -> Exception:
        """The `MillraceError` for a fault of the driver; any other exception as it is."""
        ...


class Work(Generic[T]):
    """A piece of work. `done` is called in the thread that wrote, once the work is durable or has failed."""

    __slots__ = ("afterwards", "answer", "done", "fault", "run")

    def __init__(self, run: Callable[[Tx], T], done: Callable[[Work[T]], None]) -> None:
        self.run = run
        self.done = done
        self.afterwards: list[Callable[[], None]] = []
        self.answer: T | None = None
        self.fault: BaseException | None = None

    def end(self) -> T:
        """What the work answered, once it is done, after its `afterwards`; it raises what the work raised."""
        if self.fault is not None:
            raise self.fault
        for act in self.afterwards:
            act()
        return self.answer  # type: ignore[return-value]  # set by the writer when there is no fault


class Catalog:
    """Tables and journal behind one port. All methods are safe from any thread; a catalog does not survive a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[Work[Any] | None] = SimpleQueue()
        self._readers: LifoQueue[Session] = LifoQueue()
        self._changed = threading.Condition()
        self._commits = self._tellings = 0
        self._closed = False
        self._closing = threading.Lock()
        self._turn = threading.Lock()  # held by who writes; it guards the session
        self._session: Session | None = None
        self._writing = 0  # the thread that writes
        self._lone = _QUIET  # groups of one in a row, the last time that the writer thread wrote
        self._writer = threading.Thread(target=self._serve, name="millrace-writer", daemon=True)
        self._writer.start()

    def write(self, run: Callable[[Tx], T]) -> T:
        """Run `run` in a writing transaction and wait until it is durable. What it raises, this raises.

        What `run` put into the transaction's `afterwards` is done last, in this thread.
        """
        assert threading.get_ident() != self._writing, "a write inside a write would wait for itself"
        if self._lone >= _QUIET and not self._turn.locked():
            with self._turn:  # no check and no signal's handler lies between the lock and what releases it
                if self._closed:
                    raise _stopping()
                alone: Work[T] = Work(run, _nobody_waits)
                self._write_group([alone])
            return alone.end()
        waiting = threading.Lock()
        waiting.acquire()
        work = self.submit(run, lambda _: waiting.release())
        waiting.acquire()
        return work.end()

    def submit(self, run: Callable[[Tx], T], done: Callable[[Work[T]], None]) -> Work[T]:
        """`write` for a caller that must not wait: `done` is called from the writer's thread, where it may not raise,
        and the caller then takes the answer by `Work.end` in a thread of its own."""
        work = Work(run, done)
        with self._closing:
            if self._closed:
                raise _stopping()
            self._queue.put(work)
        return work

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A reading transaction on one snapshot; many run at once."""
        if self._closed:
            raise _stopping()
        try:
            session = self._readers.get_nowait()
        except Empty:
            session = self._open()
        healthy = False
        try:
            session.begin_read()
            yield Tx(session.cursor, self._engine.statements)
            healthy = True
        except Exception as fault:
            translated = self._engine.translate(fault)
            healthy = isinstance(fault, MillraceError) or translated is fault
            if translated is fault:
                raise
            raise translated from fault
        finally:
            self._give_back(session, healthy)

    @property
    def closed(self) -> bool:
        return self._closed

    def wait(self, seen: int, timeout_s: float) -> int:
        """Wait until this process commits something after `seen` or the time is over; the count of commits."""
        with self._changed:
            self._changed.wait_for(lambda: self._commits > seen or self._closed, timeout_s)
            return self._commits

    def wait_for_facts(self, seen: int, timeout_s: float) -> int:
        """`wait`, but for those commits alone that wrote facts; the count of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._tellings > seen or self._closed, timeout_s)
            return self._tellings

    def rouse(self) -> None:
        """Let everybody who waits look again, as if something had been committed."""
        with self._changed:
            self._commits += 1
            self._tellings += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Finish what is queued, then close every connection. Safe to call twice."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        with self._changed:
            self._changed.notify_all()
        self._writer.join()
        while True:
            try:
                self._readers.get_nowait().close()
            except Empty:
                return

    def _open(self) -> Session:
        try:
            return self._engine.connect()
        except Exception as fault:
            translated = self._engine.translate(fault)
            if translated is fault:
                raise
            raise translated from fault

    def _give_back(self, session: Session, healthy: bool) -> None:
        try:
            session.rollback()
        except Exception:
            healthy = False
        if healthy and not self._closed:
            self._readers.put(session)
        else:
            session.close()

    def _serve(self) -> None:
        going = True
        while going:
            work = self._queue.get()
            with self._turn:
                group: list[Work[Any]] = []
                while work is not None:
                    group.append(work)
                    if len(group) == _GROUP or self._queue.empty():
                        break
                    work = self._queue.get()
                going = work is not None
                if group:
                    self._lone = self._lone + 1 if len(group) == 1 else 0
                    self._write_group(group)
        with self._turn:
            _discard(self._session)

    def _write_group(self, group: list[Work[Any]]) -> None:
        """For who holds the turn."""
        self._writing = threading.get_ident()
        try:
            told = self._tried(group)
            with self._changed:  # before any caller goes on, so that it finds what it committed counted
                self._commits += 1
                self._tellings += told
                self._changed.notify_all()
            for item in group:
                item.done(item)
        finally:
            self._writing = 0

    def _tried(self, group: list[Work[Any]]) -> bool:
        """True if facts were written; a fault is every item's that has none of its own."""
        try:
            self._session = self._session or self._engine.connect()
            return self._commit_group(self._session, group)
        except BaseException as fault:
            translated = self._engine.translate(fault) if isinstance(fault, Exception) else fault
            for item in group:
                item.fault = item.fault or translated
            _discard(self._session)
            self._session = None
            return False

    def _commit_group(self, session: Session, group: list[Work[Any]]) -> bool:
        """True if facts were among what was written. Who shares the transaction has a savepoint of his own."""
        session.begin_write()
        heads: Heads = {}
        cursor, shared = session.cursor, len(group) > 1
        for item in group:
            if shared:
                cursor.execute("SAVEPOINT work")
            attempt: Heads = dict(heads)
            try:
                tx = Tx(cursor, self._engine.statements, attempt)
                item.answer = item.run(tx)
                item.afterwards = tx.afterwards
            except Exception as fault:
                translated = self._engine.translate(fault)
                if translated is not fault:
                    translated.__cause__ = fault
                item.fault = translated
                if not shared:
                    session.rollback()
                    return False
                cursor.execute("ROLLBACK TO SAVEPOINT work")
            else:
                heads = attempt
            if shared:
                cursor.execute("RELEASE SAVEPOINT work")
        session.commit()
        return bool(heads)


def _nobody_waits(_: Work[Any]) -> None:
    """What is done for a caller who wrote himself."""


def _stopping() -> MillraceError:
    return MillraceError("server.stopping", "the catalog is closed", "open the platform again")


def _discard(session: Session | None) -> None:
    """Close a session that may be broken: whatever it says now, the writer must go on."""
    for end in (session.rollback, session.close) if session is not None else ():
        with suppress(Exception):
            end()
