"""The only SQL of serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Index, bindparam, func, select, update

from millrace.base.clock import Micros
from millrace.catalog.schema import binary, integer, table, text
from millrace.catalog.statements import insert_absent, upsert
from millrace.catalog.tx import Tx
from millrace.serving.records import Endpoint, Segment, Table

_endpoint = table(
    "endpoint",
    text("workspace", key=True),
    text("name", key=True),
    text("id"),
    integer("made"),
    text("spec"),
)
_routing = table(
    "routing_table",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("number", key=True),
    text("spec"),
)
_generation = table("serving_generation", integer("id", key=True), integer("number"))
_horizon = table("log_horizon", text("workspace", key=True), text("endpoint", key=True), integer("until"))
_position = table(
    "log_position",
    text("workspace", key=True),
    text("endpoint", key=True),
    text("tape", key=True),
    integer("place"),
)
_segment = table(
    "log_segment",
    text("workspace", key=True),
    text("endpoint", key=True),
    integer("since", key=True),
    integer("part", key=True),
    integer("until"),
    text("digest"),
    text("requests"),
    integer("length"),
)
_label = table(
    "label_batch",
    text("workspace", key=True),
    text("endpoint", key=True),
    text("id", key=True),
    integer("first"),
    integer("last"),
    integer("length"),
    binary("packed"),
    Index("ix_label_batch_last", "workspace", "endpoint", "last"),
)

_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")
_e, _r, _h, _p, _s, _l = _endpoint.c, _routing.c, _horizon.c, _position.c, _segment.c, _label.c
_add_endpoint = insert_absent(_endpoint)
_define_endpoint = (
    update(_endpoint).where(_endpoint.c.workspace == _place, _endpoint.c.name == _which).values(spec=bindparam("now"))
)
_endpoints = select(_e.spec).where(_e.workspace == _place).order_by(_e.name)
_one_endpoint = _endpoints.where(_e.name == _which)
_every_endpoint = select(_e.workspace, _e.spec).order_by(_e.workspace, _e.name)
_add_routing = insert_absent(_routing)
_tables = select(_r.spec).where(_r.workspace == _place, _r.endpoint == _which).order_by(_r.number.desc())
_newest = _tables.limit(1)
_some_tables = _tables.limit(bindparam("most"))
_one_table = _tables.where(_r.number == bindparam("number"))
_generations = select(func.coalesce(func.max(_generation.c.number), 0))
_set_generation = upsert(_generation)
_horizons = select(_h.until).where(_h.workspace == _place, _h.endpoint == _which)
_set_horizon = upsert(_horizon)
_positions = select(_p.tape, _p.place).where(_p.workspace == _place, _p.endpoint == _which)
_set_position = upsert(_position)
_drop_position = _position.delete().where(_p.workspace == _place, _p.endpoint == _which, _p.tape == bindparam("name"))
_add_segment = insert_absent(_segment)
_segments = (
    select(_s.since, _s.until, _s.part, _s.digest, _s.requests, _s.length)
    .where(_s.workspace == _place, _s.endpoint == _which, _s.until > bindparam("begin"), _s.since < bindparam("end"))
    .order_by(_s.since, _s.part)
)
_all_segments = select(_s.digest, _s.requests)
_segment_count = select(func.count()).where(_s.workspace == _place, _s.endpoint == _which)
_add_label = insert_absent(_label)
_labels = (
    select(_l.packed)
    .where(_l.workspace == _place, _l.endpoint == _which, _l.last >= bindparam("begin"), _l.first < bindparam("end"))
    .order_by(_l.id)
)
_label_batches = _labels.with_only_columns(_l.id, _l.packed)
_newest_labels = select(func.max(_l.id)).where(_l.workspace == _place, _l.endpoint == _which)
_later_labels = select(func.min(_l.first), func.max(_l.last)).where(
    _l.workspace == _place, _l.endpoint == _which, _l.id > bindparam("after"), _l.first < bindparam("end")
)


def add_endpoint(tx: Tx, workspace: str, made: Endpoint) -> bool:
    row = {"workspace": workspace, "name": made.name, "id": made.id, "made": made.made, "spec": _json(made)}
    return tx.change(_add_endpoint, **row) == 1


def define_endpoint(tx: Tx, workspace: str, made: Endpoint) -> None:
    """Define an endpoint that is there anew."""
    tx.change(_define_endpoint, place=workspace, which=made.name, now=_json(made))


def endpoint(tx: Tx, workspace: str, name: str) -> Endpoint | None:
    row = tx.one(_one_endpoint, place=workspace, which=name)
    return msgspec.json.decode(row[0], type=Endpoint) if row else None


def endpoints(tx: Tx, workspace: str) -> list[Endpoint]:
    return [msgspec.json.decode(row[0], type=Endpoint) for row in tx.run(_endpoints, place=workspace)]


def every_endpoint(tx: Tx) -> list[tuple[str, Endpoint]]:
    """(workspace, endpoint) of all there are."""
    return [(row[0], msgspec.json.decode(row[1], type=Endpoint)) for row in tx.run(_every_endpoint)]


def add_table(tx: Tx, workspace: str, made: Table) -> None:
    """Add an endpoint's next table and raise the generation that every worker watches."""
    row = {"workspace": workspace, "endpoint": made.endpoint, "number": made.number, "spec": _json(made)}
    tx.change(_add_routing, **row)
    tx.change(_set_generation, id=0, number=generation(tx) + 1)


