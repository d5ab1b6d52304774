"""One prediction, told whole: what served it, why, from which inputs, and what came true."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError
from millrace.catalog.tx import Tx
from millrace.data.parquet import listed
from millrace.registry import versions
from millrace.registry.records import Lineage
from millrace.serving import entry as entries
from millrace.serving import labels, rules, tables
from millrace.serving.entry import Entry
from millrace.serving.log import logs
from millrace.serving.records import WHOLE, Endpoint, Logged, Table


class Label(Struct, frozen=True):
    """What came true."""

    value: float | None
    state: str
    arrived: Micros


class Shadowed(Struct, frozen=True):
    """What a shadow would have answered."""

    version: int
    score: Any


class Prediction(Struct, frozen=True):
    """One logged answer. `score` is a number, a list for several classes, or None where the version `failed`."""

    id: str
    endpoint: str
    version: int
    score: Any
    failed: bool
    event: Micros
    at: Micros
    key: str
    role: str
    weight: int
    table: int
    latency_us: int


class Told(Struct, frozen=True):
    """Everything that is known about one prediction. `why` says in words how its version came to answer it."""

    prediction: Prediction
    why: str
    inputs: dict[str, Any]
    shadows: list[Shadowed]
    label: Label | None
    routing: Table | None
    lineage: Lineage | None


def tell(cx: Context, id: str, endpoint: str = "") -> Told:
    """Look a prediction up by its id, everywhere or at one endpoint. Errors: `prediction.unknown`."""
    with cx.read() as tx:
        places = [found for found in tables.endpoints(tx, cx.workspace) if not endpoint or found.name == endpoint]
    for place in places:
        rows = _rows(cx, place, id)
        if rows is not None:
            with cx.read() as tx:
                return _told(tx, cx.workspace, place, rows)
    raise MillraceError("prediction.unknown", f"no prediction {id!r} was logged here", "an id is request:row")


def one(endpoint: Endpoint, logged: Logged, place: int) -> Prediction:
    """The entry at `place` as a record."""
    failed = bool(logged.failed[place])
    return Prediction(
        id=str(logged.id[place]), endpoint=endpoint.name, version=int(logged.version[place]),
        score=None if failed else _score(logged, place), failed=failed, event=int(logged.event[place]),
        at=int(logged.at[place]), key=str(logged.key[place]), role=str(logged.role[place]),
        weight=int(logged.weight[place]), table=int(logged.table[place]), latency_us=int(logged.latency_us[place]),
    )  # fmt: skip


def _rows(cx: Context, endpoint: Endpoint, id: str) -> Logged | None:
    """What the arm and the shadows answered to one row, the arm first."""
    found = logs(cx.ground).of(cx.workspace, endpoint).find(id.rpartition(":")[0])
    if found is None:
        return None
    logged = entries.first_of_each(entries.flatten([found])) if isinstance(found, Entry) else found
    mine = np.flatnonzero(logged.id == id)
    order = mine[np.argsort(logged.role[mine] == "shadow", kind="stable")]
    return entries.take(logged, order) if len(order) else None


def _told(tx: Tx, workspace: str, endpoint: Endpoint, rows: Logged) -> Told:
    shown = one(endpoint, rows, 0)
    table = tables.one_table(tx, workspace, endpoint.name, shown.table)
    version = versions.find(tx, workspace, endpoint.model, shown.version)
    shadows = [
        Shadowed(int(rows.version[place]), None if rows.failed[place] else _score(rows, place))
        for place in range(1, len(rows.id))
    ]
    known = labels.read(tx, workspace, endpoint.name, shown.event, shown.event + 1)
    label = None
    for place in np.flatnonzero(known.id == shown.id):
        value = float(known.value[place])
        label = Label(None if value != value else value, str(known.state[place]), int(known.arrived[place]))
    inputs = {name: listed(values[:1])[0] for name, values in rows.inputs.items()}
    why = _why(shown, table, _began(tx, workspace, endpoint.name, table, shown))
    return Told(shown, why, inputs, shadows, label, table, versions.lineage(tx, workspace, version))


def _why(shown: Prediction, table: Table | None, began: Table | None) -> str:
    if shown.role == "pinned" or table is None or began is None:
        return f"the request asked for version {shown.version}"
    place = rules.bucket(table.salt, shown.key)
    since = "" if began.number == table.number else f" since table {began.number}"
    rollout = f" of rollout {began.rollout}" if began.rollout else ""
    because = f", because: {began.reason}" if began.reason else ""
    return (
        f"key {shown.key!r} lies in bucket {place}, which routing table {table.number} gives to version "
        f"{shown.version} ({shown.weight} of {WHOLE} buckets){since}{rollout}{because}"
    )


def _began(tx: Tx, workspace: str, endpoint: str, table: Table | None, shown: Prediction) -> Table | None:
    """The table that gave the version this share, which every one up to `table` left as it was."""
    before = table
    while before is not None and any((arm.number, arm.weight) == (shown.version, shown.weight) for arm in before.arms):
        table, before = before, tables.one_table(tx, workspace, endpoint, before.number - 1)
    return table


def _score(logged: Logged, place: int) -> Any:
    return logged.score[place].tolist()
