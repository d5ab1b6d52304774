"""The verbs of rollout."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, structs

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, unknown
from millrace.base.op import Nothing, op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.catalog import tables as catalog_tables
from millrace.catalog.journal import Fact
from millrace.catalog.tx import Tx
from millrace.monitoring.judge import plan_of
from millrace.rollout import decisions, guard, judge, life, rules, start, tables
from millrace.rollout.decisions import Decisions
from millrace.rollout.records import ACTIVE, OPEN, WHOLE, Decision, Evidence, Policy, Rollout
from millrace.serving import tables as serving_tables
from millrace.serving.ops import find


class StartRollout(Struct, frozen=True):
    """`number` is the model version. Without a `policy` that of the last rollout that was not forced is taken, or else
    the usual one with the metric of the watch.
    """

    endpoint: str
    number: int
    policy: Policy | None = None
    reason: str = ""


class ForceRollout(Struct, frozen=True):
    """`weight` is the share in ten-thousandths: all, unless said. `reason` is kept in the journal."""

    endpoint: str
    number: int
    reason: str
    weight: int = WHOLE
    policy: Policy | None = None


class JudgeRollouts(Struct, frozen=True):
    """`until`: event time (micros) that has been reached; the log is sealed up to its block."""

    endpoint: str
    until: Micros


class WhichRollout(Struct, frozen=True):
    """`number` 0 is the endpoint's newest rollout."""

    endpoint: str
    number: int = 0


class ListRollouts(Paged, frozen=True):
    endpoint: str = ""


class ListDecisions(Struct, frozen=True):
    endpoint: str = ""


class HoldRollout(Struct, frozen=True):
    """What is under way at the endpoint; `reason` is kept in the journal."""

    endpoint: str
    reason: str = ""


class TakeBackRollout(Struct, frozen=True):
    """What is under way at the endpoint, or serves; `reason` is kept in the journal."""

    endpoint: str
    reason: str


class Shown(Struct, frozen=True):
    """A rollout with its evidence, block by block."""

    rollout: Rollout
    evidence: list[Evidence]


@op("rollout.start", permission="rollout:operate", kind="work")
def begin(ask: StartRollout, cx: Context) -> Rollout:
    """Start moving a version towards serving everybody: gate, shadow, canary. The first version needs the gate alone.

    A refusal is kept as a fact and answered as `gate.refused`.

    Errors: endpoint.unknown, version.unknown, version.unapproved, gate.refused, rollout.busy, policy.invalid,
    model.invalid, view.unknown, view.changed.
    """
    with cx.read() as tx:
        policy = ask.policy or _policy(tx, cx.workspace, ask.endpoint)
    return start.start(cx, ask.endpoint, ask.number, policy, ask.reason)


@op("rollout.force", permission="rollout:operate")
def force(ask: ForceRollout, cx: Context) -> Rollout:
    """Serve a version past the gate, as an operator's own decision. Guards and late labels still roll it back.

    Errors: endpoint.unknown, version.unknown, version.unapproved, rollout.busy, rollout.reason, policy.invalid,
    view.unknown, view.changed.
    """
    policy = ask.policy or _policy(cx.tx, cx.workspace, ask.endpoint)
    return start.force(cx, ask.endpoint, ask.number, policy, ask.weight, ask.reason)


@op("rollout.judge", permission="rollout:run", kind="work")
def judge_rollouts(ask: JudgeRollouts, cx: Context) -> list[Rollout]:
    """Judge what is under way at an endpoint by the blocks whose outcomes are due at `until`.

    Errors: endpoint.unknown, log.unsealed, blob.corrupt, catalog.busy.
    """
    return judge.judge(cx, ask.endpoint, ask.until)


@op("rollout.guard", permission="rollout:run", kind="work")
def guard_rollouts(ask: Nothing, cx: Context) -> list[Rollout]:
    """Look at the errors of this moment, and roll back what fails. The platform calls it several times a second."""
    return guard.guard(cx)


@op("rollout.get", permission="rollout:read", kind="read")
def get(ask: WhichRollout, cx: Context) -> Shown:
    """Show a rollout with its verdicts and evidence.

    Errors: rollout.unknown.
    """
    found = _find(cx.tx, cx.workspace, ask.endpoint, ask.number)
    return Shown(found, tables.evidence(cx.tx, cx.workspace, found))


@op("rollout.list", permission="rollout:read", kind="read")
def list_rollouts(ask: ListRollouts, cx: Context) -> Page[Rollout]:
    """List rollouts, newest first.

    Errors: endpoint.unknown, page.invalid.
    """
    if ask.endpoint:
        find(cx.tx, cx.workspace, ask.endpoint)
    found = tables.rollouts(cx.tx, cx.workspace, ask.endpoint)
    return page_of(found[::-1] if ask.endpoint else found, ask, lambda one: one.id)


