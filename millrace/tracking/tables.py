"""The only SQL of tracking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Index, bindparam, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert  # both dialects render it alike

from millrace.catalog.schema import binary, integer, real, table, text
from millrace.catalog.statements import insert_absent
from millrace.catalog.tx import Tx
from millrace.tracking.records import Experiment, Fault, Input, Origin, Point, Run, State
from millrace.tracking.series import Segment

_LOWEST = -1.7976931348623157e308

_experiment = table("experiment", text("workspace", key=True), text("name", key=True), integer("made"), text("about"))
_run = table(
    "run",
    text("workspace", key=True),
    text("id", key=True),
    text("experiment"),
    text("name"),
    text("kind"),
    text("subject"),
    text("state"),
    text("actor"),
    text("parent", null=True),
    integer("queued"),
    integer("started", null=True),
    integer("ended", null=True),
    text("origin"),
    text("inputs"),
    text("outputs"),
    text("fault", null=True),
    integer("revision"),
    Index("ix_run_revision", "workspace", "revision"),
    Index("ix_run_state", "workspace", "state"),
)
_value = table(
    "run_value",
    text("workspace", key=True),
    text("run", key=True),
    text("kind", key=True),
    text("key", key=True),
    text("value"),
)
_latest = table(
    "run_latest",
    text("workspace", key=True),
    text("run", key=True),
    text("key", key=True),
    integer("step"),
    integer("at"),
    real("value", null=True),
)
_tail = table(
    "metric_tail",
    text("workspace", key=True),
    text("run", key=True),
    text("id", key=True),
    binary("points"),
)
_segment = table(
    "metric_segment",
    text("workspace", key=True),
    text("run", key=True),
    text("key", key=True),
    integer("number", key=True),
    integer("first"),
    integer("last"),
    integer("length"),
    binary("points"),
    binary("peaks"),
)

_r, _v, _l, _t, _s = _run.c, _value.c, _latest.c, _tail.c, _segment.c
_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")
_columns = tuple(column for column in _run.columns if column.name not in ("workspace", "revision"))
_next_revision = select(func.coalesce(func.max(_r.revision), 0) + 1).where(_r.workspace == _place).scalar_subquery()

_add_experiment = insert_absent(_experiment)
_experiments = (
    select(_experiment.c.name, _experiment.c.made, _experiment.c.about)
    .where(_experiment.c.workspace == _place)
    .order_by(_experiment.c.name)
)
_one_experiment = _experiments.where(_experiment.c.name == _which)
_all_outputs = select(_r.outputs).where(_r.outputs != "{}")
_add_run = insert_absent(_run)
_one_run = select(*_columns).where(_r.workspace == _place, _r.id == _which)
_states = select(_r.state).where(_r.workspace == _place, _r.id == _which)
_some_runs = select(*_columns).where(_r.workspace == _place, _r.id.in_(bindparam("ids", expanding=True)))
_in_state = (
    select(_r.workspace, *_columns)
    .where(_r.kind == bindparam("kind"), _r.state == bindparam("state"))
    .order_by(_r.queued, _r.id)
)
_origins = select(_r.state, _r.origin).where(_r.workspace == _place, _r.kind == bindparam("kind"), _r.subject == _which)
_children = select(*_columns).where(_r.workspace == _place, _r.parent == _which).order_by(_r.id)
_touch = update(_run).where(_r.workspace == _place, _r.id == _which).values(revision=_next_revision)
_change = _touch.values(
    state=bindparam("to"),
    started=bindparam("begun"),
    ended=bindparam("over"),
    origin=bindparam("whence"),
    inputs=bindparam("read"),
    outputs=bindparam("made"),
    fault=bindparam("why"),
    revision=_next_revision,
)
_add_value = insert(_value).on_conflict_do_update(
    index_elements=["workspace", "run", "kind", "key"], set_={"value": insert(_value).excluded.value}
)
_values = select(_v.kind, _v.key, _v.value).where(_v.workspace == _place, _v.run == _which)
_some_values = select(_v.run, _v.kind, _v.key, _v.value).where(
    _v.workspace == _place, _v.run.in_(bindparam("ids", expanding=True))
)
_new = insert(_latest).excluded
_add_latest = insert(_latest).on_conflict_do_update(
    index_elements=["workspace", "run", "key"],
    set_={"step": _new.step, "at": _new.at, "value": _new.value},
    where=tuple_(_new.step, _new.at, func.coalesce(_new.value, _LOWEST))
    >= tuple_(_l.step, _l.at, func.coalesce(_l.value, _LOWEST)),
)
_latests = select(_l.key, _l.value).where(_l.workspace == _place, _l.run == _which).order_by(_l.key)
_some_latests = select(_l.run, _l.key, _l.value).where(
    _l.workspace == _place, _l.run.in_(bindparam("ids", expanding=True))
)
_add_tail = insert_absent(_tail)
_tails = select(_t.points).where(_t.workspace == _place, _t.run == _which).order_by(_t.id)
_drop_tails = _tail.delete().where(_t.workspace == _place, _t.run == _which)
_add_segment = insert_absent(_segment)
_segments = (
    select(_s.first, _s.last, _s.length, _s.points, _s.peaks)
    .where(_s.workspace == _place, _s.run == _which, _s.key == bindparam("series"))
    .order_by(_s.number)
)
_drop_segments = _segment.delete().where(_s.workspace == _place, _s.run == _which, _s.key == bindparam("series"))
_newest_revision = select(func.coalesce(func.max(_r.revision), 0)).where(_r.workspace == _place)
_fresh = _r.workspace == _place, _r.revision > bindparam("seen")
_fresh_runs = select(*_columns, _r.revision).where(*_fresh).order_by(_r.revision)
_fresh_values = select(_v.run, _v.kind, _v.key, _v.value).where(
    *_fresh, _v.workspace == _r.workspace, _v.run == _r.id, or_(_v.kind == "param", _v.kind == "tag")
)
_fresh_latests = select(_l.run, _l.key, _l.value).where(*_fresh, _l.workspace == _r.workspace, _l.run == _r.id)


def add_experiment(tx: Tx, workspace: str, made: Experiment) -> bool:
    return tx.change(_add_experiment, workspace=workspace, name=made.name, made=made.made, about=made.about) == 1


def experiments(tx: Tx, workspace: str) -> list[Experiment]:
    return [Experiment(*row) for row in tx.run(_experiments, place=workspace)]


def experiment(tx: Tx, workspace: str, name: str) -> Experiment | None:
    row = tx.one(_one_experiment, place=workspace, which=name)
    return Experiment(*row) if row else None


def add_run(tx: Tx, workspace: str, run: Run) -> None:
    tx.change(
        _add_run,
        workspace=workspace, id=run.id, experiment=run.experiment, name=run.name, kind=run.kind, subject=run.subject,
        state=run.state, actor=run.actor, parent=run.parent, queued=run.queued, started=run.started, ended=run.ended,
        origin=_json(run.origin), inputs=_json(run.inputs), outputs=_json(run.outputs),
        fault=_json(run.fault) if run.fault else None, revision=0,
    )  # fmt: skip
    put_values(tx, workspace, run.id, "param", {key: _json(value) for key, value in run.params.items()})
    put_values(tx, workspace, run.id, "tag", run.tags)
    touch(tx, workspace, run.id)


def change_run(tx: Tx, workspace: str, run: Run) -> None:
    """Write everything that changes of a run but its parameters, tags and metrics."""
    tx.change(
        _change,
        place=workspace, which=run.id, to=run.state, begun=run.started, over=run.ended, whence=_json(run.origin),
        read=_json(run.inputs), made=_json(run.outputs), why=_json(run.fault) if run.fault else None,
    )  # fmt: skip


def touch(tx: Tx, workspace: str, run: str) -> None:
    """Give the run the newest revision, so that searches take it in again."""
    tx.change(_touch, place=workspace, which=run)


def state(tx: Tx, workspace: str, run: str) -> State | None:
    row = tx.one(_states, place=workspace, which=run)
    return row[0] if row else None


def run(tx: Tx, workspace: str, id: str) -> Run | None:
    found = runs(tx, workspace, [id])
    return found[0] if found else None


def runs(tx: Tx, workspace: str, ids: Sequence[str]) -> list[Run]:
    """The runs of `ids` that exist, whole, in that order."""
    if not ids:
        return []
    bare = {row[0]: row for row in tx.run(_some_runs, place=workspace, ids=list(ids))}
    params: dict[str, dict[str, Any]] = {id: {} for id in bare}
    tags: dict[str, dict[str, str]] = {id: {} for id in bare}
    metrics: dict[str, dict[str, float | None]] = {id: {} for id in bare}
    for owner, kind, key, value in tx.run(_some_values, place=workspace, ids=list(ids)):
        if kind == "param":
            params[owner][key] = msgspec.json.decode(value)
        else:
            tags[owner][key] = value
    for owner, key, value in tx.run(_some_latests, place=workspace, ids=list(ids)):
        metrics[owner][key] = value
    return [_whole(bare[id], params[id], tags[id], metrics[id]) for id in ids if id in bare]


def in_state(tx: Tx, kind: str, state: State) -> list[tuple[str, Run]]:
    """(workspace, run) of a kind and state, over all workspaces, oldest first, without parameters and metrics."""
    found = tx.run(_in_state, kind=kind, state=state)
    return [(row[0], _whole(row[1:], {}, {}, {})) for row in found]


def origins(tx: Tx, workspace: str, kind: str, subject: str) -> list[tuple[State, Origin]]:
    """(state, origin) of every run of a kind about a subject."""
    found = tx.run(_origins, place=workspace, kind=kind, which=subject)
    return [(row[0], msgspec.json.decode(row[1], type=Origin)) for row in found]


def children(tx: Tx, workspace: str, parent: str) -> list[str]:
    return [row[0] for row in tx.run(_children, place=workspace, which=parent)]


def params(tx: Tx, workspace: str, run: str) -> dict[str, Any]:
    rows = tx.run(_values, place=workspace, which=run)
    return {key: msgspec.json.decode(value) for kind, key, value in rows if kind == "param"}


def put_values(tx: Tx, workspace: str, run: str, kind: str, values: Mapping[str, str]) -> None:
    """Set parameters (as JSON text) or tags."""
    rows = [{"workspace": workspace, "run": run, "kind": kind, "key": k, "value": v} for k, v in values.items()]
    tx.change_many(_add_value, rows)


def put_params(tx: Tx, workspace: str, run: str, values: Mapping[str, Any]) -> None:
    put_values(tx, workspace, run, "param", {key: _json(value) for key, value in values.items()})


def put_latest(tx: Tx, workspace: str, run: str, points: Iterable[Point]) -> None:
    """Keep the larger (step, at, value) of each series."""
    rows = [
        {"workspace": workspace, "run": run, "key": p.key, "step": p.step, "at": p.at, "value": p.value} for p in points
    ]
    tx.change_many(_add_latest, rows)


def add_tail(tx: Tx, workspace: str, run: str, id: str, points: bytes) -> None:
    tx.change(_add_tail, workspace=workspace, run=run, id=id, points=points)


def tails(tx: Tx, workspace: str, run: str) -> list[bytes]:
    return [bytes(row[0]) for row in tx.run(_tails, place=workspace, which=run)]


def segments(tx: Tx, workspace: str, run: str, key: str) -> list[Segment]:
    rows = tx.run(_segments, place=workspace, which=run, series=key)
    return [Segment(row[0], row[1], row[2], bytes(row[3]), bytes(row[4])) for row in rows]


def put_segments(tx: Tx, workspace: str, run: str, key: str, segments: Sequence[Segment]) -> None:
    """Replace the segments of a series."""
    tx.change(_drop_segments, place=workspace, which=run, series=key)
    rows = [
        {"workspace": workspace, "run": run, "key": key, "number": number, **segment._asdict()}
        for number, segment in enumerate(segments)
    ]
    tx.change_many(_add_segment, rows)


def drop_tails(tx: Tx, workspace: str, run: str) -> None:
    tx.change(_drop_tails, place=workspace, which=run)


def metric_keys(tx: Tx, workspace: str, run: str) -> list[str]:
    return [row[0] for row in tx.run(_latests, place=workspace, which=run)]


def newest_revision(tx: Tx, workspace: str) -> int:
    row = tx.one(_newest_revision, place=workspace)
    return int(row[0]) if row else 0


def fresh(tx: Tx, workspace: str, seen: int) -> tuple[list[Run], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What changed after revision `seen`: bare runs, (run, kind, key, value) and (run, key, value)."""
    bare = [_whole(row[:-1], {}, {}, {}) for row in tx.run(_fresh_runs, place=workspace, seen=seen)]
    values = tx.run(_fresh_values, place=workspace, seen=seen) if bare else []
    return bare, values, tx.run(_fresh_latests, place=workspace, seen=seen) if bare else []


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _whole(row: Sequence[Any], params: dict[str, Any], tags: dict[str, str], metrics: dict[str, float | None]) -> Run:
    return Run(
        id=row[0], experiment=row[1], name=row[2], kind=row[3], subject=row[4], state=row[5], actor=row[6],
        parent=row[7], queued=row[8], started=row[9], ended=row[10],
        origin=msgspec.json.decode(row[11], type=Origin),
        inputs=msgspec.json.decode(row[12], type=tuple[Input, ...]),
        outputs=msgspec.json.decode(row[13]),
        fault=msgspec.json.decode(row[14], type=Fault) if row[14] else None,
        params=params, tags=tags, metrics=dict(sorted(metrics.items())),
    )  # fmt: skip


def roots(tx: Tx) -> list[str]:
    """The outputs of every run of every workspace: what garbage collection must keep."""
    return [digest for (outputs,) in tx.run(_all_outputs) for digest in msgspec.json.decode(outputs).values()]
