"""How a rollout begins: by the gate, or forced by an operator who says why."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import structs, to_builtins

from millrace.access.context import Context
from millrace.base.clock import Micros, from_iso
from millrace.base.errors import MillraceError
from millrace.catalog.tx import Tx
from millrace.registry import versions
from millrace.registry.records import Version
from millrace.rollout import evidence as evidences
from millrace.rollout import gate as gates
from millrace.rollout import life, rules, tables, traffic
from millrace.rollout.records import ACTIVE, WHOLE, Decision, Gate, Policy, Rollout
from millrace.serving import tables as serving_tables
from millrace.serving.ops import find
from millrace.serving.records import Endpoint
from millrace.serving.rules import check_views
from millrace.tracking import tables as tracking_tables
from millrace.tracking.records import Run


class _Asked(NamedTuple):
    """What is known when a rollout is asked for."""

    endpoint: Endpoint
    version: Version
    champion: Version | None
    run: Run | None
    earlier: list[Rollout]
    now: Micros
    trained_until: Micros


def start(cx: Context, name: str, number: int, policy: Policy, reason: str) -> Rollout:
    """Gate a version and begin its rollout; see `rollout.start`."""
    rules.check_policy(policy)
    with cx.read() as tx:
        asked = _load(tx, cx.workspace, name, number)
        versions.check_approved(tx, cx.workspace, asked.version)
    _check_free(asked)
    check_views({one.title: one.views for one in (asked.champion, asked.version) if one is not None})
    gate = gates.pass_(
        cx, asked.endpoint, asked.version, asked.champion, policy, now=asked.now, trained_until=asked.trained_until,
        metrics=asked.run.metrics if asked.run else {},
    )  # fmt: skip
    done = cx.commit(lambda inner: _begin(inner, asked, policy, gate, reason))
    if not gate.passed:
        raise MillraceError(
            "gate.refused", f"{asked.version.title} may not serve at {name}: {gate.because}",
            f"make a better version, or take the blame: millrace rollout force {name} {number} REASON",
        )  # fmt: skip
    return done


def force(cx: Context, name: str, number: int, policy: Policy, weight: int, reason: str) -> Rollout:
    """Serve a version without a gate, by an operator's own decision; see `rollout.force`."""
    rules.check_policy(policy)
    rules.check_reason(reason, "nothing is forced")
    if not 0 < weight <= WHOLE:
        raise MillraceError("policy.invalid", f"a share of {weight}", f"ten-thousandths, up to {WHOLE}")
    asked = _load(cx.tx, cx.workspace, name, number)
    _check_free(asked, forced=True)
    if weight < WHOLE:
        policy = structs.replace(policy, steps=(weight,))
    made = structs.replace(_made(cx, asked, policy, reason), forced=True, because=f"forced: {reason}")
    decision = Decision("promote", made.because)
    if weight < WHOLE and made.champion:
        life.tell(cx, "rollout.forced", made, asked.now, made.because, weight=weight, reason=reason)
        return life.expose(cx, made, 0, asked.now, decision)
    return life.promote(cx, made, asked.now, decision, kind="rollout.forced")


def _load(tx: Tx, workspace: str, name: str, number: int) -> _Asked:
    endpoint = find(tx, workspace, name)
    version = versions.find(tx, workspace, endpoint.model, number)
    serving = traffic.champion(tx, workspace, name)
    champion = versions.find(tx, workspace, endpoint.model, serving) if serving else None
    run = tracking_tables.run(tx, workspace, version.run) if version.run else None
    trained = trained_until(version, run)
    sealed = serving_tables.horizon(tx, workspace, name)
    now = sealed if sealed is not None else max(endpoint.day_origin, trained)
    return _Asked(endpoint, version, champion, run, tables.rollouts(tx, workspace, name), now, trained)


def trained_until(version: Version, run: Run | None) -> Micros:
    """Event time before which the version's training data lie: its run's ``until``; 0 where nothing says so."""
    for source in (run.params if run else {}, version.purpose):
        found: Any = source.get("until")
        if isinstance(found, int) and not isinstance(found, bool):
            return found
        if isinstance(found, str):
            try:
                return from_iso(found)
            except MillraceError:
                continue
    return 0


def _check_free(asked: _Asked, *, forced: bool = False) -> None:
    """Errors: `rollout.busy`. What is forced may come beside a challenger in the shadow."""
    taken = ("canary",) if forced else ACTIVE
    busy = next((one for one in asked.earlier if one.state in taken), None)
    if busy is not None:
        raise MillraceError(
            "rollout.busy", f"rollout {busy.id} of version {busy.version} is under way at {asked.endpoint.name}",
            f"wait for it, or end it: millrace rollout rollback {asked.endpoint.name} REASON",
        )  # fmt: skip
    if asked.champion is not None and asked.champion.number == asked.version.number:
        raise MillraceError(
            "rollout.busy", f"{asked.version.title} serves at {asked.endpoint.name} already", "choose another version"
        )


def _made(cx: Context, asked: _Asked, policy: Policy, reason: str) -> Rollout:
    number = tables.newest(cx.tx, cx.workspace, asked.endpoint.name) + 1
    return Rollout(
        id=f"{asked.endpoint.name}-{number}", endpoint=asked.endpoint.name, number=number,
        model=asked.version.model, version=asked.version.number,
        champion=asked.champion.number if asked.champion else 0, policy=policy, state="shadow", since=asked.now,
        trained_until=asked.trained_until, phase_since=asked.now, judged=asked.now, actor=cx.actor, reason=reason,
        alpha=policy.alpha,
    )  # fmt: skip


def _begin(cx: Context, asked: _Asked, policy: Policy, gate: Gate, reason: str) -> Rollout:
    _check_free(asked._replace(earlier=tables.rollouts(cx.tx, cx.workspace, asked.endpoint.name)))
    made = structs.replace(_made(cx, asked, policy, reason), because=gate.because, verdicts=gate.verdicts)
    told = to_builtins(structs.replace(gate, verdicts={}))
    if not gate.passed:
        over = structs.replace(made, state="refused", over=asked.now)
        tables.put(cx.tx, cx.workspace, over)
        life.tell(cx, "gate.refused", over, asked.now, gate.because, gate.verdicts, gate=told)
        return over
    strategy = "all" if asked.champion is None else policy.strategy
    shadow = strategy == "shadow"
    if shadow:
        k, alpha = rules.spent(policy, asked.earlier, asked.now)
        made = structs.replace(made, challenger=k, alpha=alpha)
    life.tell(cx, "gate.passed", made, asked.now, gate.because, gate.verdicts, gate=told)
    life.tell(
        cx, "rollout.started", made, asked.now, gate.because, strategy=strategy, policy=to_builtins(policy),
        challenger=made.challenger, alpha=made.alpha, trained_until=made.trained_until,
    )  # fmt: skip
    if strategy == "all":
        return life.promote(cx, made, asked.now, Decision("promote", gate.because))
    if shadow:
        return life.enter(cx, made, f"shadow: {gate.because}")
    return life.expose(cx, made, 0, asked.now, Decision("canary", gate.because), evidences.start(policy))
