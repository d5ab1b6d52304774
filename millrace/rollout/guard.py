"""The error guard by the wall clock: what the workers answered just now, before any label or block is due.

It reads the log's tapes from where they stood when the version first got traffic, so after a restart it counts the same
answers again and comes to the same evidence. A canary is compared with control; a version that serves everybody has no
control, so its own share of errors is held against the policy's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from millrace.access.context import Context, Ground
from millrace.base.clock import SECOND, Micros
from millrace.rollout import evidence as evidences
from millrace.rollout import life, rules, tables
from millrace.rollout.records import OPEN, WHOLE, Decision, Rollout
from millrace.serving import outcomes as serving_outcomes
from millrace.serving import tables as serving_tables
from millrace.serving.entry import Entry
from millrace.serving.log import logs
from millrace.stats.guard import guard_start, guard_update, guard_verdict
from millrace.stats.objective import rate_start, rate_update, rate_verdict
from millrace.stats.spending import split_alpha
from millrace.stats.sticky import first_errors


class Live:
    """What one rollout's versions answered since its canary began; kept in this process."""

    def __init__(self, rollout: Rollout) -> None:
        self.cursor: serving_outcomes.Cursor = dict(rollout.cursor)
        self.guard = guard_start(rollout.policy.error_margin)
        self.rate = rate_start(rollout.policy.error_rate)
        self.counted: dict[str, float] = {}
        self.requests: Counter[int] = Counter()
        self.errors: Counter[int] = Counter()
        self.first_error: Micros | None = None

    def add(self, rollout: Rollout, entries: list[Entry], cursor: serving_outcomes.Cursor) -> bool:
        """Count what was answered since; whether the rollout's version failed anywhere among it."""
        self.cursor = cursor
        entries = [entry for entry in entries if entry.table >= rollout.table]
        if not entries:
            return False
        rows = serving_outcomes.collect(entries, cursor)
        self.requests.update(rows.version.tolist())
        self.errors.update(rows.version[rows.failed].tolist())
        own = rows.version == rollout.version
        alone = own & (rows.weight == WHOLE)
        self.rate = rate_update(self.rate, int(alone.sum()), int((alone & rows.failed).sum()))
        failed = np.flatnonzero(rows.failed & (own | (rows.version == rollout.champion))).tolist()
        if not failed:
            return False
        share = np.where(own, rows.weight, WHOLE - rows.weight) / WHOLE
        told = ((evidences.unit(str(rows.unit[row])), bool(own[row]), float(share[row])) for row in failed)
        batch, fresh = first_errors(self.counted, told)
        self.guard = guard_update(self.guard, batch)
        self.counted.update(fresh)
        if self.first_error is None and bool((own & rows.failed).any()):
            self.first_error = min(entry.at for entry in entries if _fails(entry, rollout.version))
        return True

    def decide(self, rollout: Rollout) -> Decision:
        """What follows now."""
        alpha = split_alpha(rollout.policy.alpha)["errors"] / 2
        return rules.live(guard_verdict(self.guard, alpha, unit="unit"), rate_verdict(self.rate, alpha))


def guard(cx: Context) -> list[Rollout]:
    """Look at every canary and every version that came in lately; roll back what fails. See `rollout.guard`."""
    with cx.read() as tx:
        open_ = [(place, one) for place, one in tables.open_rollouts(tx) if place == cx.workspace and one.weight]
    failing = [(one, decision) for one in open_ if (decision := _look(cx.ground, one[0], one[1])) is not None]
    if not failing:
        return []
    return cx.commit(lambda inner: [_act(inner, one, decision) for (_, one), decision in failing])


def _look(ground: Ground, workspace: str, rollout: Rollout) -> Decision | None:
    live = _live(ground, workspace, rollout)
    with ground.catalog.read() as tx:
        endpoint = serving_tables.endpoint(tx, workspace, rollout.endpoint)
    assert endpoint is not None, "endpoints are never removed"
    entries, cursor = logs(ground).of(workspace, endpoint).tail(live.cursor)
    if not live.add(rollout, entries, cursor):
        return None
    decision = live.decide(rollout)
    return decision if decision.act == "rollback" else None


def _live(ground: Ground, workspace: str, rollout: Rollout) -> Live:
    return ground.memory.keep(lambda: Live(rollout), "rollout", "live", workspace, rollout.id, str(rollout.table))


def _act(cx: Context, rollout: Rollout, decision: Decision) -> Rollout:
    now = tables.rollout(cx.tx, cx.workspace, rollout.endpoint, rollout.number)
    if now is None or now.state not in OPEN:
        return rollout
    live = _live(cx.ground, cx.workspace, rollout)
    sealed = serving_tables.horizon(cx.tx, cx.workspace, rollout.endpoint)
    at = now.phase_since if sealed is None else max(sealed, now.phase_since)
    wall: dict[str, Any] = {
        "requests": {str(version): count for version, count in sorted(live.requests.items())},
        "errors": {str(version): count for version, count in sorted(live.errors.items())},
        "seconds": (cx.now - live.first_error) / SECOND if live.first_error is not None else None,
        "because": decision.because,
        "verdicts": decision.verdicts,
    }
    # how many requests had come by this tick is wall time's doing: the decision says what, `wall` how soon
    plain = Decision("rollback", f"the error guard: version {now.version} fails")
    return life.roll_back(cx, now, at, plain, wall)


def _fails(entry: Entry, version: int) -> bool:
    return any(answer.version == version and answer.role == "arm" and answer.faults for answer in entry.answers)
