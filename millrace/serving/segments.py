"""Sealed answers as Parquet: one blob a block, readable by anything that reads Parquet.

Columns: id, event, version, role, table, weight, score (or score.0, score.1 … for several classes), failed, latency_us,
at, key, and ``in.NAME`` for every input.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """A segment of the store. Errors: `blob.unknown`, `blob.corrupt`."""
    return decode(ground.blobs.get(digest))


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


def _score(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    if "score" in columns:
        return columns["score"]
    return np.column_stack([values for name, values in columns.items() if name.startswith("score.")])
