"""The verbs of pipelines."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from millrace.access.context import Context
from millrace.base.errors import MillraceError, unknown
from millrace.base.names import check_name
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.pipelines import environment, key, runner, tables, values
from millrace.pipelines.definition import check_params
from millrace.pipelines.environment import Environment
from millrace.pipelines.execution import logs_of
from millrace.pipelines.records import Ordered, Pipeline, StepRun
from millrace.store import tree
from millrace.store.blobs import Digest
from millrace.tracking import life
from millrace.tracking.records import OVER, Origin, Run

_LOG_BYTES = 1 << 18


class RegisterPipeline(Struct, frozen=True):
    """`code` is the tree of a pipeline's files, `entry` is ``module:name`` in them; parameters with and without
    defaults; `git` is the state of the repository the code lies in."""

    name: str
    code: Digest
    entry: str
    defaults: dict[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    script: bool = False
    git: dict[str, Any] = field(default_factory=dict)


class RunPipeline(Struct, frozen=True):
    """`params` override the pipeline's defaults. `purpose` comes back with the run's facts, unread. `number` 0 is the
    newest version; the experiment is named after the pipeline unless told otherwise."""

    pipeline: str
    params: dict[str, Any] = field(default_factory=dict)
    purpose: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    experiment: str = ""
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    seed: int = 0


class WhichPipeline(Struct, frozen=True):
    """`number` 0 is the newest version."""

    pipeline: str
    number: int = 0


class WhichRun(Struct, frozen=True):
    run: str


class WhichOutput(Struct, frozen=True):
    """The digest of one of a run's outputs."""

    digest: Digest


class PlainValue(Struct, frozen=True):
    """An output that is a JSON value; or None, and `other` says what it is: an array, a file, a model."""

    value: Any
    other: str = ""


class ReadLogs(Struct, frozen=True):
    """The output of one call of a step, from the byte `offset` on. `node` -1 means the one that began last."""

    run: str
    node: int = -1
    offset: int = 0


class Logs(Struct, frozen=True):
    """A piece of output. Ask again from `next`; `over` tells that the call has ended and there is no more."""

    run: str
    node: int
    step: str
    attempt: int
    text: str
    next: int
    over: bool


class ExplainedStep(Struct, frozen=True):
    """A call of a step: cached, made, failed and so on, and what of its key differs from the run before."""

    node: int
    step: str
    state: str
    key: str
    tree: str
    changed: tuple[str, ...]
    cpu_s: float
    peak_mb: float


class Explained(Struct, frozen=True):
    """Why each step of a run was made or taken from the cache. `notes` tell where a step's reach could not be known."""

    run: str
    compared_with: str | None
    steps: list[ExplainedStep]
    notes: tuple[str, ...]


@op("pipeline.register", permission="pipeline:write")
def register(ask: RegisterPipeline, cx: Context) -> Pipeline:
    """Register a pipeline's code; a new version unless it is the newest one's.

    Errors: name.invalid, blob.unknown, tree.invalid, pipeline.entry.
    """
    check_name("pipeline", ask.name)
    module, _, name = ask.entry.partition(":")
    parts = [*module.split("."), name]
    if not all(part.isidentifier() for part in parts):
        raise MillraceError("pipeline.entry", f"{ask.entry!r} is not module:name", "name where the code defines it")
    tree.keep(cx.blobs, ask.code)
    newest = tables.pipeline(cx.tx, cx.workspace, ask.name)
    made = Pipeline(
        ask.name, newest.number + 1 if newest else 1, ask.code, ask.entry, cx.now, cx.actor, ask.defaults,
        ask.required, ask.script, ask.git,
    )  # fmt: skip
    if newest is not None:
        same = msgspec.structs.replace(made, number=newest.number, made=newest.made, actor=newest.actor, git=newest.git)
        if same == newest:
            return newest
    tables.add_pipeline(cx.tx, cx.workspace, made)
    cx.fact("pipeline.registered", ask.name, {"number": made.number, "code": made.code, "entry": made.entry})
    return made


@op("pipeline.run", permission="pipeline:run")
def run(ask: RunPipeline, cx: Context) -> Run:
    """Order a run of a pipeline; it is queued, and started by the platform.

    Errors: pipeline.unknown, pipeline.params, name.invalid, access.denied.
    """
    return order(cx, ask)


def order(cx: Context, ask: RunPipeline, *, kind: str = "pipeline", subject: str = "") -> Run:
    """`pipeline.run` for the rooms that run pipelines: `kind` and `subject` are those of the run."""
    pipeline = _pipeline(cx, ask.pipeline, ask.number)
    params = check_params(pipeline.name, ask.params, pipeline.defaults, pipeline.required)
    made = life.begin(
        cx, ask.experiment or pipeline.name, name=ask.name, kind=kind, subject=subject or pipeline.name,
        state="queued", params=params, tags=ask.tags,
        origin=Origin(code=pipeline.code, git=pipeline.git, seed=ask.seed, purpose=ask.purpose),
    )  # fmt: skip
    tables.add_order(cx.tx, cx.workspace, Ordered(made.id, pipeline.name, pipeline.number, ask.seed))
    runner.bell(cx.ground).set()
    return made


@op("pipeline.get", permission="pipeline:read", kind="read")
def get(ask: WhichPipeline, cx: Context) -> Pipeline:
    """Show a version of a pipeline.

    Errors: pipeline.unknown.
    """
    return _pipeline(cx, ask.pipeline, ask.number)


