"""The only SQL of pipelines."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BindParameter, Index, bindparam, func, select, update

from millrace.base.clock import Micros
from millrace.catalog.schema import integer, real, table, text
from millrace.catalog.statements import insert_absent, upsert
from millrace.catalog.tx import Tx
from millrace.pipelines.records import Ordered, Output, Pipeline, Plan, StepRun

_pipeline = table(
    "pipeline",
    text("workspace", key=True),
    text("name", key=True),
    integer("number", key=True),
    text("code"),
    text("entry"),
    integer("made"),
    text("actor"),
    text("rest"),
)
_order = table(
    "run_order",
    text("workspace", key=True),
    text("run", key=True),
    text("pipeline"),
    integer("number"),
    integer("seed"),
    text("plan", null=True),
    text("holder"),
    integer("held"),
    integer("cancelled"),
    integer("over"),
    Index("ix_run_order_over", "over"),
)
_output = table(
    "step_output",
    text("workspace", key=True),
    text("key", key=True),
    text("tree"),
    text("run"),
    integer("made"),
    text("points"),
)
_step = table(
    "step_run",
    text("workspace", key=True),
    text("run", key=True),
    integer("node", key=True),
    text("step"),
    text("state"),
    text("key"),
    text("parts"),
    text("tree"),
    integer("attempt"),
    real("cpu_s"),
    real("peak_mb"),
)
_Points = tuple[tuple[str, float | None, int], ...]
_p, _o, _k, _s = _pipeline.c, _order.c, _output.c, _step.c
_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")

_versions = (_p.name, _p.number, _p.code, _p.entry, _p.made, _p.actor, _p.rest)
_all_code = select(_p.code)
_all_outputs = select(_k.tree)
_add_pipeline = insert_absent(_pipeline)
_one_pipeline = select(*_versions).where(_p.workspace == _place, _p.name == _which)
_newest_pipeline = _one_pipeline.order_by(_p.number.desc()).limit(1)
_numbered_pipeline = _one_pipeline.where(_p.number == bindparam("version"))
_newest = (
    select(_p.name, func.max(_p.number).label("number")).where(_p.workspace == _place).group_by(_p.name).subquery()
)
_pipelines = (
    select(*_versions)
    .where(_p.workspace == _place)
    .join(_newest, (_p.name == _newest.c.name) & (_p.number == _newest.c.number))
    .order_by(_p.name)
)
_columns = (_o.run, _o.pipeline, _o.number, _o.seed, _o.plan, _o.holder, _o.held, _o.cancelled)
_add_order = insert_absent(_order)
_one_order = select(*_columns).where(_o.workspace == _place, _o.run == _which)
_open = select(_o.workspace, _o.run, _o.holder, _o.held).where(_o.over == 0).order_by(_o.run)
_some_open = select(_o.run).where(_o.over == 0).limit(1)
_cancelled = select(_o.cancelled).where(_o.workspace == _place, _o.run == _which)
_of_order = _o.workspace == _place, _o.run == _which
_hold = update(_order).where(*_of_order).values(holder=bindparam("who"), held=bindparam("till"))
_plan = update(_order).where(*_of_order).values(plan=bindparam("text"))
_cancel = update(_order).where(*_of_order).values(cancelled=1)
_close = update(_order).where(*_of_order).values(over=1)
_add_output = insert_absent(_output)
_replace_output = upsert(_output)
_outputs = select(_k.key, _k.tree, _k.run, _k.made, _k.points).where(_k.workspace == _place, _k.key == _which)
_put_step = upsert(_step)
_fields = (_s.run, _s.node, _s.step, _s.state, _s.key, _s.parts, _s.tree, _s.attempt, _s.cpu_s, _s.peak_mb)
_steps = select(*_fields).where(_s.workspace == _place, _s.run == _which).order_by(_s.node)
_before = (
    select(_o.run)
    .where(_o.workspace == _place, _o.pipeline == bindparam("pipe"), _o.run < _which)
    .order_by(_o.run.desc())
    .limit(1)
)


def add_pipeline(tx: Tx, workspace: str, made: Pipeline) -> None:
    rest = {"defaults": made.defaults, "required": made.required, "script": made.script, "git": made.git}
    tx.change(
        _add_pipeline,
        workspace=workspace, name=made.name, number=made.number, code=made.code, entry=made.entry, made=made.made,
        actor=made.actor, rest=_json(rest),
    )  # fmt: skip


def pipeline(tx: Tx, workspace: str, name: str, number: int = 0) -> Pipeline | None:
    """A version of a pipeline; 0 is the newest."""
    if number:
        row = tx.one(_numbered_pipeline, place=workspace, which=name, version=number)
    else:
        row = tx.one(_newest_pipeline, place=workspace, which=name)
    return _as_pipeline(row) if row else None


def pipelines(tx: Tx, workspace: str) -> list[Pipeline]:
    """The newest version of each."""
    return [_as_pipeline(row) for row in tx.run(_pipelines, place=workspace)]


def add_order(tx: Tx, workspace: str, made: Ordered) -> None:
    tx.change(
        _add_order,
        workspace=workspace, run=made.run, pipeline=made.pipeline, number=made.number, seed=made.seed, plan=None,
        holder="", held=0, cancelled=0, over=0,
    )  # fmt: skip


def order(tx: Tx, workspace: str, run: str) -> Ordered | None:
    row = tx.one(_one_order, place=workspace, which=run)
    if row is None:
        return None
    plan = msgspec.json.decode(row[4], type=Plan) if row[4] else None
    return Ordered(row[0], row[1], row[2], row[3], plan, row[5], row[6], bool(row[7]))


def open_orders(tx: Tx) -> list[tuple[str, str, str, Micros]]:
    """(workspace, run, holder, held) of every run that is not over, over all workspaces, oldest first."""
    return [tuple(row) for row in tx.run(_open)]


def some_open(tx: Tx) -> bool:
    return tx.one(_some_open) is not None


def hold(tx: Tx, workspace: str, run: str, holder: str, until: Micros) -> None:
    tx.change(_hold, place=workspace, which=run, who=holder, till=until)


def put_plan(tx: Tx, workspace: str, run: str, plan: Plan) -> None:
    tx.change(_plan, place=workspace, which=run, text=_json(plan))


def cancel(tx: Tx, workspace: str, run: str) -> None:
    tx.change(_cancel, place=workspace, which=run)


def cancelled(tx: Tx, workspace: str, run: str) -> bool:
    row = tx.one(_cancelled, place=workspace, which=run)
    return bool(row and row[0])


def close(tx: Tx, workspace: str, run: str) -> None:
    tx.change(_close, place=workspace, which=run)


def output(tx: Tx, workspace: str, key: str) -> Output | None:
    row = tx.one(_outputs, place=workspace, which=key)
    return Output(row[0], row[1], row[2], row[3], msgspec.json.decode(row[4], type=_Points)) if row else None


def add_output(tx: Tx, workspace: str, made: Output, replace: bool = False) -> Output:
    """Commit an answer unless the key has one; the one that is committed. `replace` one whose bytes are lost."""
    tx.change(
        _replace_output if replace else _add_output,
        workspace=workspace, key=made.key, tree=made.tree, run=made.run, made=made.made, points=_json(made.points),
    )  # fmt: skip
    return output(tx, workspace, made.key) or made


def put_step(tx: Tx, workspace: str, made: StepRun) -> None:
    tx.change(
        _put_step,
        workspace=workspace, run=made.run, node=made.node, step=made.step, state=made.state, key=made.key,
        parts=_json(made.parts), tree=made.tree, attempt=made.attempt, cpu_s=made.cpu_s, peak_mb=made.peak_mb,
    )  # fmt: skip


def steps(tx: Tx, workspace: str, run: str) -> list[StepRun]:
    found = tx.run(_steps, place=workspace, which=run)
    return [StepRun(*(msgspec.json.decode(v) if place == 5 else v for place, v in enumerate(row))) for row in found]


def run_before(tx: Tx, workspace: str, pipeline: str, run: str) -> str | None:
    """The pipeline's run that was asked for before `run`."""
    row = tx.one(_before, place=workspace, pipe=pipeline, which=run)
    return str(row[0]) if row else None


def _as_pipeline(row: Any) -> Pipeline:
    return Pipeline(*row[:6], **msgspec.json.decode(row[6]))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def roots(tx: Tx) -> list[str]:
    """The code of every pipeline and the committed answer to every key: what garbage collection must keep."""
    return [row[0] for row in (*tx.run(_all_code), *tx.run(_all_outputs))]
