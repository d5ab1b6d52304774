"""A run's life as functions of an open writing call, for this room's verbs and for the rooms that run things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from millrace.access.context import Context
from millrace.access.ops import rule_over
from millrace.access.records import LOOP
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, unknown
from millrace.base.names import check_name
from millrace.catalog.tx import Tx
from millrace.tracking import rules, series, tables
from millrace.tracking.records import Experiment, Fault, Input, Origin, Point, Run, State

CHALLENGES = ("model:write", "rollout:operate")
"""What the loop does with a run whose purpose names a challenger, so who names one must be allowed to do it himself."""

_KINDS = {"finished": "run.finished", "failed": "run.failed", "cancelled": "run.cancelled"}


def find(tx: Tx, workspace: str, id: str) -> Run:
    """The run `id`, whole. Errors: `run.unknown`."""
    found = tables.run(tx, workspace, id)
    if found is None:
        raise _unknown(id)
    return found


def ensure_experiment(cx: Context, name: str, about: str = "") -> bool:
    """Make the experiment unless it is there; whether it was made. Errors: `name.invalid`."""
    check_name("experiment", name)
    if not tables.add_experiment(cx.tx, cx.workspace, Experiment(name, cx.now, about)):
        return False
    cx.fact("experiment.made", name)
    return True


def begin(
    cx: Context,
    experiment: str,
    *,
    name: str = "",
    kind: str = "run",
    subject: str = "",
    state: State = "running",
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
    origin: Origin | None = None,
    inputs: Sequence[Input] = (),
    id: str = "",
    at: Micros = 0,
) -> Run:
    """A new run, queued or running; a running one is a fact at once. Errors: `name.invalid`, `run.unknown` (parent).

    `id` and `at`, when it began (micros), where its program says so. Errors also: `access.denied` for a purpose that
    names a challenger, unless the caller may register and roll out.
    """
    if origin is not None and "challenger" in origin.purpose and cx.caller != LOOP:
        for permission in CHALLENGES:
            rule_over(cx.tx, cx.caller, (cx.workspace,), permission)
    ensure_experiment(cx, experiment)
    if parent is not None and tables.state(cx.tx, cx.workspace, parent) is None:
        raise _unknown(parent)
    params, tags = dict(params or {}), dict(tags or {})
    for key in params:
        rules.check_key("parameter", key)
    rules.check_texts("tag", tags)
    id = id or cx.new_id()
    since = min(at, cx.now) if at > 0 else cx.now
    made = Run(
        id=id, experiment=experiment, name=name or f"{subject or kind}-{id[-6:]}", kind=kind, subject=subject,
        state=state, actor=cx.actor, parent=parent, queued=since, started=since if state == "running" else None,
        ended=None, origin=origin or Origin(), inputs=tuple(inputs), params=params, tags=tags,
    )  # fmt: skip
    tables.add_run(cx.tx, cx.workspace, made)
    if state == "running":
        _tell_start(cx, made)
    return made


def start(cx: Context, run: Run, origin: Origin, inputs: Sequence[Input]) -> Run:
    """A queued run begins, now that its inputs are known by content. Errors: `run.over`."""
    going = msgspec.structs.replace(
        run,
        state=rules.next_state(run.id, run.state, "running"),
        started=cx.now,
        origin=origin,
        inputs=tuple(inputs),
    )
    tables.change_run(cx.tx, cx.workspace, going)
    _tell_start(cx, going)
    return going


def log(
    cx: Context,
    run: str,
    points: Sequence[Point] = (),
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Add points, parameters and tags to a run. Errors: `run.unknown`, `run.over`, `run.param`, `name.invalid`."""
    now = tables.state(cx.tx, cx.workspace, run)
    if now is None:
        raise _unknown(run)
    if params:
        rules.check_open(run, now, "parameters")
        for key in params:
            rules.check_key("parameter", key)
        fresh = rules.new_params(run, tables.params(cx.tx, cx.workspace, run), params)
        tables.put_params(cx.tx, cx.workspace, run, fresh)
    if tags:
        rules.check_texts("tag", tags)
        tables.put_values(cx.tx, cx.workspace, run, "tag", tags)
    if points:
        rules.check_open(run, now, "metrics")
        kept = rules.stamped(points, cx.now)
        tables.add_tail(cx.tx, cx.workspace, run, cx.new_id(), series.pack_batch(kept))
        tables.put_latest(cx.tx, cx.workspace, run, rules.newest(kept).values())
    tables.touch(cx.tx, cx.workspace, run)


