"""The prediction log of a window as one table, each answer beside its outcome: for a notebook, an audit, a rival."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.data import parquet
from millrace.data.parquet import Columns
from millrace.serving import entry as entries
from millrace.serving import labels, log, tables
from millrace.serving.records import Endpoint, Labels, Logged, Segment

SPAN_ROWS = 50_000


class Exported(Struct, frozen=True):
    """A Parquet file in the store: fetch it by its digest. It stays for the store's grace period."""

    digest: str
    rows: int
    columns: list[str]


def export(cx: Context, endpoint: Endpoint, since: Micros, until: Micros, role: str, inputs: bool) -> Exported:
    """Put answers of event times ``since <= event < until`` and one role ("" is every) into a file, in their order.

    A year does not fit in memory: it is read and written by spans of some ten thousand rows.
    """
    with cx.read() as tx:
        sealed = tables.segments(tx, cx.workspace, endpoint.name, since, until)
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        parts: list[Path] = []
        rows = 0
        for first, last in spans(sealed, since, until, SPAN_ROWS):
            made = _span(cx, endpoint, first, last, role, inputs)
            rows += len(made["id"])
            if len(made["id"]) or not parts:
                parts.append(Path(folder) / f"{len(parts):06d}.parquet")
                parts[-1].write_bytes(parquet.write(made))
        whole = Path(folder) / "whole.parquet"
        columns = parquet.join(parts, whole)
        with whole.open("rb") as content:
            return Exported(cx.blobs.put(content), rows, columns)


def spans(sealed: Sequence[Segment], since: Micros, until: Micros, rows: int) -> list[tuple[Micros, Micros]]:
    """[since, until) cut at ends of sealed blocks, so that about `rows` answers are in each."""
    found, held = [], 0
    for segment in sorted(sealed, key=lambda one: one.until):
        held += segment.rows
        if held >= rows and since < segment.until < until:
            found.append((since, segment.until))
            since, held = segment.until, 0
    return [*found, (since, until)]


def _span(cx: Context, endpoint: Endpoint, since: Micros, until: Micros, role: str, inputs: bool) -> Columns:
    rows = log.window(cx.ground, cx.workspace, endpoint.name, since, until)
    if role:
        rows = entries.take(rows, np.flatnonzero(rows.role == role))
    with cx.read() as tx:
        known = labels.read(tx, cx.workspace, endpoint.name, since, until)
    return table(rows, known, inputs)


def table(rows: Logged, known: Labels, inputs: bool) -> Columns:
    """Columns of equal length: who answered what and when, then `label`, `state` and `label_arrived`, then
    ``input.NAME`` for every input of the model. A class has a column of its own where there are several."""
    made: Columns = {
        "id": rows.id, "event": rows.event, "key": rows.key, "version": rows.version, "role": rows.role,
        "failed": rows.failed, "latency_us": rows.latency_us, "answered": rows.at,
    }  # fmt: skip
    if rows.score.ndim == 2:
        made |= {f"score.{place}": rows.score[:, place] for place in range(rows.score.shape[1])}
    else:
        made["score"] = rows.score
    places = {id: place for place, id in enumerate(known.id.tolist())}
    found = np.array([places.get(id, -1) for id in rows.id.tolist()], np.int64)
    made["label"] = _looked_up(known.value, found, np.nan)
    made["state"] = _looked_up(known.state, found, None)
    made["label_arrived"] = _looked_up(known.arrived.astype(np.float64), found, np.nan)
    return made | {f"input.{name}": values for name, values in rows.inputs.items()} if inputs else made


def _looked_up(values: Any, places: Any, missing: Any) -> Any:
    """values[places], and `missing` at places below 0."""
    found = np.full(len(places), missing, values.dtype)
    there = places >= 0
    found[there] = values[places[there]]
    return found
