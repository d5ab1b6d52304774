"""The verbs of monitoring."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, field, structs, to_builtins

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, unknown
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of, page_size, wrong_cursor
from millrace.monitoring import judge as judging
from millrace.monitoring import rules, tables
from millrace.monitoring.records import SERVED, Block, Incident, Judged, Judgement, Metric, Plan
from millrace.pipelines import tables as pipeline_tables
from millrace.pipelines.definition import check_params
from millrace.serving.ops import find

_EVER: Micros = 1 << 62
_CURSOR = re.compile(r"(0|-?[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})")


class WatchEndpoint(Struct, frozen=True):
    """What to watch and what follows; see `Plan`. The model is the endpoint's."""

    endpoint: str
    pipeline: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    metric: Metric = "brier"
    calendar_days: int = 28
    history_days: int = 120
    rest_days: int = 7
    on_breach: bool = True
    alpha: float = 0.05
    loss: float | None = None
    tolerance: float = 0.01
    reference_days: int = 7
    training: bool = True


class JudgeEndpoint(Struct, frozen=True):
    """`until`: event time (micros) that has been reached; the log is sealed up to its block."""

    endpoint: str
    until: Micros


class WhichMonitor(Struct, frozen=True):
    endpoint: str


class ReadSpan(Struct, frozen=True):
    """Blocks that begin in ``[since, until)``, event time in micros. `version` 0 is what was served."""

    endpoint: str
    since: Micros = 0
    until: Micros = _EVER
    version: int | None = None


class ListWindows(Paged, frozen=True, kw_only=True):
    """Blocks that begin in ``[since, until)``, event time in micros. `version` 0 is what was served."""

    endpoint: str
    since: Micros = 0
    until: Micros = _EVER
    version: int | None = None


class Curve(Struct, frozen=True):
    """One version over event time; every list has one entry a block, None where it is not known."""

    version: int
    since: list[Micros]
    rows: list[int]
    labelled: list[int]
    coverage: list[float | None]
    failed: list[int]
    auc: list[float | None]
    score: list[float | None]
    positives: list[float | None]
    measures: dict[str, list[float | None]]


class Curves(Struct, frozen=True):
    """The curves by version (0: what was served), and the judgements: champion, verdicts and drift by block."""

    endpoint: str
    curves: list[Curve]
    judgements: list[Judgement]


class ListIncidents(Paged, frozen=True):
    """Those of one endpoint, or of all; the open ones alone, or all."""

    endpoint: str = ""
    open: bool = False


class CloseIncident(Struct, frozen=True):
    """`reason` is kept with it."""

    endpoint: str
    number: int
    reason: str


@op("monitor.watch", permission="monitor:operate")
def watch(ask: WatchEndpoint, cx: Context) -> Plan:
    """Watch an endpoint: what is compared, and what trains a challenger when. The same plan again changes nothing.

    Errors: endpoint.unknown, pipeline.unknown, pipeline.params, watch.invalid, stats.alpha.
    """
    endpoint = find(cx.tx, cx.workspace, ask.endpoint)
    plan = rules.check_plan(Plan(model=endpoint.model, **structs.asdict(ask)))
    if plan.pipeline:
        _check_params(cx, plan)
    before = tables.plan(cx.tx, cx.workspace, endpoint.name)
    if plan == before:
        return plan
    tables.put_plan(cx.tx, cx.workspace, plan)
    standing = tables.standing(cx.tx, cx.workspace, endpoint.name)
    if before is not None and standing is not None:
        tables.put_standing(cx.tx, cx.workspace, rules.after_plan(standing, before, plan))
    cx.fact("monitor.watched", endpoint.name, to_builtins(plan))
    return plan


@op("monitor.get", permission="monitor:read", kind="read")
def get(ask: WhichMonitor, cx: Context) -> Plan:
    """Show what is watched at an endpoint.

    Errors: endpoint.unknown.
    """
    return judging.plan_of(cx.tx, cx.workspace, find(cx.tx, cx.workspace, ask.endpoint))


@op("monitor.list", permission="monitor:read", kind="read")
def list_plans(ask: Paged, cx: Context) -> Page[Plan]:
    """List what is watched.

    Errors: page.invalid.
    """
    return page_of(tables.plans(cx.tx, cx.workspace), ask, lambda one: one.endpoint)


@op("monitor.judge", permission="monitor:run", kind="work")
def judge(ask: JudgeEndpoint, cx: Context) -> Judged:
    """Judge the blocks whose outcomes are due at `until`, each once. The answer's `until` is what is sealed by then.

    Errors: endpoint.unknown, log.unsealed, blob.corrupt, catalog.busy.
    """
    return judging.judge(cx, ask.endpoint, ask.until)


