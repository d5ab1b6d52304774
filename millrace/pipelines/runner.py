"""Works the ordered runs off, in the leading process: starts queued ones, and goes on with those a crash cut short.

One process of a directory holds its lock; of several servers over one catalog, each run belongs to the one that holds
it, until its hold is over and it has not renewed it. A second runner of one run would make nothing twice: answers are
committed once a key, and a run ends once.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from pathlib import Path

from millrace.access.context import Ground
from millrace.base.clock import SECOND
from millrace.base.errors import MillraceError
from millrace.base.folders import make_private
from millrace.base.locks import try_lock
from millrace.base.seldom import Seldom
from millrace.catalog.tx import Tx
from millrace.exec.process import Processes
from millrace.pipelines import rules, tables
from millrace.pipelines.execution import Execution, Slots

_log = logging.getLogger("millrace")
_LOOK_S = 0.5
_HOLD_S = 60
_RENEW_S = 20
_REST_S = 30
_WARM = ("numpy", "blake3", "millrace.pipelines.work")
_RunId = tuple[str, str]


def processes(ground: Ground) -> Processes:
    """The child processes of this platform."""
    return ground.memory.keep(lambda: Processes(ground.folder / "exec" / "steps", _WARM), "exec", "processes")


def bell(ground: Ground) -> threading.Event:
    """Rung when there is something new to do."""
    return ground.memory.keep(threading.Event, "pipelines", "bell")


def busy(ground: Ground) -> bool:
    """Whether any run is queued or under way."""
    with ground.catalog.read() as tx:
        return tables.some_open(tx)


class Runner:
    """The thread that claims runs, and a thread for each of them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._folder = ground.folder / "exec"
        self._seldom = Seldom(_log)
        self._stopping = threading.Event()
        self._bell = bell(ground)
        self._lock = threading.Lock()
        self._going: dict[_RunId, threading.Thread] = {}
        self._resting: dict[_RunId, float] = {}
        steps = ground.config["steps"] or os.cpu_count() or 1
        self._slots = Slots(steps)
        self._most = 2 * steps + 2
        self._thread = threading.Thread(target=self._serve, name="millrace-runner", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End what runs and leave it to whoever opens the platform next. Safe to call twice, and unstarted."""
        self._stopping.set()
        self._bell.set()
        processes(self._ground).close()
        if self._thread.ident is not None:
            self._thread.join()
        for thread in list(self._going.values()):
            thread.join()

    def _serve(self) -> None:
        make_private(self._folder)
        with (self._folder / "lock").open("a") as lock:
            while not self._stopping.is_set():
                if try_lock(lock.fileno()):
                    self._lead()
                self._stopping.wait(_LOOK_S)

    def _lead(self) -> None:
        me = _holder(self._folder / "holder", self._ground)
        shutil.rmtree(self._folder / "steps", ignore_errors=True)  # what a killed platform left
        renewed, first = time.monotonic(), True
        while not self._stopping.is_set():
            rung = self._bell.wait(_LOOK_S)
            self._bell.clear()
            try:
                if rung or first or busy(self._ground):
                    self._claim(me)
                if time.monotonic() - renewed > _RENEW_S:
                    self._renew(me)
                    renewed = time.monotonic()
                first = False
            except MillraceError as fault:
                if fault.code == "server.stopping":
                    return
                self._seldom.warn("runs cannot be started", fault)
                self._stopping.wait(_LOOK_S)

    def _claim(self, me: str) -> None:
        """Hold what nobody holds, and start it. In a writing transaction: it sees the call that rang the bell."""

        def write(tx: Tx) -> list[_RunId]:
            now = self._ground.clock.now()
            with self._lock:
                room = self._most - len(self._going)
                going = set(self._going)
            found: list[_RunId] = []
            for workspace, run, holder, held in tables.open_orders(tx):
                place = (workspace, run)
                if len(found) >= room:
                    break
                if place in going or self._resting.get(place, 0.0) > time.monotonic():
                    continue
                if rules.may_hold(me, holder, held, now):
                    tables.hold(tx, workspace, run, me, now + _HOLD_S * SECOND)
                    found.append(place)
            return found

        for place in self._ground.catalog.write(write):
            thread = threading.Thread(target=self._run, args=place, name=f"millrace-run-{place[1][-6:]}", daemon=True)
            with self._lock:
                self._going[place] = thread
            thread.start()

    def _renew(self, me: str) -> None:
        def write(tx: Tx) -> None:
            until = self._ground.clock.now() + _HOLD_S * SECOND
            for workspace, run in going:
                tables.hold(tx, workspace, run, me, until)

        with self._lock:
            going = list(self._going)
        if going:
            self._ground.catalog.write(write)

    def _run(self, workspace: str, run: str) -> None:
        try:
            Execution(self._ground, processes(self._ground), self._slots, self._stopping, workspace, run).go()
        except Exception as fault:
            if not self._stopping.is_set():
                _log.error("run %s cannot be brought to its end now: %s", run, fault)
                self._resting[workspace, run] = time.monotonic() + _REST_S
        finally:
            with self._lock:
                self._going.pop((workspace, run), None)
            self._bell.set()


def _holder(place: Path, ground: Ground) -> str:
    """This directory's own name as a holder: the same after a restart, so that it goes on with its runs at once."""
    if not place.is_file():
        place.write_text(ground.ids.new(), "ascii")
    return place.read_text("ascii")
