"""The thread that follows the journal with a durable cursor and makes the calls that the rules ask for.

Each call carries the key ``rule : fact number : position``, so a crash at any point repeats nothing. A call that is
refused is a fact (`loop.refused`), and the loop goes on; one that failed for want of room or a lock is tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from millrace.access.context import Ground
from millrace.access.records import LOOP
from millrace.base.errors import MillraceError
from millrace.catalog import tables as catalog_tables
from millrace.catalog.journal import Fact
from millrace.loop import rules, tables
from millrace.loop.records import OpCall, Rule

Call = Callable[..., Any]

_log = logging.getLogger("millrace.loop")
_PAGE = 500
_POLL_S = 0.5
_AGAIN_S = 1.0


class Follower:
    """Follows every workspace's journal; `call` is the platform's, so the loop comes in by the waist like anybody."""

    def __init__(self, ground: Ground, call: Call) -> None:
        self._ground = ground
        self._call = call
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="millrace-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the call under way, then end. Safe to call when it was never started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def turn(self) -> int:
        """Deal with what is there now, in every workspace; the number of facts dealt with."""
        with self._ground.catalog.read() as tx:
            places = catalog_tables.workspaces(tx)
        return sum(self._follow(place) for place in places)

    def _serve(self) -> None:
        seen = 0
        while not self._stopping.is_set():
            try:
                if self.turn():
                    continue
            except Exception:
                if self._stopping.is_set():
                    return
                _log.exception("the loop stumbled; it goes on from its cursor")
                self._stopping.wait(_AGAIN_S)
            seen = self._ground.catalog.wait_for_facts(seen, _POLL_S)

    def _follow(self, workspace: str) -> int:
        with self._ground.catalog.read() as tx:
            done = catalog_tables.cursor(tx, workspace, rules.FOLLOWER)
            facts = catalog_tables.facts_after(tx, workspace, done, _PAGE)
            known = rules.merged(tables.changed(tx, workspace)) if facts else []
        for dealt, fact in enumerate(facts):
            if self._stopping.is_set():
                return dealt
            asked = rules.calls(known, fact)
            for position, (rule, wanted) in enumerate(asked):
                self._make(workspace, rule, fact, position, wanted)
            if asked:
                self._move(workspace, fact.number)
        if facts:
            self._move(workspace, facts[-1].number)
        return len(facts)

    def _make(self, workspace: str, rule: Rule, fact: Fact, position: int, wanted: OpCall) -> None:
        while True:
            try:
                self._call(wanted.op, wanted.request, LOOP, workspace, rules.key(rule, fact, position))
                return
            except MillraceError as fault:
                if rules.worth_a_retry(fault.code) and not self._stopping.wait(_AGAIN_S):
                    continue
                if self._stopping.is_set():
                    raise
                refused = fault
            except Exception as defect:
                _log.exception("rule %s failed at fact %d", rule.name, fact.number)
                refused = MillraceError("internal.fault", f"{type(defect).__name__}: {defect}"[:500])
            self._tell(workspace, rule, fact, wanted, refused)
            return

    def _tell(self, workspace: str, rule: Rule, fact: Fact, wanted: OpCall, refused: MillraceError) -> None:
        _log.warning("rule %s: %s after fact %d: %s", rule.name, wanted.op, fact.number, refused)
        data = {"rule": rule.name, "fact": fact.number, "call": wanted.op, "code": refused.code}
        now = self._ground.clock.now()
        self._ground.catalog.write(lambda tx: tx.fact(workspace, now, LOOP.actor, "loop.refused", fact.subject, data))

    def _move(self, workspace: str, number: int) -> None:
        self._ground.catalog.write(lambda tx: catalog_tables.move_cursor(tx, workspace, rules.FOLLOWER, number))
