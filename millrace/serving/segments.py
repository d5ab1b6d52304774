"""Sealed answers as Parquet: one blob a block, readable by anything that reads Parquet.

Columns: id, event, version, role, table, weight, score (or score.0, score.1 … for several classes), failed, latency_us,
at, key, and ``in.NAME`` for every input.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.clock import Micros
from millrace.data import parquet
from millrace.serving import entry as entries
from millrace.serving import tables
from millrace.serving.records import Columns, Logged

_EVER: Micros = 1 << 62
_KEPT = 24_000  # rows, about twelve megabytes at 50 columns: the fortnight of a thousand rows a day that a gate reads
_PLAIN = tuple(name for name in Logged._fields if name not in ("score", "inputs"))


def encode(logged: Logged) -> bytes:
    """The bytes of a segment."""
    columns: Columns = {name: getattr(logged, name) for name in _PLAIN}
    if logged.score.ndim == 1:
        columns["score"] = logged.score
    else:
        columns |= {f"score.{place}": logged.score[:, place] for place in range(logged.score.shape[1])}
    return parquet.write(columns | {f"in.{name}": values for name, values in logged.inputs.items()})


def decode(data: bytes) -> Logged:
    """What `encode` wrote."""
    columns = parquet.read(data)
    plain: dict[str, Any] = {name: columns[name] for name in _PLAIN}
    inputs = {name[3:]: values for name, values in columns.items() if name.startswith("in.")}
    return Logged(**plain, score=_score(columns), inputs=inputs)


def load(ground: Ground, digest: str) -> Logged:
    """A segment of the store; the last few stay decoded, since a block is read several times in a row.

    Nobody may write into its arrays. Errors: `blob.unknown`, `blob.corrupt`.
    """
    found = _decoded(ground).get(digest)
    if found is None:
        found = decode(ground.blobs.get(digest))
        remember(ground, digest, found)
    return found


def remember(ground: Ground, digest: str, rows: Logged) -> None:
    """Keep a segment decoded for a while: the block that was just sealed is the next to be judged."""
    _decoded(ground).put(digest, rows)


def _decoded(ground: Ground) -> Decoded:
    return ground.memory.keep(lambda: Decoded(_KEPT), "serving", "segments")


class Decoded:
    """The segments that were read last, `most` rows and no less than one segment. Safe between threads."""

    def __init__(self, most: int) -> None:
        self._most, self._rows = most, 0
        self._kept: OrderedDict[str, Logged] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: str) -> Logged | None:
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
            return found

    def put(self, digest: str, rows: Logged) -> None:
        with self._lock:
            if digest not in self._kept:
                self._rows += len(rows.id)
            self._kept[digest] = rows
            while self._rows > self._most and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._rows -= len(oldest.id)


def find(ground: Ground, workspace: str, endpoint: str, request: str) -> Logged | None:
    """The sealed rows of one request, or None."""
    wanted = entries.hash_of(request)
    with ground.catalog.read() as tx:
        held = tables.segments(tx, workspace, endpoint, -_EVER, _EVER)
    parts: list[Logged] = []
    for segment in held:
        if segment.rows and wanted in np.frombuffer(ground.blobs.get(segment.index), "<u8"):
            whole = load(ground, segment.digest)
            mine = np.fromiter((id.rpartition(":")[0] == request for id in whole.id), np.bool_, len(whole.id))
            parts.append(entries.take(whole, mine))
    found = entries.first_of_each(entries.join(parts)) if parts else None
    return found if found is not None and len(found.id) else None


def events(ground: Ground, workspace: str, endpoint: str, near: Mapping[str, Micros]) -> dict[str, Micros]:
    """The event times of sealed predictions by id: looked for in the block of the moment that is given, then in all.

    Errors: `blob.unknown`, `blob.corrupt`.
    """
    found: dict[str, Micros] = {}
    moments = np.sort(np.fromiter(near.values(), np.int64, len(near)))
    with ground.catalog.read() as tx:
        held = tables.segments(tx, workspace, endpoint, int(moments[0]), int(moments[-1]) + 1)
    for segment in held:
        if segment.rows and np.searchsorted(moments, segment.since) < np.searchsorted(moments, segment.until):
            found.update(_events(load(ground, segment.digest), near))
    missing = near.keys() - found.keys()
    if not missing:
        return found
    wanted = np.array([entries.hash_of(request) for request in {id.rpartition(":")[0] for id in missing}], "<u8")
    with ground.catalog.read() as tx:
        held = tables.segments(tx, workspace, endpoint, -_EVER, _EVER)
    for segment in held:
        if segment.rows and np.isin(np.frombuffer(ground.blobs.get(segment.index), "<u8"), wanted).any():
            found.update(_events(load(ground, segment.digest), missing))
    return found


def _events(rows: Logged, wanted: Container[str]) -> dict[str, Micros]:
    return {id: event for id, event in zip(rows.id.tolist(), rows.event.tolist(), strict=True) if id in wanted}


def _score(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    if "score" in columns:
        return columns["score"]
    return np.column_stack([values for name, values in columns.items() if name.startswith("score.")])
