"""The only SQL of monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BindParameter, bindparam, func, or_, select

from millrace.base.clock import Micros
from millrace.catalog.schema import binary, integer, table, text
from millrace.catalog.statements import upsert
from millrace.catalog.tx import Tx
from millrace.monitoring.records import Block, Incident, Judgement, Plan, Standing

_plan = table("monitor_plan", text("workspace", key=True), text("endpoint", key=True), text("spec"))
_standing = table("monitor_standing", text("workspace", key=True), text("endpoint", key=True), text("spec"))
_watch = table(
    "monitor_drift",
    text("workspace", key=True),
    text("endpoint", key=True),
    binary("layout"),
    binary("state"),
)
_beside = table(
    "monitor_training",
    text("workspace", key=True),
    text("endpoint", key=True),
    binary("layout"),
    binary("state"),
)
_block = table(
    "monitor_block",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("since", key=True),
    integer("version", key=True),
    text("spec"),
    binary("profile", null=True),
)
_judgement = table(
    "monitor_judgement",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("since", key=True),
    text("spec"),
)
_incident = table(
    "incident",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("number", key=True),
    text("state"),
    text("spec"),
)
_challenge = table("monitor_challenge", text("workspace", key=True), text("endpoint", key=True), text("rollout"))

_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")
_p, _s, _w, _b, _j, _i = _plan.c, _standing.c, _watch.c, _block.c, _judgement.c, _incident.c
_put_plan, _put_standing, _put_watch = upsert(_plan), upsert(_standing), upsert(_watch)
_put_challenge = upsert(_challenge)
_put_beside = upsert(_beside)
_one_beside = select(_beside.c.layout, _beside.c.state).where(
    _beside.c.workspace == _place, _beside.c.endpoint == _which
)
_one_challenge = select(_challenge.c.rollout).where(_challenge.c.workspace == _place, _challenge.c.endpoint == _which)
_put_block, _put_judgement, _put_incident = upsert(_block), upsert(_judgement), upsert(_incident)
_plans = select(_p.spec).where(_p.workspace == _place).order_by(_p.endpoint)
_one_plan = _plans.where(_p.endpoint == _which)
_one_standing = select(_s.spec).where(_s.workspace == _place, _s.endpoint == _which)
_one_watch = select(_w.layout, _w.state).where(_w.workspace == _place, _w.endpoint == _which)
_span = _b.since >= bindparam("begin"), _b.since < bindparam("end")
_blocks = (
    select(_b.spec).where(_b.workspace == _place, _b.endpoint == _which, *_span).order_by(_b.since, _b.version)
)  # fmt: skip
_version_blocks = _blocks.where(_b.version == bindparam("version"))
_further = or_(_b.since > bindparam("begin"), _b.version > bindparam("past"))
_some_blocks, _some_version_blocks = (
    every.where(_further).limit(bindparam("most")) for every in (_blocks, _version_blocks)
)
_block_count = select(func.count()).where(_b.workspace == _place, _b.endpoint == _which, *_span)
_version_block_count = _block_count.where(_b.version == bindparam("version"))
_one_block = select(_b.since).where(
    _b.workspace == _place, _b.endpoint == _which, _b.since == bindparam("begin"), _b.version == bindparam("version")
)
_profiles = (
    select(_b.since, _b.profile)
    .where(_b.workspace == _place, _b.endpoint == _which, *_span, _b.version == bindparam("version"))
    .order_by(_b.since)
)
_judgements = (
    select(_j.spec)
    .where(
        _j.workspace == _place, _j.endpoint == _which, _j.since >= bindparam("begin"), _j.since < bindparam("end")
    )
    .order_by(_j.since)
)  # fmt: skip
_one_judgement = select(_j.spec).where(_j.workspace == _place, _j.endpoint == _which, _j.since == bindparam("begin"))
_incidents = select(_i.spec).where(_i.workspace == _place).order_by(_i.endpoint, _i.number.desc())
_open_incidents = (
    select(_i.spec).where(_i.workspace == _place, _i.endpoint == _which, _i.state == "open").order_by(_i.number)
)
_one_incident = select(_i.spec).where(_i.workspace == _place, _i.endpoint == _which, _i.number == bindparam("number"))
_newest_incident = select(func.coalesce(func.max(_i.number), 0)).where(_i.workspace == _place, _i.endpoint == _which)


def put_plan(tx: Tx, workspace: str, plan: Plan) -> None:
    tx.change(_put_plan, workspace=workspace, endpoint=plan.endpoint, spec=_json(plan))


def plan(tx: Tx, workspace: str, endpoint: str) -> Plan | None:
    row = tx.one(_one_plan, place=workspace, which=endpoint)
    return msgspec.json.decode(row[0], type=Plan) if row else None


def plans(tx: Tx, workspace: str) -> list[Plan]:
    return [msgspec.json.decode(row[0], type=Plan) for row in tx.run(_plans, place=workspace)]


def put_standing(tx: Tx, workspace: str, standing: Standing) -> None:
    tx.change(_put_standing, workspace=workspace, endpoint=standing.endpoint, spec=_json(standing))


def standing(tx: Tx, workspace: str, endpoint: str) -> Standing | None:
    row = tx.one(_one_standing, place=workspace, which=endpoint)
    return msgspec.json.decode(row[0], type=Standing) if row else None


def put_challenge(tx: Tx, workspace: str, endpoint: str, rollout: str) -> None:
    tx.change(_put_challenge, workspace=workspace, endpoint=endpoint, rollout=rollout)


def challenge(tx: Tx, workspace: str, endpoint: str) -> str:
    """The rollout that is under way with a challenger; "" without one."""
    row = tx.one(_one_challenge, place=workspace, which=endpoint)
    return str(row[0]) if row else ""


def put_watch(tx: Tx, workspace: str, endpoint: str, layout: bytes, state: bytes) -> None:
    """Keep the cells that inputs are counted in, and the drift watch's state."""
    tx.change(_put_watch, workspace=workspace, endpoint=endpoint, layout=layout, state=state)


