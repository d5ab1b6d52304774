"""The verbs of tuning."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from msgspec import Struct, field

from millrace.access.context import Context
from millrace.base.errors import MillraceError, unknown
from millrace.base.names import check_name
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.catalog.tx import Tx
from millrace.pipelines import ops as pipelines
from millrace.pipelines import runner
from millrace.pipelines import tables as pipeline_tables
from millrace.pipelines.definition import check_params
from millrace.tracking import life
from millrace.tracking import tables as run_tables
from millrace.tracking.records import Fault, Point
from millrace.tuning import rules, tables, work
from millrace.tuning.records import Range, Sampler, Study, Trial

_ASK_S = 120


class _Taken(Exception):
    """Somebody else has asked at the same time, and was first."""


class MakeStudy(Struct, frozen=True):
    """`metric` of each trial's run is made small unless `maximize`; `params` go to every trial unchanged. A study of
    the same search goes on: its trials stay, and their number may be raised."""

    name: str
    space: dict[str, Range]
    metric: str
    maximize: bool = False
    pipeline: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    trials: int = 20
    sampler: Sampler = "tpe"
    seed: int = 0


class WhichStudy(Struct, frozen=True):
    study: str


class TellStudy(Struct, frozen=True):
    """The value of a trial that somebody's own program tried; None, or what is no finite number, if it failed."""

    study: str
    number: int
    value: float | None = None


class Searched(Struct, frozen=True):
    """A study with its trials so far; `best` is None until one has a value."""

    study: Study
    trials: list[Trial]
    best: Trial | None


@op("study.make", permission="study:write")
def make(ask: MakeStudy, cx: Context) -> Study:
    """Make a study, or go on with the one of that name.

    Errors: name.invalid, study.space, pipeline.unknown, pipeline.params, request.invalid.
    """
    check_name("study", ask.name)
    rules.check_space(ask.space)
    if ask.trials < 1:
        raise MillraceError("request.invalid", f"a study cannot have {ask.trials} trials", "give at least 1")
    first = ask.first
    if ask.pipeline:
        pipeline = pipeline_tables.pipeline(cx.tx, cx.workspace, ask.pipeline)
        if pipeline is None:
            raise unknown("pipeline", ask.pipeline, (p.name for p in pipeline_tables.pipelines(cx.tx, cx.workspace)))
        check_params(
            pipeline.name, {**ask.params, **dict.fromkeys(ask.space)}, pipeline.defaults, pipeline.required
        )  # fmt: skip
        first = first or rules.first(ask.space, pipeline.defaults)
    made = Study(
        ask.name, ask.space, ask.metric, ask.maximize, ask.pipeline, ask.params, first, ask.trials, ask.sampler,
        ask.seed, cx.now,
    )  # fmt: skip
    before = tables.study(cx.tx, cx.workspace, ask.name)
    if before is not None:
        if not rules.same_search(before, made):
            raise MillraceError("study.space", f"the study {ask.name!r} searches something else", "use another name")
        made = msgspec.structs.replace(before, trials=max(before.trials, made.trials))
    tables.put_study(cx.tx, cx.workspace, made)
    if before is None:
        cx.fact("study.made", made.name, {"pipeline": made.pipeline, "metric": made.metric, "trials": made.trials})
    return made


@op("study.ask", permission="study:run", kind="work")
def ask(ask: WhichStudy, cx: Context) -> Trial:
    """Take the next trial: its run is queued for a study of a pipeline, and running for anybody else's program.

    Errors: study.unknown, study.over.
    """
    while True:
        with cx.read() as tx:
            study = _study(tx, cx.workspace, ask.study)
            trials = _trials(tx, cx.workspace, study)
        if len(trials) >= study.trials:
            raise MillraceError("study.over", f"study {study.name!r} has tried {len(trials)}", "raise its trials")
        params = study.first if not trials and study.first else _next(cx, study, trials)
        try:
            return cx.commit(partial(_take, study=study, number=len(trials), params=params))
        except _Taken:
            continue


