"""The only SQL of rollout."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BindParameter, Index, bindparam, func, select

from millrace.base.clock import Micros
from millrace.catalog.schema import binary, integer, table, text
from millrace.catalog.statements import upsert
from millrace.catalog.tx import Tx
from millrace.rollout.records import OPEN, Evidence, Rollout

_rollout = table(
    "rollout",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("number", key=True),
    text("state"),
    integer("since"),
    text("spec"),
    binary("running", null=True),
    Index("ix_rollout_state", "state"),
)
_evidence = table(
    "rollout_evidence",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("number", key=True),
    integer("since", key=True),
    text("phase", key=True),
    text("spec"),
)

_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")
_number: BindParameter[Any] = bindparam("number")
_r, _e = _rollout.c, _evidence.c
_put, _put_evidence = upsert(_rollout), upsert(_evidence)
_all = select(_r.spec).where(_r.workspace == _place).order_by(_r.endpoint, _r.number.desc())
_of_endpoint = select(_r.spec).where(_r.workspace == _place, _r.endpoint == _which).order_by(_r.number)
_one = select(_r.spec).where(_r.workspace == _place, _r.endpoint == _which, _r.number == _number)
_running = select(_r.running).where(_r.workspace == _place, _r.endpoint == _which, _r.number == _number)
_open = (
    select(_r.workspace, _r.spec)
    .where(_r.state.in_(bindparam("states", expanding=True)))
    .order_by(_r.workspace, _r.endpoint, _r.number)
)
_newest = select(func.coalesce(func.max(_r.number), 0)).where(_r.workspace == _place, _r.endpoint == _which)
_evidence_of = (
    select(_e.spec)
    .where(_e.workspace == _place, _e.endpoint == _which, _e.number == _number)
    .order_by(_e.since, _e.phase)
)


def put(tx: Tx, workspace: str, rollout: Rollout, running: bytes | None = None) -> None:
    """Write a rollout whole, with the running state of its canary."""
    tx.change(
        _put, workspace=workspace, endpoint=rollout.endpoint, number=rollout.number, state=rollout.state,
        since=rollout.since, spec=msgspec.json.encode(rollout).decode(), running=running,
    )  # fmt: skip


def rollouts(tx: Tx, workspace: str, endpoint: str = "") -> list[Rollout]:
    """All rollouts of an endpoint, oldest first; without one those of all endpoints, newest first."""
    if endpoint:
        rows = tx.run(_of_endpoint, place=workspace, which=endpoint)
    else:
        rows = tx.run(_all, place=workspace)
    return [msgspec.json.decode(row[0], type=Rollout) for row in rows]


def rollout(tx: Tx, workspace: str, endpoint: str, number: int) -> Rollout | None:
    row = tx.one(_one, place=workspace, which=endpoint, number=number)
    return msgspec.json.decode(row[0], type=Rollout) if row else None


def running(tx: Tx, workspace: str, rollout: Rollout) -> bytes | None:
    """The running state of a canary."""
    row = tx.one(_running, place=workspace, which=rollout.endpoint, number=rollout.number)
    return bytes(row[0]) if row and row[0] is not None else None


def open_rollouts(tx: Tx) -> list[tuple[str, Rollout]]:
    """(workspace, rollout) of all that are under way, in every workspace."""
    rows = tx.run(_open, states=list(OPEN))
    return [(row[0], msgspec.json.decode(row[1], type=Rollout)) for row in rows]


def newest(tx: Tx, workspace: str, endpoint: str) -> int:
    """The number of the endpoint's newest rollout; 0 without any."""
    row = tx.one(_newest, place=workspace, which=endpoint)
    return int(row[0]) if row else 0


def put_evidence(tx: Tx, workspace: str, rollout: Rollout, found: Evidence) -> None:
    tx.change(
        _put_evidence, workspace=workspace, endpoint=rollout.endpoint, number=rollout.number, since=found.since,
        phase=found.phase, spec=msgspec.json.encode(found).decode(),
    )  # fmt: skip


def evidence(tx: Tx, workspace: str, rollout: Rollout, since: Micros = 0) -> list[Evidence]:
    """The rollout's evidence in order of event time, of blocks from `since` on."""
    rows = tx.run(_evidence_of, place=workspace, which=rollout.endpoint, number=rollout.number)
    found = [msgspec.json.decode(row[0], type=Evidence) for row in rows]
    return [one for one in found if one.since >= since]
