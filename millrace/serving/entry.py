"""One request as it stands on a tape: who answered what, from which inputs, by which routing table.

Numbers of many rows are packed as bytes; those of few stay lists, which costs less than making an array of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from blake3 import blake3
from msgspec import Struct
from numpy.typing import NDArray

from millrace.base.clock import Micros
from millrace.serving.records import Columns, Logged

Kind = Literal["f", "i", "b", "t"]
Role = Literal["arm", "shadow", "pinned"]


class Column(Struct, array_like=True, frozen=True):
    """The values of one column: kind f(loat), i(nt), b(ool), t(ext); a list, or bytes of a little-endian array."""

    kind: Kind
    values: list[Any] | bytes


class Answer(Struct, array_like=True, frozen=True):
    """What one version answered to `rows` (all when None): `score` is float64, `width` a row.

    `faults` says by place in `rows` why there is none.
    """

    role: Role
    version: int
    weight: int
    rows: list[int] | None
    score: bytes
    width: int = 1
    faults: dict[int, str] = {}  # msgspec copies it for each entry


class Entry(Struct, array_like=True, frozen=True):
    """One request of `count` rows. `body` is a digest of what was asked; `at` is wall time."""

    request: str
    body: bytes
    at: Micros
    latency_us: int
    table: int
    count: int
    event: list[int]
    key: list[str]
    answers: list[Answer]
    inputs: dict[str, Column]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode(body: bytes) -> Entry:
    return _decoder.decode(body)


def hash_of(request: str) -> np.uint64:
    """Eight bytes that stand for a request's id."""
    return np.frombuffer(blake3(request.encode()).digest(8), "<u8")[0]  # type: ignore[no-any-return]  # one element


def pack(values: NDArray[Any]) -> Column:
    """A column from an array (n,) of float64, int64, bool or texts."""
    kind: Kind = "t" if values.dtype.kind in "OU" else values.dtype.kind  # type: ignore[assignment]  # f, i or b
    if kind == "t":
        return Column("t", values.tolist())
    return Column(kind, np.ascontiguousarray(values, _DTYPES[kind]).tobytes())


def unpack(column: Column) -> NDArray[Any]:
    """The array (n,) of a column; an absent number is NaN, an absent text None."""
    if isinstance(column.values, bytes):
        return np.frombuffer(column.values, _DTYPES[column.kind])
    if column.kind == "t":
        found = np.empty(len(column.values), object)
        found[:] = column.values
        return found
    if column.kind == "f":
        return np.array([np.nan if value is None else value for value in column.values], np.float64)
    return np.array(column.values, _DTYPES[column.kind])


_DTYPES = {"f": np.dtype("<f8"), "i": np.dtype("<i8"), "b": np.dtype(np.bool_)}


def unpack_score(answer: Answer) -> NDArray[np.float64]:
    """(rows,), or (rows, width) for several classes."""
    score = np.frombuffer(answer.score, "<f8")
    return score if answer.width == 1 else score.reshape(-1, answer.width)


def rows_of(entry: Entry, answer: Answer) -> Sequence[int]:
    return range(entry.count) if answer.rows is None else answer.rows


def flatten(entries: Sequence[Entry]) -> Logged:
    """One entry a row and version, ordered by (event, id, role). A column that a request lacks is unknown there."""
    parts: dict[str, list[Any]] = {name: [] for name in Logged._fields if name not in ("inputs", "score")}
    scores: list[NDArray[np.float64]] = []
    takes: list[tuple[Entry, NDArray[np.intp]]] = []
    for entry in entries:
        for answer in entry.answers:
            rows = rows_of(entry, answer)
            count = len(rows)
            parts["id"] += [f"{entry.request}:{row}" for row in rows]
            parts["event"] += [entry.event[row] for row in rows]
            parts["key"] += [entry.key[row] for row in rows]
            parts["version"] += [answer.version] * count
            parts["role"] += [answer.role] * count
            parts["table"] += [entry.table] * count
            parts["weight"] += [answer.weight] * count
            parts["latency_us"] += [entry.latency_us] * count
            parts["at"] += [entry.at] * count
            parts["failed"] += [place in answer.faults for place in range(count)]
            scores.append(unpack_score(answer))
            takes.append((entry, np.asarray(rows, np.intp)))
    logged = Logged(
        id=_texts(parts["id"]),
        event=np.array(parts["event"], np.int64),
        version=np.array(parts["version"], np.int64),
        role=_texts(parts["role"]),
        table=np.array(parts["table"], np.int64),
        weight=np.array(parts["weight"], np.int64),
        score=_scores(scores),
        failed=np.array(parts["failed"], np.bool_),
        latency_us=np.array(parts["latency_us"], np.int64),
        at=np.array(parts["at"], np.int64),
        key=_texts(parts["key"]),
        inputs=_inputs(takes),
    )
    return ordered(logged)


