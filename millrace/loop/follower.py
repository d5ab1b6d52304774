"""The thread that follows the journal with a durable cursor and makes the calls that the rules ask for.

Each call carries the key ``rule : fact number : position``, so a crash at any point repeats nothing. A call that is
refused is a fact (`loop.refused`), and the loop goes on; `loop.standing` names it until the same rule gets through
about the same subject. One that failed for want of room or a lock is tried again.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from millrace.access.context import Ground
from millrace.access.records import LOOP
from millrace.base.errors import MillraceError
from millrace.base.seldom import Seldom
from millrace.catalog import tables as catalog_tables
from millrace.catalog.journal import Fact
from millrace.catalog.tx import Tx
from millrace.loop import rules, tables
from millrace.loop.records import OpCall, Refusal, Rule

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
        self._seldom = Seldom(_log)
        self._stopping = threading.Event()
        self._rounds: Counter[tuple[str, str]] = Counter()  # calls of a rule, less what others' facts excuse
        self._thread = threading.Thread(target=self._serve, name="millrace-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the call under way, then end. Safe to call when it was never started."""
        self._stopping.set()
        self._ground.catalog.rouse()
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
            except Exception as fault:
                if self._stopping.is_set():
                    return
                self._seldom.warn("the loop tries again from its cursor", fault)
                self._stopping.wait(_AGAIN_S)
            seen = self._ground.catalog.wait_for_facts(seen, _POLL_S)

    def _follow(self, workspace: str) -> int:
        with self._ground.catalog.read() as tx:
            done = catalog_tables.cursor(tx, workspace, rules.FOLLOWER)
            facts = catalog_tables.facts_after(tx, workspace, done, _PAGE)
            known = rules.merged(tables.changed(tx, workspace)) if facts else []
            standing = {(one.rule, one.subject): one for one in tables.refusals(tx, workspace)} if facts else {}
        for dealt, fact in enumerate(facts):
            if self._stopping.is_set():
                return dealt
            asked = rules.calls(known, fact)
            if fact.actor != LOOP.actor:
                self._rounds = Counter(rules.rested(self._rounds))
            for position, (rule, wanted) in enumerate(asked):
                self._rounds[workspace, rule.name] += 1
                if rules.feeds_itself(rule, self._rounds[workspace, rule.name]):
                    known.remove(rule)
                    self._end(workspace, rule, fact, wanted)
                    continue
                refused = self._make(workspace, rule, fact, position, wanted)
                before = standing.pop((rule.name, fact.subject), None)
                if refused is not None:
                    standing[rule.name, fact.subject] = self._tell(workspace, rule, fact, wanted, refused, before)
                elif before is not None:
                    self._made_good(workspace, before, fact)
            if asked:
                self._move(workspace, fact.number)
        if facts:
            self._move(workspace, facts[-1].number)
        return len(facts)

    def _make(self, workspace: str, rule: Rule, fact: Fact, position: int, wanted: OpCall) -> MillraceError | None:
        """Make a call; why it was refused, or None."""
        while True:
            try:
                self._call(wanted.op, wanted.request, LOOP, workspace, rules.key(rule, fact, position))
                return None
            except MillraceError as fault:
                if rules.worth_a_retry(fault.code) and not self._stopping.wait(_AGAIN_S):
                    continue
                if self._stopping.is_set():
                    raise
                return fault
            except Exception as defect:
                _log.exception("rule %s failed at fact %d", rule.name, fact.number)
                return MillraceError("internal.fault", f"{type(defect).__name__}: {defect}"[:500])

    def _tell(
        self, workspace: str, rule: Rule, fact: Fact, wanted: OpCall, refused: MillraceError, before: Refusal | None
    ) -> Refusal:
        """Write down that a call was refused, once more if it was before."""
        _log.warning("rule %s: %s after fact %d: %s", rule.name, wanted.op, fact.number, refused)
        now = self._ground.clock.now()
        made = Refusal(
            rule.name, fact.subject, wanted.op, refused.code, refused.message, refused.hint, fact.number, now,
            1 if before is None else before.times + 1,
        )  # fmt: skip
        data = {
            "rule": rule.name, "fact": fact.number, "call": wanted.op, "code": refused.code, "message": refused.message,
        }  # fmt: skip

        def write(tx: Tx) -> None:
            tables.put_refusal(tx, workspace, made)
            tx.fact(workspace, now, LOOP.actor, "loop.refused", fact.subject, data)

        self._ground.catalog.write(write)
        return made

    def _end(self, workspace: str, rule: Rule, fact: Fact, wanted: OpCall) -> None:
        """Switch a rule off that feeds itself."""
        self._call("rule.switch", {"name": rule.name, "enabled": False}, LOOP, workspace)
        told = f"{rule.name!r} was called {rules.ROUNDS:,} times by little but the loop's own facts"
        hint = f"it feeds itself and is off now; change it, or: millrace rule switch {rule.name} true"
        self._tell(workspace, rule, fact, wanted, MillraceError("rule.endless", told, hint), None)

    def _made_good(self, workspace: str, before: Refusal, fact: Fact) -> None:
        """A call went through that had been refused: what stood in its way is gone."""
        now = self._ground.clock.now()

        def write(tx: Tx) -> None:
            tables.drop_refusal(tx, workspace, before.rule, before.subject)
            data = {"rule": before.rule, "fact": fact.number, "call": before.call, "times": before.times}
            tx.fact(workspace, now, LOOP.actor, "loop.recovered", before.subject, data)

        self._ground.catalog.write(write)

    def _move(self, workspace: str, number: int) -> None:
        self._ground.catalog.write(lambda tx: catalog_tables.move_cursor(tx, workspace, rules.FOLLOWER, number))