def end(
    cx: Context,
    run: Run,
    state: State,
    outputs: Mapping[str, str] | None = None,
    fault: Fault | None = None,
    data: Mapping[str, Any] | None = None,
    at: Micros = 0,
) -> Run:
    """A run is over, now or since `at`: seal its series, write its outcome and the fact. Errors: `run.over`."""
    over = msgspec.structs.replace(
        run,
        state=rules.next_state(run.id, run.state, state),
        ended=max(min(at, cx.now), run.started or 0) if at > 0 else cx.now,
        outputs={**run.outputs, **(outputs or {})},
        fault=fault,
    )
    _seal(cx.tx, cx.workspace, run.id)
    tables.change_run(cx.tx, cx.workspace, over)
    told = {
        "experiment": over.experiment, "kind": over.kind, over.kind: over.subject, "params": over.params,
        "outputs": over.outputs, "purpose": over.origin.purpose, "parent": over.parent, **(data or {}),
    }  # fmt: skip
    if fault is not None:
        told["code"] = fault.code
    cx.fact(_KINDS[state], over.id, told)
    return over


def points_of(tx: Tx, workspace: str, run: str, key: str) -> series.Rows:
    """All points of a series, ordered, without duplicates; sealed or not."""
    sealed = [series.unpack_points(s.points, s.length) for s in tables.segments(tx, workspace, run, key)]
    return _joined(sealed + _tails(tx, workspace, run).get(key, []))


def peaks_of(tx: Tx, workspace: str, run: str, key: str, most: int) -> tuple[int, series.Rows]:
    """(count of points, at most about `most` buckets of their smallest and largest values).

    A sealed series is drawn from its stored peaks, without unpacking a point.
    """
    sealed = tables.segments(tx, workspace, run, key)
    count = sum(segment.length for segment in sealed)
    if sealed and count >= 4 * most * series.GROUP and key not in _tails(tx, workspace, run):
        peaks = np.concatenate([series.unpack_peaks(segment.peaks) for segment in sealed])
        return count, series.merged_peaks(peaks, -(-len(peaks) // most))
    rows = points_of(tx, workspace, run, key)
    return len(rows), series.peaks_of(rows, max(1, -(-len(rows) // most)))


def _tails(tx: Tx, workspace: str, run: str) -> dict[str, list[series.Rows]]:
    found: dict[str, list[series.Rows]] = {}
    for packed in tables.tails(tx, workspace, run):
        for key, rows in series.unpack_batch(packed).items():
            found.setdefault(key, []).append(rows)
    return found


def _joined(parts: list[series.Rows]) -> series.Rows:
    return series.ordered(np.concatenate(parts)) if parts else series.EMPTY


def _seal(tx: Tx, workspace: str, run: str) -> None:
    """Turn the batches of a run into segments, in this transaction."""
    fresh = _tails(tx, workspace, run)
    for key, parts in fresh.items():
        sealed = [series.unpack_points(s.points, s.length) for s in tables.segments(tx, workspace, run, key)]
        tables.put_segments(tx, workspace, run, key, series.seal(np.concatenate(sealed + parts)))
    if fresh:
        tables.drop_tails(tx, workspace, run)


def _unknown(id: str) -> MillraceError:
    """Ids are drawn, not chosen: what is near to a wrong one says nothing."""
    return unknown("run", id, hint="millrace run search lists them by their ids")


def _tell_start(cx: Context, run: Run) -> None:
    told = {"experiment": run.experiment, "kind": run.kind, run.kind: run.subject, "purpose": run.origin.purpose}
    cx.fact("run.started", run.id, told)