@op("study.tell", permission="study:run")
def tell(ask: TellStudy, cx: Context) -> Trial:
    """Tell the value of a trial that your own program tried.

    Errors: study.unknown, study.trial, run.managed, run.over.
    """
    study = _study(cx.tx, cx.workspace, ask.study)
    trials = {trial.number: trial for trial in tables.trials(cx.tx, cx.workspace, study.name)}
    if ask.number not in trials:
        raise MillraceError("study.trial", f"study {study.name!r} has no trial {ask.number}", "ask for one first")
    trial = trials[ask.number]
    if study.pipeline:
        raise MillraceError(
            "run.managed", f"trial {ask.number} is run by the platform", "its value is the run's metric"
        )
    run = life.find(cx.tx, cx.workspace, trial.run)
    if not rules.counts(ask.value):
        told = "the trial failed" if ask.value is None else f"{study.metric} = {ask.value} is no finite number"
        life.end(cx, run, "failed", fault=Fault("study.trial", told))
        return msgspec.structs.replace(trial, state="failed")
    life.log(cx, run.id, [Point(study.metric, ask.value)])
    life.end(cx, run, "finished")
    return msgspec.structs.replace(trial, state="finished", value=ask.value)


@op("study.get", permission="study:read", kind="read")
def get(ask: WhichStudy, cx: Context) -> Searched:
    """Show a study, its trials and the best of them.

    Errors: study.unknown.
    """
    study = _study(cx.tx, cx.workspace, ask.study)
    trials = _trials(cx.tx, cx.workspace, study)
    return Searched(study, trials, rules.best(study, trials))


@op("study.list", permission="study:read", kind="read")
def list_studies(ask: Paged, cx: Context) -> Page[Study]:
    """List the studies.

    Errors: page.invalid.
    """
    return page_of(tables.studies(cx.tx, cx.workspace), ask, lambda one: one.name)


def _study(tx: Tx, workspace: str, name: str) -> Study:
    found = tables.study(tx, workspace, name)
    if found is None:
        raise unknown("study", name, (study.name for study in tables.studies(tx, workspace)))
    return found


def _trials(tx: Tx, workspace: str, study: Study) -> list[Trial]:
    """The trials with what their runs say; one that ended without a value has failed, however well its run ended."""
    bare = tables.trials(tx, workspace, study.name)
    runs = {run.id: run for run in run_tables.runs(tx, workspace, [trial.run for trial in bare])}
    return [rules.told(study, trial, runs[trial.run].state, runs[trial.run].metrics) for trial in bare]


def _next(cx: Context, study: Study, trials: list[Trial]) -> dict[str, Any]:
    """Ask the sampler, in a process of its own. Errors: those of a step."""
    log = cx.ground.folder / "exec" / "logs" / f"study-{study.name}" / f"{len(trials)}.log"
    handle = runner.processes(cx.ground).submit(
        f"study-{cx.new_id()}", "millrace.tuning.work:ask", work.ToAsk(study, trials), log, timeout_s=_ASK_S
    )
    outcome = handle.wait()
    assert outcome is not None, "a wait without a deadline ends with an outcome"
    if outcome.trouble is not None:
        trouble = outcome.trouble
        raise MillraceError(trouble.code, f"asking for trial {len(trials)}: {trouble.message}", trouble.hint)
    return msgspec.json.decode(outcome.answer, type=work.Asked).params


def _take(cx: Context, study: Study, number: int, params: dict[str, Any]) -> Trial:
    """Make trial `number` and its run, unless somebody else has taken that number."""
    if tables.trial_count(cx.tx, cx.workspace, study.name) != number:
        raise _Taken
    tags = {"study": study.name, "trial": str(number)}
    name = f"{study.name}-{number}"
    if study.pipeline:
        order = pipelines.RunPipeline(study.pipeline, {**study.params, **params}, experiment=study.name, name=name,
                                      tags=tags, seed=study.seed)  # fmt: skip
        run = pipelines.order(cx, order, kind="trial", subject=study.name)
    else:
        run = life.begin(
            cx, study.name, name=name, kind="trial", subject=study.name, params={**study.params, **params}, tags=tags
        )
    trial = Trial(study.name, number, params, run.id, run.state)
    tables.add_trial(cx.tx, cx.workspace, trial)
    return trial


OPS = tuple(record_of(verb) for verb in (make, ask, tell, get, list_studies))
