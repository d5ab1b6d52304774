"""A rollout's way as functions of an open writing call: each change is a new record, a routing table and a fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs, to_builtins

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.monitoring.judge import Challenge, challenge
from millrace.rollout import evidence as evidences
from millrace.rollout import tables, traffic
from millrace.rollout.records import ACTIVE, OPEN, WHOLE, Decision, Rollout
from millrace.serving import outcomes
from millrace.stats.verdict import Verdict


def tell(
    cx: Context, kind: str, rollout: Rollout, at: Micros, because: str, verdicts: Mapping[str, Verdict] | None = None,
    **more: Any,
) -> None:  # fmt: skip
    """Write a decision as a fact, with its whole verdicts. What depends on wall time goes into `wall` alone."""
    cx.fact(
        kind, rollout.id,
        {
            "endpoint": rollout.endpoint, "rollout": rollout.id, "model": rollout.model, "number": rollout.version,
            "champion": rollout.champion, "state": rollout.state, "at": at, "because": because,
            "verdicts": to_builtins(dict(verdicts or {})), **more,
        },
    )  # fmt: skip


def others(cx: Context, rollout: Rollout) -> list[Rollout]:
    """The endpoint's other open rollouts."""
    found = tables.rollouts(cx.tx, cx.workspace, rollout.endpoint)
    return [other for other in found if other.state in OPEN and other.number != rollout.number]


def apply(
    cx: Context, rollout: Rollout, decision: Decision, now: Micros, running: evidences.Running | None = None,
    wall: Mapping[str, Any] | None = None,
) -> Rollout:  # fmt: skip
    """The rollout after a decision at event time `now`, written with all that follows from it."""
    rollout = structs.replace(rollout, because=decision.because, verdicts=decision.verdicts or rollout.verdicts)
    if decision.act == "canary":
        return expose(cx, rollout, 0, now, decision)
    if decision.act == "step":
        return expose(cx, rollout, rollout.step + 1, now, decision, running)
    if decision.act == "promote":
        return promote(cx, rollout, now, decision)
    if decision.act == "end":
        return end(cx, rollout, now, decision)
    if decision.act == "rollback":
        return roll_back(cx, rollout, now, decision, wall)
    if decision.act == "finish":
        return finish(cx, rollout, now, decision)
    tables.put(cx.tx, cx.workspace, rollout, evidences.to_bytes(running) if running is not None else None)
    return rollout


def expose(
    cx: Context, rollout: Rollout, step: int, now: Micros, decision: Decision,
    running: evidences.Running | None = None,
) -> Rollout:  # fmt: skip
    """Give the canary the share of step `step`; without steps everything at once."""
    policy = rollout.policy
    if step >= len(policy.steps):
        return promote(cx, rollout, now, decision)
    before = outcomes.present(cx.ground, cx.workspace, rollout.endpoint)
    going = structs.replace(rollout, state="canary", step=step, weight=policy.steps[step], phase_since=now, judged=now)
    table = _serve(cx, going, traffic.champion(cx.tx, cx.workspace, rollout.endpoint), decision.because)
    if step == 0:
        going = structs.replace(going, table=table, cursor=before)
    tables.put(cx.tx, cx.workspace, going, evidences.to_bytes(running or evidences.start(policy)))
    tell(cx, "rollout.stepped", going, now, decision.because, decision.verdicts, step=step, weight=going.weight)
    return going