def watch(tx: Tx, workspace: str, endpoint: str) -> tuple[bytes, bytes] | None:
    row = tx.one(_one_watch, place=workspace, which=endpoint)
    return (bytes(row[0]), bytes(row[1])) if row else None


def put_beside(tx: Tx, workspace: str, endpoint: str, layout: bytes, state: bytes) -> None:
    """Keep the champion beside its training data."""
    tx.change(_put_beside, workspace=workspace, endpoint=endpoint, layout=layout, state=state)


def beside(tx: Tx, workspace: str, endpoint: str) -> tuple[bytes, bytes] | None:
    row = tx.one(_one_beside, place=workspace, which=endpoint)
    return (bytes(row[0]), bytes(row[1])) if row else None


def put_block(tx: Tx, workspace: str, endpoint: str, block: Block, profile: bytes | None) -> None:
    row = {"workspace": workspace, "endpoint": endpoint, "since": block.since, "version": block.version}
    tx.change(_put_block, **row, spec=_json(block), profile=profile)


def blocks(
    tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros, version: int | None = None
) -> list[Block]:
    """Blocks that begin in [since, until), in order; of every version unless one is named (0: what was served)."""
    span = {"place": workspace, "which": endpoint, "begin": since, "end": until}
    if version is None:
        rows = tx.run(_blocks, **span)
    else:
        rows = tx.run(_version_blocks, **span, version=version)
    return [msgspec.json.decode(row[0], type=Block) for row in rows]


def some_blocks(
    tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros, version: int | None, past: int, most: int
) -> tuple[list[Block], bool]:
    """The first `most` of `blocks`, of those that begin at `since` only versions greater than `past`; whether there are
    more."""
    span = {"place": workspace, "which": endpoint, "begin": since, "end": until, "past": past, "most": most + 1}
    if version is None:
        rows = tx.run(_some_blocks, **span)
    else:
        rows = tx.run(_some_version_blocks, **span, version=version)
    return [msgspec.json.decode(row[0], type=Block) for row in rows[:most]], len(rows) > most


def block_count(tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros, version: int | None = None) -> int:
    """How many `blocks` there are."""
    span = {"place": workspace, "which": endpoint, "begin": since, "end": until}
    if version is None:
        row = tx.one(_block_count, **span)
    else:
        row = tx.one(_version_block_count, **span, version=version)
    return int(row[0]) if row else 0


def has_block(tx: Tx, workspace: str, endpoint: str, since: Micros, version: int) -> bool:
    return tx.one(_one_block, place=workspace, which=endpoint, begin=since, version=version) is not None


def profiles(
    tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros, version: int
) -> list[tuple[Micros, bytes]]:
    """(block's start, packed profile) of the blocks that have one."""
    rows = tx.run(_profiles, place=workspace, which=endpoint, begin=since, end=until, version=version)
    return [(row[0], bytes(row[1])) for row in rows if row[1] is not None]


def put_judgement(tx: Tx, workspace: str, endpoint: str, judgement: Judgement) -> None:
    row = {"workspace": workspace, "endpoint": endpoint, "since": judgement.since}
    tx.change(_put_judgement, **row, spec=_json(judgement))


def judgement(tx: Tx, workspace: str, endpoint: str, since: Micros) -> Judgement | None:
    """What the block that began at `since` led to; None if it was not judged, or had no rows."""
    row = tx.one(_one_judgement, place=workspace, which=endpoint, begin=since)
    return msgspec.json.decode(row[0], type=Judgement) if row else None


def judgements(tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros) -> list[Judgement]:
    rows = tx.run(_judgements, place=workspace, which=endpoint, begin=since, end=until)
    return [msgspec.json.decode(row[0], type=Judgement) for row in rows]


def put_incident(tx: Tx, workspace: str, incident: Incident) -> None:
    state = "open" if incident.closed is None else "closed"
    row = {"workspace": workspace, "endpoint": incident.endpoint, "number": incident.number}
    tx.change(_put_incident, **row, state=state, spec=_json(incident))


def incidents(tx: Tx, workspace: str) -> list[Incident]:
    """All incidents by endpoint, newest first."""
    return [msgspec.json.decode(row[0], type=Incident) for row in tx.run(_incidents, place=workspace)]


def open_incidents(tx: Tx, workspace: str, endpoint: str) -> list[Incident]:
    rows: Sequence[Any] = tx.run(_open_incidents, place=workspace, which=endpoint)
    return [msgspec.json.decode(row[0], type=Incident) for row in rows]


def incident(tx: Tx, workspace: str, endpoint: str, number: int) -> Incident | None:
    row = tx.one(_one_incident, place=workspace, which=endpoint, number=number)
    return msgspec.json.decode(row[0], type=Incident) if row else None


def newest_incident(tx: Tx, workspace: str, endpoint: str) -> int:
    """The number of the endpoint's newest incident; 0 without any."""
    row = tx.one(_newest_incident, place=workspace, which=endpoint)
    return int(row[0]) if row else 0


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