def ordered(logged: Logged) -> Logged:
    """In order of (event, id, role, version)."""
    if len(logged.id) < 2:
        return logged
    order = np.lexsort((logged.version, logged.role.astype(str), logged.id.astype(str), logged.event))
    return take(logged, order)


def take(logged: Logged, places: NDArray[Any]) -> Logged:
    """The entries at `places` (indices or a mask)."""
    inputs = {name: values[places] for name, values in logged.inputs.items()}
    plain = {name: getattr(logged, name)[places] for name in Logged._fields if name != "inputs"}
    return Logged(**plain, inputs=inputs)


def join(parts: Sequence[Logged]) -> Logged:
    """Several as one, ordered again."""
    parts = [part for part in parts if len(part.id)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    counts = [len(part.id) for part in parts]
    inputs = join_columns([part.inputs for part in parts], counts)
    plain = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Logged._fields
        if name not in ("inputs", "score")
    }
    return ordered(Logged(**plain, score=_scores([part.score for part in parts]), inputs=inputs))


def first_of_each(logged: Logged) -> Logged:
    """Each answer once: a row is answered by one arm, and by each shadow once; the first entry counts."""
    names = [
        f"{role}{version if role == 'shadow' else ''} {id}"
        for id, role, version in zip(logged.id, logged.role, logged.version, strict=True)
    ]
    if len(set(names)) == len(names):
        return logged
    return take(logged, np.sort(np.unique(np.array(names), return_index=True)[1]))


def join_columns(parts: Sequence[Mapping[str, NDArray[Any]]], counts: Sequence[int]) -> Columns:
    """Columns end to end; where a part lacks one it is unknown (NaN or None)."""
    names = dict.fromkeys(name for part in parts for name in part)
    found: Columns = {}
    for name in names:
        have = [part.get(name) for part in parts]
        text = any(values is not None and values.dtype.kind == "O" for values in have)
        pieces = [
            (np.full(count, None, object) if text else np.full(count, np.nan))
            if values is None
            else (values.astype(object) if text else values)
            for values, count in zip(have, counts, strict=True)
        ]
        found[name] = np.concatenate(pieces) if pieces else np.empty(0)
    return found


def _inputs(takes: Sequence[tuple[Entry, NDArray[np.intp]]]) -> Columns:
    unpacked: dict[int, Columns] = {}
    parts: list[Columns] = []
    for entry, rows in takes:
        whole = unpacked.get(id(entry))
        if whole is None:
            whole = unpacked[id(entry)] = {name: unpack(column) for name, column in entry.inputs.items()}
        parts.append(whole if len(rows) == entry.count else {name: values[rows] for name, values in whole.items()})
    return join_columns(parts, [len(rows) for _, rows in takes])


def _scores(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    if not parts:
        return np.empty(0, np.float64)
    width = max(1 if part.ndim == 1 else part.shape[1] for part in parts)
    if width == 1:
        return np.concatenate(parts)
    wide = [part if part.ndim == 2 else np.full((len(part), width), np.nan) for part in parts]
    return np.concatenate(wide)


def _texts(values: Sequence[str | None]) -> NDArray[np.object_]:
    found = np.empty(len(values), object)
    found[:] = values
    return found