def promote(cx: Context, rollout: Rollout, now: Micros, decision: Decision, kind: str = "rollout.promoted") -> Rollout:
    """Serve everybody with it. The version before stays as a shadow while it is watched; older watches end.

    A challenger beside a forced version goes on in the shadow: what it is compared with is scored there too.
    """
    for other in others(cx, rollout):
        if other.state == "watching":
            finish(cx, other, now, Decision("finish", f"{rollout.id} took its place"), serve=False)
        elif other.state == "canary" or not rollout.forced or not rollout.policy.watch_days:
            end(cx, other, now, Decision("end", f"{rollout.id} changed the champion"), serve=False)
    watch = bool(rollout.champion) and rollout.policy.watch_days > 0
    done = structs.replace(
        rollout, state="watching" if watch else "promoted", weight=WHOLE, phase_since=now, judged=now,
        over=None if watch else now,
    )  # fmt: skip
    before = outcomes.present(cx.ground, cx.workspace, rollout.endpoint)
    table = _serve(cx, done, rollout.version, decision.because)
    if not done.table:
        done = structs.replace(done, table=table, cursor=before)
    tables.put(cx.tx, cx.workspace, done)
    tell(cx, kind, done, now, decision.because, decision.verdicts)
    return done


def end(cx: Context, rollout: Rollout, now: Micros, decision: Decision, *, serve: bool = True) -> Rollout:
    """It did not earn more: nobody was served by it, or no longer is."""
    over = structs.replace(rollout, state="ended", weight=0, over=now, judged=now, because=decision.because)
    tables.put(cx.tx, cx.workspace, over)
    if serve:
        _serve(cx, over, traffic.champion(cx.tx, cx.workspace, rollout.endpoint), decision.because)
    tell(cx, "rollout.ended", over, now, decision.because, decision.verdicts)
    return over


def roll_back(
    cx: Context, rollout: Rollout, now: Micros, decision: Decision, wall: Mapping[str, Any] | None = None
) -> Rollout:
    """Back to the version before. What was compared with a version that goes is ended too."""
    replaced = rollout.state in ("watching", "promoted")
    if replaced:
        gone = Decision("end", f"its champion, version {rollout.version}, was rolled back")
        for other in others(cx, rollout):
            if other.champion != rollout.champion:
                end(cx, other, now, gone, serve=False)
    over = structs.replace(rollout, state="rolled_back", weight=0, over=now, judged=now, because=decision.because)
    tables.put(cx.tx, cx.workspace, over)
    champion = rollout.champion if replaced else traffic.champion(cx.tx, cx.workspace, rollout.endpoint)
    _serve(cx, over, champion, decision.because)
    more: dict[str, Any] = {"to": champion, "replaced": replaced, "forced": rollout.forced}
    if wall is not None:
        more["wall"] = dict(wall)
    tell(cx, "rollout.rolled_back", over, now, decision.because, decision.verdicts, **more)
    return over


def finish(cx: Context, rollout: Rollout, now: Micros, decision: Decision, *, serve: bool = True) -> Rollout:
    """The watch over a promoted version ends; the version before is no longer scored."""
    over = structs.replace(rollout, state="promoted", over=now, judged=now, because=decision.because)
    tables.put(cx.tx, cx.workspace, over)
    if serve:
        gone = Decision("end", f"its champion, version {rollout.champion}, no longer serves")
        for other in others(cx, over):
            if other.champion == rollout.champion:
                end(cx, other, now, gone, serve=False)
        _serve(cx, over, traffic.champion(cx.tx, cx.workspace, rollout.endpoint), decision.because)
    tell(cx, "rollout.confirmed", over, now, decision.because, decision.verdicts)
    return over


def enter(cx: Context, rollout: Rollout, reason: str) -> Rollout:
    """Score it on every row, unseen, beside what serves."""
    tables.put(cx.tx, cx.workspace, rollout)
    _serve(cx, rollout, traffic.champion(cx.tx, cx.workspace, rollout.endpoint), reason)
    return rollout


def _serve(cx: Context, changed: Rollout, champion: int, reason: str) -> int:
    """Route by all open rollouts, `changed` as it is now, and tell monitoring; the number of the routing table."""
    open_ = sorted([*others(cx, changed), changed], key=lambda one: one.number)
    kept = [one for one in open_ if one.state in OPEN]
    active = next((one.id for one in kept if one.state in ACTIVE), "")
    challenge(cx, Challenge(changed.endpoint, active))
    return traffic.point(cx, changed.endpoint, champion, kept, changed.id, reason).number
