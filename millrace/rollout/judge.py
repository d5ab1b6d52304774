"""New evidence moves the rollouts that are under way: blocks are gathered once, in order, and then decided upon."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import structs

from millrace.access.context import Context
from millrace.base.clock import SECOND, Micros
from millrace.base.errors import MillraceError
from millrace.monitoring import outcomes
from millrace.monitoring.outcomes import Outcomes
from millrace.monitoring.rules import due_blocks
from millrace.rollout import evidence as evidences
from millrace.rollout import life, rules, tables, traffic
from millrace.rollout.records import OPEN, Decision, Evidence, Rollout
from millrace.serving import tables as serving_tables
from millrace.serving.ops import find
from millrace.serving.records import Endpoint
from millrace.serving.rules import reached


class _Gathered(NamedTuple):
    """A rollout with its new evidence, its running state after it, and what follows."""

    before: Rollout
    fresh: list[Evidence]
    running: evidences.Running | None
    judged: Micros
    decision: Decision


def judge(cx: Context, name: str, until: Micros) -> list[Rollout]:
    """Judge an endpoint's open rollouts at event time `until`; see `rollout.judge`."""
    with cx.read() as tx:
        endpoint = find(tx, cx.workspace, name)
        until = reached(endpoint, serving_tables.horizon(tx, cx.workspace, name), until)
        open_ = [one for one in tables.rollouts(tx, cx.workspace, name) if one.state in OPEN]
        known = [(tables.evidence(tx, cx.workspace, one), tables.running(tx, cx.workspace, one)) for one in open_]
    if not open_:
        return []
    read: dict[Micros, Outcomes] = {}
    gathered = [
        _gather(cx, endpoint, one, held, packed, until, read) for one, (held, packed) in zip(open_, known, strict=True)
    ]
    return cx.commit(lambda inner: _write(inner, gathered, until))


def _gather(
    cx: Context, endpoint: Endpoint, rollout: Rollout, held: list[Evidence], packed: bytes | None, until: Micros,
    read: dict[Micros, Outcomes],
) -> _Gathered:  # fmt: skip
    begin = max(rollout.judged, rollout.phase_since, rollout.trained_until)
    due = due_blocks(
        begin, until, origin=endpoint.day_origin, block_s=endpoint.block_s, maturity_s=endpoint.maturity_s
    )  # fmt: skip
    running = evidences.from_bytes(packed) if packed is not None else None
    if rollout.state == "canary" and running is None:
        running = evidences.start(rollout.policy)
    fresh = []
    for since, end in due:
        if since not in read:
            known_at = end + endpoint.maturity_s * SECOND
            read[since] = outcomes.read(cx.ground, cx.workspace, endpoint.name, since, end, known_at)
        rows = read[since]
        if not len(rows.id):
            continue
        if rollout.state == "canary":
            assert running is not None, "a canary carries its running state"
            found, running = evidences.arms(rollout, rows, since, end, running)
        else:
            found = evidences.pairs(rollout, rows, since, end)
        fresh.append(found)
    judged = due[-1][1] if due else rollout.judged
    return _Gathered(rollout, fresh, running, judged, decide(rollout, [*held, *fresh], running, until))


def decide(rollout: Rollout, evidence: list[Evidence], running: evidences.Running | None, now: Micros) -> Decision:
    """What follows for the rollout from all its evidence at event time `now`."""
    own = [one for one in evidence if one.phase == rollout.state and one.since >= rollout.trained_until]
    if rollout.state == "shadow":
        decision = rules.shadow(rollout, own, now)
    elif rollout.state == "canary":
        assert running is not None, "a canary carries its running state"
        decision = rules.canary(rollout, own, evidences.guards(running, rollout.policy), now)
    else:
        decision = rules.watching(rollout, own, now)
    return rules.while_paused(decision) if rollout.paused else decision


def _write(cx: Context, gathered: list[_Gathered], until: Micros) -> list[Rollout]:
    done = []
    for one in gathered:
        now = tables.rollout(cx.tx, cx.workspace, one.before.endpoint, one.before.number)
        assert now is not None, "rollouts are never removed"
        if now.state not in OPEN:
            continue  # another decision of this call ended it
        if (now.state, now.step, now.judged, now.paused) != (
            one.before.state, one.before.step, one.before.judged, one.before.paused,
        ):  # fmt: skip
            raise MillraceError("catalog.busy", f"rollout {now.id} changed meanwhile", "call again")
        for found in one.fresh:
            tables.put_evidence(cx.tx, cx.workspace, now, found)
        now = structs.replace(now, judged=one.judged)
        done.append(life.apply(cx, now, _in_turn(cx, now, one.decision), until, one.running))
    return done


def _in_turn(cx: Context, rollout: Rollout, decision: Decision) -> Decision:
    """A challenger gets no traffic while a forced version has some: its champion is not what serves."""
    if decision.act != "canary":
        return decision
    serving = traffic.champion(cx.tx, cx.workspace, rollout.endpoint)
    if serving == rollout.champion and not any(one.state == "canary" for one in life.others(cx, rollout)):
        return decision
    return Decision("hold", f"{decision.because}; it waits while a forced version serves", decision.verdicts)