@op("rollout.pause", permission="rollout:operate")
def pause(ask: HoldRollout, cx: Context) -> Rollout:
    """Hold a rollout where it is. It still goes back when it must. One that is held already is answered as it is.

    Errors: rollout.unknown, rollout.over.
    """
    return _held(cx, ask, True)


@op("rollout.resume", permission="rollout:operate")
def resume(ask: HoldRollout, cx: Context) -> Rollout:
    """Let a paused rollout go on. One that is not held is answered as it is.

    Errors: rollout.unknown, rollout.over.
    """
    return _held(cx, ask, False)


@op("rollout.rollback", permission="rollout:operate")
def rollback(ask: TakeBackRollout, cx: Context) -> Rollout:
    """Go back to the version before: from a shadow, a canary, or what serves everybody since the last rollout.

    Errors: rollout.unknown, rollout.over, rollout.reason.
    """
    rules.check_reason(ask.reason, "no version is taken back")
    found = _under_way(cx.tx, cx.workspace, ask.endpoint)
    if found is None:
        past = [one for one in tables.rollouts(cx.tx, cx.workspace, ask.endpoint) if one.state == "promoted"]
        serving = serving_tables.newest_table(cx.tx, cx.workspace, ask.endpoint)
        at = serving.arms[0].number if serving else 0
        found = next((one for one in reversed(past) if one.version == at and one.champion), None)
    if found is None:
        raise MillraceError("rollout.over", f"nothing is under way at {ask.endpoint}", "millrace rollout list")
    sealed = serving_tables.horizon(cx.tx, cx.workspace, ask.endpoint)
    at = max(found.phase_since, sealed or 0)
    return life.roll_back(cx, found, at, Decision("rollback", f"by {cx.actor}: {ask.reason}"))


@op("rollout.decisions", permission="rollout:read", kind="read")
def list_decisions(ask: ListDecisions, cx: Context) -> Decisions:
    """List what was decided about an endpoint, with a digest that the same events always lead to.

    Errors: endpoint.unknown.
    """
    if ask.endpoint:
        find(cx.tx, cx.workspace, ask.endpoint)
    return decisions.of(_facts(cx.tx, cx.workspace), ask.endpoint)


def _facts(tx: Tx, workspace: str, page: int = 2_000) -> Iterator[Fact]:
    after = 0
    while found := catalog_tables.facts_after(tx, workspace, after, page):
        yield from found
        after = found[-1].number


def _policy(tx: Tx, workspace: str, endpoint: str) -> Policy:
    """The policy of the endpoint's last rollout; without one the usual one, on the metric that is watched.

    What was forced was an exception, whose policy nobody inherits.
    """
    found = find(tx, workspace, endpoint)
    before = [one for one in tables.rollouts(tx, workspace, endpoint) if not one.forced]
    if before:
        return before[-1].policy
    plan = plan_of(tx, workspace, found)
    return Policy(metric=plan.metric, alpha=plan.alpha)


def _find(tx: Tx, workspace: str, endpoint: str, number: int) -> Rollout:
    found = tables.rollout(tx, workspace, endpoint, number or tables.newest(tx, workspace, endpoint))
    if found is None:
        known = (one.id for one in tables.rollouts(tx, workspace))
        raise unknown("rollout", f"{endpoint}-{number}" if number else endpoint, known)
    return found


def _under_way(tx: Tx, workspace: str, endpoint: str) -> Rollout | None:
    """What is on its way, or else what is watched."""
    every = tables.rollouts(tx, workspace, endpoint)
    if not every:
        raise unknown("rollout", endpoint, (one.id for one in tables.rollouts(tx, workspace)))
    open_ = [one for one in every if one.state in OPEN]
    return next((one for one in open_ if one.state in ACTIVE), open_[-1] if open_ else None)


def _held(cx: Context, ask: HoldRollout, paused: bool) -> Rollout:
    found = _under_way(cx.tx, cx.workspace, ask.endpoint)
    if found is None:
        raise MillraceError("rollout.over", f"nothing is under way at {ask.endpoint}", "millrace rollout list")
    if found.paused == paused:
        return found
    held = structs.replace(found, paused=paused)
    tables.put(cx.tx, cx.workspace, held, tables.running(cx.tx, cx.workspace, found))
    kind = "rollout.paused" if paused else "rollout.resumed"
    life.tell(cx, kind, held, held.judged, f"by {cx.actor}: {ask.reason}")
    return held


OPS = tuple(
    record_of(verb)
    for verb in (
        begin, force, judge_rollouts, guard_rollouts, get, list_rollouts, pause, resume, rollback, list_decisions,
    )
)  # fmt: skip