@op("pipeline.list", permission="pipeline:read", kind="read")
def list_pipelines(ask: Paged, cx: Context) -> Page[Pipeline]:
    """List the newest version of each pipeline.

    Errors: page.invalid.
    """
    return page_of(tables.pipelines(cx.tx, cx.workspace), ask, lambda one: one.name)


@op("pipeline.explain", permission="pipeline:read", kind="read")
def explain(ask: WhichRun, cx: Context) -> Explained:
    """Tell why each step of a run was made or taken from the cache.

    Errors: run.unknown, run.unmanaged.
    """
    ordered = _ordered(cx, ask.run)
    before = tables.run_before(cx.tx, cx.workspace, ordered.pipeline, ask.run)
    steps = tables.steps(cx.tx, cx.workspace, ask.run)
    known = _by_call(tables.steps(cx.tx, cx.workspace, before)) if before else {}
    told = []
    for (step, count), one in _by_call(steps).items():
        other = known.get((step, count))
        changed = tuple(_changed(cx, other, one))
        told.append(ExplainedStep(one.node, one.step, one.state, one.key, one.tree, changed, one.cpu_s, one.peak_mb))
    notes = ordered.plan.notes if ordered.plan else ()
    return Explained(ask.run, before, sorted(told, key=lambda step: step.node), notes)


@op("pipeline.value", permission="pipeline:read", kind="read")
def value(ask: WhichOutput, cx: Context) -> PlainValue:
    """Show an output that is a plain JSON value.

    Errors: blob.unknown, tree.invalid.
    """
    return PlainValue(*values.plain(cx.blobs, ask.digest))


@op("run.cancel", permission="run:write")
def cancel(ask: WhichRun, cx: Context) -> Run:
    """Cancel a run: what is under way is told to end, and ended soon after.

    Errors: run.unknown, run.over.
    """
    found = life.find(cx.tx, cx.workspace, ask.run)
    ordered = tables.order(cx.tx, cx.workspace, ask.run)
    if found.state in OVER or ordered is None or (found.state == "queued" and not ordered.holder):
        if ordered is not None:
            tables.close(cx.tx, cx.workspace, ask.run)
        return life.end(cx, found, "cancelled")
    tables.cancel(cx.tx, cx.workspace, ask.run)
    return found


@op("run.logs", permission="run:read", kind="read")
def logs(ask: ReadLogs, cx: Context) -> Logs:
    """Read what a step printed, also while it runs.

    Errors: run.unknown, run.unmanaged.
    """
    ordered = _ordered(cx, ask.run)
    steps = {step.node: step for step in tables.steps(cx.tx, cx.workspace, ask.run) if step.state != "cached"}
    over = life.find(cx.tx, cx.workspace, ask.run).state in OVER
    folder = logs_of(cx.ground, ordered.run)
    node = max(steps, default=-1) if ask.node < 0 else ask.node
    step = steps.get(node)
    name = f"{node:03d}-{step.step}-{step.attempt}.log" if step else "plan-plan-0.log"
    place = folder / name
    data = b""
    if place.is_file():
        with place.open("rb") as file:
            file.seek(max(0, ask.offset))
            data = file.read(_LOG_BYTES)
    ended = over if step is None else step.state != "running"
    follows = max(0, ask.offset) + len(data)
    whole = not place.is_file() or follows >= place.stat().st_size
    return Logs(
        ask.run, node if step else -1, step.step if step else "plan", step.attempt if step else 0,
        data.decode("utf-8", "replace"), follows, ended and whole,
    )  # fmt: skip


def _pipeline(cx: Context, name: str, number: int) -> Pipeline:
    found = tables.pipeline(cx.tx, cx.workspace, name, number)
    if found is None:
        known = [one.name for one in tables.pipelines(cx.tx, cx.workspace)]
        raise unknown("pipeline", f"{name}@{number}" if number else name, known)
    return found


def _ordered(cx: Context, run: str) -> Ordered:
    found = tables.order(cx.tx, cx.workspace, run)
    if found is None:
        life.find(cx.tx, cx.workspace, run)
        raise MillraceError(
            "run.unmanaged", f"run {run} is not run by the platform", "only runs of pipelines have steps"
        )
    return found


def _by_call(steps: list[StepRun]) -> dict[tuple[str, int], StepRun]:
    """Each call by its step and which call of that step it is."""
    found: dict[tuple[str, int], StepRun] = {}
    for step in steps:
        count = sum(1 for name, _ in found if name == step.step)
        found[step.step, count] = step
    return found


def _changed(cx: Context, before: StepRun | None, now: StepRun) -> list[str]:
    if before is None or not now.parts:
        return []
    told = key.changed(before.parts, now.parts)
    one, two = before.parts.get("environment", ""), now.parts.get("environment", "")
    if one != two and cx.blobs.exists(one) and cx.blobs.exists(two):
        read = [msgspec.json.decode(cx.blobs.get(digest), type=Environment) for digest in (one, two)]
        told = [line for line in told if line != "environment changed"]
        told += [f"environment: {line}" for line in environment.changes(*read)]
    return told


OPS = tuple(record_of(verb) for verb in (register, run, get, list_pipelines, explain, value, cancel, logs))
