"""Judging blocks of event time, each once, in order, when their labels are due.

A block is judged when event time is past its end by the endpoint's label maturity; an outcome counts if it had arrived
by then. So the same log and labels give the same judgement, whenever and however often it is asked for.

What comes after a block was judged changes no verdict. It is counted, beside that judgement and in the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs, to_builtins

from millrace.access.context import Context
from millrace.access.records import LOOP
from millrace.base.clock import SECOND, Micros
from millrace.base.errors import MillraceError
from millrace.catalog import tables as catalog_tables
from millrace.catalog.tx import Tx
from millrace.monitoring import drift, outcomes, rules, tables, training
from millrace.monitoring.outcomes import Outcomes
from millrace.monitoring.records import (
    SERVED,
    Block,
    Incident,
    Judged,
    Judgement,
    Late,
    Plan,
    Standing,
    Told,
)
from millrace.serving import labels as serving_labels
from millrace.serving import tables as serving_tables
from millrace.serving.ops import find
from millrace.serving.records import Endpoint
from millrace.serving.rules import block_start, reached
from millrace.stats.verdict import ALARM, Floats, Verdict
from millrace.tracking import tables as tracking_tables

_EVER: Micros = 1 << 62
_LEADS_ON = ("monitor.breached", "monitor.due", "run.finished", "version.registered")  # to a challenger's next step
_MOST = 100  # blocks of one call; the next call goes on


class Turn:
    """What one call adds, block after block, until it is written at once."""

    def __init__(self, plan: Plan, standing: Standing, watch: drift.Watch | None, open_: list[Incident], number: int):
        self.plan = plan
        self.standing = standing
        self.watch = watch
        self.packed: tuple[bytes, bytes] | None = None  # the watch after the last block
        self.open = open_
        self.number = number
        self.champion: list[Block] = []  # the champion's blocks since it came in
        self.blocks: list[tuple[Block, bytes | None]] = []
        self.judgements: list[Judgement] = []
        self.opened: list[Incident] = []
        self.closed: list[Incident] = []
        self.told: list[Told] = []
        self.beside: training.Beside | None = None  # the champion beside its training data
        self.late: dict[Micros, int] = {}  # outcomes that came after their block was judged, by its beginning


def judge(cx: Context, name: str, until: Micros) -> Judged:
    """Judge the blocks of an endpoint that are mature at event time `until`; see `monitor.judge`."""
    with cx.read() as tx:
        endpoint = find(tx, cx.workspace, name)
        until = reached(endpoint, serving_tables.horizon(tx, cx.workspace, name), until)
        plan = plan_of(tx, cx.workspace, endpoint)
        held = tables.standing(tx, cx.workspace, name)
        standing = _unspent(tx, cx.workspace, held) if held is not None else _begin(tx, cx.workspace, endpoint)
        due = rules.due_blocks(
            standing.judged, until, origin=endpoint.day_origin, block_s=endpoint.block_s,
            maturity_s=endpoint.maturity_s, most=_MOST,
        )  # fmt: skip
        turn = _load(cx, tx, endpoint, plan, standing)
    if not due:
        return Judged(name, until)
    for since, end in due:
        _block(cx, turn, endpoint, since, end)
    turn.packed = drift.pack(turn.watch) if turn.watch is not None else None
    beside = training.pack(turn.beside) if turn.beside is not None else None
    return cx.commit(lambda inner: _write(inner, turn, endpoint, beside, held, until))


def plan_of(tx: Tx, workspace: str, endpoint: Endpoint) -> Plan:
    """What is watched at the endpoint; without a plan of its own it is measured, and nothing is trained."""
    return tables.plan(tx, workspace, endpoint.name) or Plan(endpoint.name, endpoint.model)


def _begin(tx: Tx, workspace: str, endpoint: Endpoint) -> Standing:
    """Before the first block: the first that was closed, not a late part of one that never was."""
    held = serving_tables.segments(tx, workspace, endpoint.name, -_EVER, _EVER)
    first = next(segment.since for segment in held if segment.part == 0)
    return Standing(endpoint.name, first, first)


def _unspent(tx: Tx, workspace: str, standing: Standing) -> Standing:
    """The standing; as before the last asking, if its training came to nothing and the plan trains otherwise since."""
    last = standing.last
    if last is None or not last.changed:
        return standing
    runs = tracking_tables.origins(tx, workspace, "pipeline", last.pipeline)
    wanted = (standing.endpoint, standing.asked)
    trained = any(
        state not in ("failed", "cancelled")
        and (origin.purpose.get("challenger"), origin.purpose.get("until")) == wanted
        for state, origin in runs
    )
    return standing if trained else rules.taken_back(standing)


def _load(cx: Context, tx: Tx, endpoint: Endpoint, plan: Plan, standing: Standing) -> Turn:
    place, name = cx.workspace, plan.endpoint
    packed = tables.watch(tx, place, name)
    turn = Turn(
        plan, standing, drift.unpack(cx.ground, packed) if packed else None,
        tables.open_incidents(tx, place, name), tables.newest_incident(tx, place, name) + 1,
    )  # fmt: skip
    if standing.champion:
        turn.champion = tables.blocks(tx, place, name, standing.champion_since, standing.judged, standing.champion)
    beside = tables.beside(tx, place, name)
    turn.beside = training.unpack(cx.ground, beside) if beside else None
    if standing.labels is not None:
        found = serving_labels.changed(tx, place, name, standing.labels, standing.judged)
        turn.late = dict(Counter(block_start(endpoint, event) for event in found.event.tolist()))
    turn.standing = structs.replace(standing, labels=serving_tables.newest_labels(tx, place, name))
    return turn


def _block(cx: Context, turn: Turn, endpoint: Endpoint, since: Micros, until: Micros) -> None:
    known_at = until + endpoint.maturity_s * SECOND
    rows = outcomes.read(cx.ground, cx.workspace, endpoint.name, since, until, known_at)
    if not len(rows.id):
        turn.standing = structs.replace(turn.standing, judged=until)
        return
    measured = measure(turn.plan, rows, since, until)
    champion, since_when, came = _champion(turn.standing, measured, rows, since)
    if came:
        turn.champion = []
    turn.champion.extend(block for block in measured if block.version == champion)
    found = rules.verdicts(turn.plan, turn.champion, turn.standing.fresh)
    packed, moved = _drift(cx, turn, endpoint, rows, since, until)
    if moved is not None:
        found["drift"] = moved.verdict
    apart = _from_training(cx, turn, endpoint, rows, champion, since_when, since, until)
    if apart is not None:
        found["training"] = apart.verdict
    calm = 0 if moved is not None and moved.verdict.decision == ALARM else turn.standing.calm + 1
    _incidents(turn, measured[0], found, moved, came, calm, until)
    turn.blocks.extend((block, packed if block.version == SERVED else None) for block in measured)
    columns = moved.columns if moved is not None else ()
    bound = rules.bound(turn.plan, turn.champion)
    learned = apart.columns if apart is not None else ()
    turn.judgements.append(Judgement(since, until, champion, since_when, found, columns, bound, learned=learned))
    own = next((block for block in measured if block.version == champion), measured[0]).measures
    turn.told.append(
        Told(
            since,
            measured[0].rows,
            measured[0].labelled,
            measured[0].coverage,
            champion,
            own.mean.get(rules.loss_name(turn.plan)),
            own.auc,
        )
    )
    turn.standing = structs.replace(
        turn.standing, judged=until, champion=champion, champion_since=since_when, blocks=turn.standing.blocks + 1,
        calm=calm,
    )  # fmt: skip


def measure(plan: Plan, rows: Outcomes, since: Micros, until: Micros) -> list[Block]:
    """What was served, first, then every version that scored rows of this block."""
    there = rows.served >= 0
    served = np.full(len(rows.id), np.nan)
    failed = np.zeros(len(rows.id), np.bool_)
    if there.any():
        place = np.flatnonzero(there), rows.served[there]
        served[there], failed[there] = rows.score[place], rows.failed[place]
    found = [_measured(plan, SERVED, rows, there, served, failed, since, until)]
    for column, version in enumerate(rows.versions):
        own = rows.score[:, column], rows.failed[:, column]
        found.append(_measured(plan, version, rows, rows.scored[:, column], *own, since, until))
    return found


def _measured(
    plan: Plan, version: int, rows: Outcomes, asked: Any, score: Floats, failed: Any, since: Micros, until: Micros
) -> Block:
    told = asked & ~np.isnan(score) & ~np.isnan(rows.label)
    found = outcomes.measures(rows.label[told], score[told], numbers=plan.metric == "squared")
    return Block(
        version, since, until, int(asked.sum()), int((failed & asked).sum()),
        int((asked & ~np.isnan(rows.label)).sum()), outcomes.states(rows.state[asked]),
        found,
    )  # fmt: skip


def _champion(standing: Standing, measured: Sequence[Block], rows: Outcomes, since: Micros) -> tuple[int, Micros, bool]:
    """(the block's champion, since when, whether it came in with this block)."""
    answered = {
        version: int((rows.served == column).sum())
        for column, version in enumerate(rows.versions)
        if (rows.served == column).any()
    }
    champion = rules.champion_of(standing.champion, answered)
    if champion != standing.champion:
        return champion, since, True
    return champion, standing.champion_since, False


def _drift(
    cx: Context, turn: Turn, endpoint: Endpoint, rows: Outcomes, since: Micros, until: Micros
) -> tuple[bytes | None, drift.Moved | None]:
    """The packed profile of the block and what the watch says of it; both None until there are cells to count in."""
    if not drift.can_watch(endpoint.block_s):
        return None, None
    if turn.watch is not None:
        turn.watch, counted, moved = drift.follow(turn.watch, since, drift.columns_of(rows))
        return drift.packed_profile(counted), moved
    if turn.standing.blocks + 1 < turn.plan.reference_days:
        return None, None
    size = endpoint.block_s * SECOND
    days = []
    for start in range(turn.standing.begun, until, size):
        day = rows if start == since else outcomes.read(cx.ground, cx.workspace, endpoint.name, start, start + size)
        if len(day.id):
            days.append((start, drift.columns_of(day)))
    turn.watch, seen = drift.begin(days, endpoint.block_s)
    return drift.packed_profile(seen[-1]), None


def _from_training(
    cx: Context, turn: Turn, endpoint: Endpoint, rows: Outcomes, champion: int, came: Micros, since: Micros,
    until: Micros,
) -> drift.Moved | None:  # fmt: skip
    """What the week that ends with this block shows of the champion's inputs beside its training data."""
    if not turn.plan.training or not drift.can_watch(endpoint.block_s):
        return None
    if turn.beside is None or turn.beside.champion != champion:
        turn.beside = training.begin(cx, endpoint.model, champion)
    turn.beside, apart = training.follow(turn.beside, since, until, came, rows.inputs)
    return apart


def _incidents(
    turn: Turn, served: Block, found: dict[str, Verdict], moved: drift.Moved | None, came: bool, calm: int,
    until: Micros,
) -> None:  # fmt: skip
    findings = []
    for cause in ("loss", "residual"):
        verdict = found[cause]
        findings.append(rules.Finding(cause, verdict.decision == ALARM, verdict.because, verdict))
    if moved is not None:
        alarm = moved.verdict.decision == ALARM
        findings.append(rules.Finding("drift", alarm, moved.verdict.because, moved.verdict, moved.columns))
    if served.rows:
        lost = rules.labels_lost(served, turn.standing, any(one.cause == "labels" for one in turn.open))
        findings.append(rules.Finding("labels", bool(lost), lost))
        turn.standing = rules.after_labels(served, turn.standing, bool(lost))
    opened, closed = rules.incidents(
        turn.plan.endpoint, turn.open, findings, since=served.since, until=until, new_champion=came, calm=calm,
        number=turn.number,
    )  # fmt: skip
    over = {incident.number for incident in closed}
    turn.open = [incident for incident in turn.open if incident.number not in over] + opened
    turn.number += len(opened)
    turn.opened += opened
    turn.closed += closed


def _write(
    cx: Context, turn: Turn, endpoint: Endpoint, beside: tuple[bytes, bytes] | None, before: Standing | None,
    until: Micros,
) -> Judged:  # fmt: skip
    place, name = cx.workspace, endpoint.name
    if tables.standing(cx.tx, place, name) != before:
        raise MillraceError("catalog.busy", f"another call changed how {name} stands meanwhile", "call again")
    for block, packed in turn.blocks:
        tables.put_block(cx.tx, place, name, block, packed)
    for judgement in turn.judgements:
        tables.put_judgement(cx.tx, place, name, judgement)
    late = _amend(cx, name, turn.late)
    if turn.packed is not None:
        tables.put_watch(cx.tx, place, name, *turn.packed)
    if beside is not None:
        tables.put_beside(cx.tx, place, name, *beside)
    for incident in (*turn.opened, *turn.closed):
        tables.put_incident(cx.tx, place, incident)
    verdicts = turn.judgements[-1].verdicts if turn.judgements else {}
    waits = not turn.plan.pipeline or _behind(cx.tx, place, endpoint, until) or under_way(cx.tx, place, name)
    wanted = rules.ask(turn.plan, turn.standing, until, verdicts, waits)
    standing = turn.standing
    if wanted is not None:
        standing = rules.after_asking(turn.plan, standing, until)
    tables.put_standing(cx.tx, place, standing)
    done = Judged(name, until, tuple(turn.told), verdicts, wanted.why if wanted else "", late)
    for incident in turn.opened:
        cx.fact("incident.opened", f"{name}-{incident.number}", to_builtins(incident))
    for incident in turn.closed:
        cx.fact("incident.closed", f"{name}-{incident.number}", to_builtins(incident))
    cx.fact("monitor.judged", name, to_builtins(done))
    if wanted is not None:
        _ask(cx, turn.plan, wanted, until)
    return done


def _amend(cx: Context, name: str, late: dict[Micros, int]) -> tuple[Late, ...]:
    """Count late outcomes beside the judgements of their blocks; those that were judged, in order."""
    found = []
    for since, count in sorted(late.items()):
        before = tables.judgement(cx.tx, cx.workspace, name, since)
        if before is not None:
            amended = structs.replace(before, late=before.late + count)
            tables.put_judgement(cx.tx, cx.workspace, name, amended)
            found.append(Late(since, count))
    return tuple(found)


def _ask(cx: Context, plan: Plan, wanted: rules.Ask, now: Micros) -> None:
    data = {
        "endpoint": plan.endpoint,
        "at": now,
        "pipeline": plan.pipeline,
        "params": rules.params_of(plan, now),
        "purpose": {"challenger": plan.endpoint, "model": plan.model, "because": wanted.cause, "until": now},
        "cause": wanted.cause,
        "verdict": to_builtins(wanted.verdict),
    }
    cx.fact("monitor.breached" if wanted.why == "breach" else "monitor.due", plan.endpoint, data)


def _behind(tx: Tx, workspace: str, endpoint: Endpoint, until: Micros) -> bool:
    """Whether whole blocks after `until` are sealed: what judges the last of them asks, with the newest data."""
    sealed = serving_tables.horizon(tx, workspace, endpoint.name)
    return sealed is not None and block_start(endpoint, until) < sealed


def under_way(tx: Tx, workspace: str, endpoint: str) -> bool:
    """Whether a challenger of the endpoint is trained or rolled out, or the loop has yet to deal with a fact that leads
    to one."""
    if tables.challenge(tx, workspace, endpoint):
        return True
    dealt = catalog_tables.cursor(tx, workspace, LOOP.actor)
    going = (*tracking_tables.in_state(tx, "pipeline", "queued"), *tracking_tables.in_state(tx, "pipeline", "running"))
    purposes = [run.origin.purpose for place, run in going if place == workspace]
    purposes += [fact.data.get("purpose", {}) for fact in catalog_tables.facts_of(tx, workspace, _LEADS_ON, dealt)]
    return any(purpose.get("challenger") == endpoint for purpose in purposes)


class Challenge(NamedTuple):
    """What the rooms to the right tell monitoring: a challenger is being rolled out at `endpoint` by `rollout`."""

    endpoint: str
    rollout: str


def challenge(cx: Context, told: Challenge) -> None:
    """Remember that a challenger is under way, so that none is asked for; `rollout` "" ends that."""
    tables.put_challenge(cx.tx, cx.workspace, told.endpoint, told.rollout)