def newest_table(tx: Tx, workspace: str, endpoint: str) -> Table | None:
    row = tx.one(_newest, place=workspace, which=endpoint)
    return msgspec.json.decode(row[0], type=Table) if row else None


def one_table(tx: Tx, workspace: str, endpoint: str, number: int) -> Table | None:
    row = tx.one(_one_table, place=workspace, which=endpoint, number=number)
    return msgspec.json.decode(row[0], type=Table) if row else None


def routing_tables(tx: Tx, workspace: str, endpoint: str, most: int) -> list[Table]:
    """The newest tables, newest first."""
    rows = tx.run(_some_tables, place=workspace, which=endpoint, most=most)
    return [msgspec.json.decode(row[0], type=Table) for row in rows]


def generation(tx: Tx) -> int:
    """How often any routing table of the catalog changed."""
    row = tx.one(_generations)
    return int(row[0]) if row else 0


def horizon(tx: Tx, workspace: str, endpoint: str) -> Micros | None:
    """Event time up to which the log is sealed; None before anything is."""
    row = tx.one(_horizons, place=workspace, which=endpoint)
    return int(row[0]) if row else None


def set_horizon(tx: Tx, workspace: str, endpoint: str, until: Micros) -> None:
    tx.change(_set_horizon, workspace=workspace, endpoint=endpoint, until=until)


def positions(tx: Tx, workspace: str, endpoint: str) -> dict[str, int]:
    """Tape → the offset before which every row is sealed."""
    return {row[0]: int(row[1]) for row in tx.run(_positions, place=workspace, which=endpoint)}


def set_positions(tx: Tx, workspace: str, endpoint: str, positions: Mapping[str, int]) -> None:
    rows = [{"workspace": workspace, "endpoint": endpoint, "tape": t, "place": p} for t, p in positions.items()]
    tx.change_many(_set_position, rows)


def drop_position(tx: Tx, workspace: str, endpoint: str, tape: str) -> None:
    tx.change(_drop_position, place=workspace, which=endpoint, name=tape)


def add_segment(tx: Tx, workspace: str, endpoint: str, made: Segment) -> None:
    tx.change(
        _add_segment,
        workspace=workspace, endpoint=endpoint, since=made.since, part=made.part, until=made.until,
        digest=made.digest, requests=made.index, length=made.rows,
    )  # fmt: skip


def segments(tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros) -> list[Segment]:
    """Segments of blocks that meet [since, until), in order of event time and part."""
    return [Segment(*row) for row in tx.run(_segments, place=workspace, which=endpoint, begin=since, end=until)]


def segment_count(tx: Tx, workspace: str, endpoint: str) -> int:
    row = tx.one(_segment_count, place=workspace, which=endpoint)
    return int(row[0]) if row else 0


def add_labels(
    tx: Tx, workspace: str, endpoint: str, id: str, first: Micros, last: Micros, length: int, packed: bytes
) -> None:
    row = {"workspace": workspace, "endpoint": endpoint, "id": id, "first": first, "last": last}
    tx.change(_add_label, **row, length=length, packed=packed)


def newest_labels(tx: Tx, workspace: str, endpoint: str) -> str:
    """The id of the batch that came last; "" without any."""
    row = tx.one(_newest_labels, place=workspace, which=endpoint)
    return str(row[0]) if row and row[0] is not None else ""


def later_labels(tx: Tx, workspace: str, endpoint: str, after: str, until: Micros) -> tuple[Micros, Micros] | None:
    """The (first, last) event time of the batches that came after a batch and begin before `until`; None of none."""
    row = tx.one(_later_labels, place=workspace, which=endpoint, after=after, end=until)
    return (int(row[0]), int(row[1])) if row and row[0] is not None else None


def label_batches(tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros) -> list[tuple[str, bytes]]:
    """(id, packed) of the batches that may hold labels of [since, until), in the order they came."""
    rows = tx.run(_label_batches, place=workspace, which=endpoint, begin=since, end=until)
    return [(str(row[0]), bytes(row[1])) for row in rows]


def labels(tx: Tx, workspace: str, endpoint: str, since: Micros, until: Micros) -> Sequence[bytes]:
    """Packed batches that may hold labels of [since, until), in the order they came."""
    return [bytes(row[0]) for row in tx.run(_labels, place=workspace, which=endpoint, begin=since, end=until)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def roots(tx: Tx) -> list[str]:
    """The sealed segments of every prediction log and their indexes: what garbage collection must keep."""
    return [digest for row in tx.run(_all_segments) for digest in row]