@op("monitor.windows", permission="monitor:read", kind="read")
def windows(ask: ListWindows, cx: Context) -> Page[Block]:
    """List the measured blocks of an endpoint, by version.

    Errors: endpoint.unknown, page.invalid.
    """
    find(cx.tx, cx.workspace, ask.endpoint)
    limit, begin, past = page_size(ask.limit), ask.since, -1
    if ask.after:
        begin, past = _place_of(ask.after)
        asked = ask.since <= begin < ask.until and ask.version in (None, past)
        if not asked or not tables.has_block(cx.tx, cx.workspace, ask.endpoint, begin, past):
            raise wrong_cursor(ask.after)
    place = (cx.tx, cx.workspace, ask.endpoint)
    items, more = tables.some_blocks(*place, begin, ask.until, ask.version, past, limit)
    total = tables.block_count(*place, ask.since, ask.until, ask.version)
    return Page(items, f"{items[-1].since}-{items[-1].version}" if more else None, total)


@op("monitor.series", permission="monitor:read", kind="read")
def series(ask: ReadSpan, cx: Context) -> Curves:
    """Read loss, coverage and drift over event time, as columns to draw.

    Errors: endpoint.unknown.
    """
    find(cx.tx, cx.workspace, ask.endpoint)
    blocks = tables.blocks(cx.tx, cx.workspace, ask.endpoint, ask.since, ask.until, ask.version)
    versions = sorted({block.version for block in blocks})
    curves = [_curve(version, [block for block in blocks if block.version == version]) for version in versions]
    judgements = tables.judgements(cx.tx, cx.workspace, ask.endpoint, ask.since, ask.until)
    return Curves(ask.endpoint, curves, judgements)


@op("incident.list", permission="incident:read", kind="read")
def list_incidents(ask: ListIncidents, cx: Context) -> Page[Incident]:
    """List incidents, newest first.

    Errors: endpoint.unknown, page.invalid.
    """
    if ask.endpoint:
        find(cx.tx, cx.workspace, ask.endpoint)
    found = [
        incident
        for incident in tables.incidents(cx.tx, cx.workspace)
        if ask.endpoint in ("", incident.endpoint) and not (ask.open and incident.closed is not None)
    ]
    return page_of(found, ask, lambda one: f"{one.endpoint}-{one.number}")


@op("incident.close", permission="incident:operate")
def close_incident(ask: CloseIncident, cx: Context) -> Incident:
    """Close an incident by hand. One of labels begins anew with what is usual.

    Errors: incident.unknown, incident.over.
    """
    found = tables.incident(cx.tx, cx.workspace, ask.endpoint, ask.number)
    if found is None:
        raise unknown("incident", f"{ask.endpoint}-{ask.number}")
    if found.closed is not None:
        raise MillraceError(
            "incident.over", f"incident {ask.number} was closed: {found.outcome}", "there is nothing to do"
        )
    standing = tables.standing(cx.tx, cx.workspace, ask.endpoint)
    now = standing.judged if standing else found.opened
    over = structs.replace(found, closed=now, outcome=ask.reason)
    tables.put_incident(cx.tx, cx.workspace, over)
    if standing and found.cause == "labels":
        tables.put_standing(cx.tx, cx.workspace, structs.replace(standing, usual=(), dry=0))
    cx.fact("incident.closed", f"{over.endpoint}-{over.number}", to_builtins(over))
    return over


def _check_params(cx: Context, plan: Plan) -> None:
    """Whether a training could be ordered. Errors: `pipeline.unknown`, `pipeline.params`."""
    pipeline = pipeline_tables.pipeline(cx.tx, cx.workspace, plan.pipeline)
    if pipeline is None:
        known = (one.name for one in pipeline_tables.pipelines(cx.tx, cx.workspace))
        raise unknown("pipeline", plan.pipeline, known)
    check_params(pipeline.name, rules.params_of(plan, cx.now), pipeline.defaults, pipeline.required)


def _place_of(after: str) -> tuple[Micros, int]:
    """The block's start and version of a cursor. Errors: `page.invalid`."""
    if not _CURSOR.fullmatch(after):
        raise wrong_cursor(after)
    since, _, version = after.rpartition("-")
    if abs(int(since)) > _EVER or int(version) > _EVER:
        raise wrong_cursor(after)
    return int(since), int(version)


def _curve(version: int, blocks: list[Block]) -> Curve:
    names = sorted({name for block in blocks for name in block.measures.mean})
    return Curve(
        version=version,
        since=[block.since for block in blocks],
        rows=[block.rows for block in blocks],
        labelled=[block.labelled for block in blocks],
        coverage=[block.coverage for block in blocks],
        failed=[block.failed for block in blocks],
        auc=[block.measures.auc for block in blocks],
        score=[block.measures.score for block in blocks],
        positives=[b.measures.positives / b.measures.rows if b.measures.rows else None for b in blocks],
        measures={name: [block.measures.mean.get(name) for block in blocks] for name in names},
    )


OPS = tuple(
    record_of(verb) for verb in (watch, get, list_plans, judge, windows, series, list_incidents, close_incident)
)
assert SERVED == 0, "requests say 0 for what was served"
