"""The verbs of tracking."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from msgspec import Struct, field

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, nearest, unknown
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of, page_size
from millrace.store import tree
from millrace.tracking import life, rules, search, series, tables
from millrace.tracking.records import Experiment, Fault, Input, Origin, Point, Run, Series


class MakeExperiment(Struct, frozen=True):
    name: str
    about: str = ""


class StartRun(Struct, frozen=True):
    """A run that somebody's own program makes. The experiment is made when it is not there.

    A program may name the run by an `id` of its own making, and say when it began (`at`, micros; never later than now):
    then it can go on while the server is away.
    """

    experiment: str
    name: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    parent: str | None = None
    origin: Origin = Origin()
    inputs: tuple[Input, ...] = ()
    id: str = ""
    at: Micros = 0


class LogRun(Struct, frozen=True):
    """`points` are ``[key, value, step, at]``; `metrics` is the short form for one value a key at `step`."""

    run: str
    metrics: dict[str, float | None] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    step: int = 0


class Logged(Struct, frozen=True):
    """How much was written."""

    run: str
    points: int


class FinishRun(Struct, frozen=True):
    """`outputs` are digests of stored bytes or trees, by name. A failed run may say why.

    `at` is when it ended (micros), if that was before now.
    """

    run: str
    state: Literal["finished", "failed", "cancelled"] = "finished"
    outputs: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    at: Micros = 0


class WhichRun(Struct, frozen=True):
    run: str


class SearchRuns(Struct, frozen=True):
    """`where` such as ``metrics.rmse < .2 and params.depth > 6``; `order` such as ``metrics.rmse, started desc``.

    `after` is the `next` of the page before.
    """

    where: str = ""
    experiment: str = ""
    order: str = ""
    limit: int = 100
    after: str = ""


class Runs(Struct, frozen=True):
    """A page of runs; ask again with ``after=next`` while `next` is not None. `total` counts all that fit."""

    items: list[Run]
    next: str | None
    total: int = 0


class ReadMetrics(Struct, frozen=True):
    """`points` of more than 0 reduces the series to at most about that many buckets of smallest and largest value."""

    run: str
    key: str
    points: int = 0


@op("experiment.make", permission="experiment:write")
def make_experiment(ask: MakeExperiment, cx: Context) -> Experiment:
    """Make an experiment: a named set of runs.

    Errors: experiment.exists, name.invalid.
    """
    if not life.ensure_experiment(cx, ask.name, ask.about):
        raise MillraceError("experiment.exists", f"there is an experiment {ask.name!r} already", "use it, or rename")
    return Experiment(ask.name, cx.now, ask.about)


@op("experiment.list", permission="experiment:read", kind="read")
def list_experiments(ask: Paged, cx: Context) -> Page[Experiment]:
    """List the experiments.

    Errors: page.invalid.
    """
    return page_of(tables.experiments(cx.tx, cx.workspace), ask, lambda one: one.name)


@op("run.start", permission="run:write")
def start(ask: StartRun, cx: Context) -> Run:
    """Start a run that your own program logs to. The same `id` again is answered by the run that has it.

    Errors: name.invalid, run.unknown, request.invalid, idempotency.mismatch.
    """
    if ask.id and tables.state(cx.tx, cx.workspace, rules.check_id(ask.id)) is not None:
        held = life.find(cx.tx, cx.workspace, ask.id)
        if (held.experiment, held.actor, held.kind) != (ask.experiment, cx.actor, "run"):
            raise MillraceError("idempotency.mismatch", f"there is another run {ask.id}", "use a new id")
        return held
    return life.begin(
        cx, ask.experiment, name=ask.name, params=ask.params, tags=ask.tags, parent=ask.parent,
        origin=ask.origin, inputs=ask.inputs, id=ask.id, at=ask.at,
    )  # fmt: skip


@op("run.log", permission="run:write")
def log(ask: LogRun, cx: Context) -> Logged:
    """Log metrics, parameters and tags to a run, all or nothing.

    Errors: run.unknown, run.over, run.param, name.invalid, request.invalid.
    """
    points = [*(Point(key, value, ask.step) for key, value in ask.metrics.items()), *ask.points]
    life.log(cx, ask.run, points, ask.params, ask.tags)
    return Logged(ask.run, len(points))


@op("run.finish", permission="run:write")
def finish(ask: FinishRun, cx: Context) -> Run:
    """End a run as finished, failed or cancelled.

    Errors: run.unknown, run.over, run.managed, blob.unknown.
    """
    run = life.find(cx.tx, cx.workspace, ask.run)
    if run.kind != "run":
        raise MillraceError("run.managed", f"run {run.id} is run by the platform", f"millrace run cancel {run.id}")
    for digest in ask.outputs.values():
        tree.keep_any(cx.blobs, digest)
    return life.end(cx, run, ask.state, ask.outputs, ask.fault, at=ask.at)


@op("run.get", permission="run:read", kind="read")
def get(ask: WhichRun, cx: Context) -> Run:
    """Show one run.

    Errors: run.unknown.
    """
    return life.find(cx.tx, cx.workspace, ask.run)


@op("run.search", permission="run:read", kind="read")
def find(ask: SearchRuns, cx: Context) -> Runs:
    """Search runs by metrics, parameters, tags and attributes; newest first unless ordered.

    Errors: experiment.unknown, search.invalid, page.invalid.
    """
    if ask.experiment and tables.experiment(cx.tx, cx.workspace, ask.experiment) is None:
        known = (one.name for one in tables.experiments(cx.tx, cx.workspace))
        raise unknown("experiment", ask.experiment, known)
    limit = page_size(ask.limit)
    ids, total = search.find(
        cx.ground.catalog, cx.tx, cx.workspace, ask.where, ask.experiment, ask.order, ask.after, limit
    )
    return Runs(tables.runs(cx.tx, cx.workspace, ids), ids[-1] if len(ids) == limit else None, total)


@op("run.metrics", permission="run:read", kind="read")
def metrics(ask: ReadMetrics, cx: Context) -> Series:
    """Read the points of one metric of a run, whole or reduced.

    Errors: run.unknown, metric.unknown.
    """
    life.find(cx.tx, cx.workspace, ask.run)
    keys = tables.metric_keys(cx.tx, cx.workspace, ask.run)
    if ask.key not in keys:
        raise MillraceError("metric.unknown", f"run {ask.run} has no metric {ask.key!r}", nearest(ask.key, keys))
    if ask.points <= 0:
        rows = life.points_of(cx.tx, cx.workspace, ask.run, ask.key)
        step, at = rows["step"].tolist(), rows["at"].tolist()
        return Series(ask.run, ask.key, len(rows), step, at, _plain(rows["value"]), [])
    count, peaks = life.peaks_of(cx.tx, cx.workspace, ask.run, ask.key, ask.points)
    step, at = peaks["step"].tolist(), peaks["at"].tolist()
    return Series(ask.run, ask.key, count, step, at, _plain(peaks["low"]), _plain(peaks["high"]))


def _plain(values: series.Rows) -> list[float | None]:
    return [None if odd else value for value, odd in zip(values.tolist(), np.isnan(values).tolist(), strict=True)]


OPS = tuple(record_of(verb) for verb in (make_experiment, list_experiments, start, log, finish, get, find, metrics))
