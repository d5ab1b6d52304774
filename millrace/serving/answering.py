"""Answering: a batch of requests becomes answers, which are on the log before anybody sees them.

Requests that wait together are scored together, one call a version. A row that fails is that row's error; a request
that cannot be read never gets here. A repeated request is answered from the log.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, few, misnamed, nearest
from millrace.serving import rules
from millrace.serving.entry import Answer, Column, Entry, Role, pack, rows_of, unpack_score
from millrace.serving.records import WHOLE, Arm, Logged
from millrace.serving.resident import Loaded, Resident, Served

_log = logging.getLogger("millrace.serving")
Values = Mapping[str, Any]  # lists as a client sends them; features of many rows come as arrays
_LARGEST = 1 << 63
_FEW = 32
_CELLS = frozenset({int, float, bool, str, type(None)})


class Asked(NamedTuple):
    """One request: columns of `rows` values each. `own` says that the client named it, so it may be a repetition.

    `event` are the rows' event times where they are no column; `pinned` asks one version, 0 the routing table.
    """

    request: str
    own: bool
    columns: Values
    rows: int
    event: list[Micros] | None = None
    pinned: int = 0
    started: float = 0.0


class Answered(NamedTuple):
    """Per row: the version that answered, its score (a float, a list for several classes, None where it failed)."""

    request: str
    versions: list[int]
    scores: list[Any]
    faults: dict[int, str]

    @property
    def ids(self) -> list[str]:
        return [f"{self.request}:{row}" for row in range(len(self.versions))]


class _Share(NamedTuple):
    """The rows of a batch that one version answers in one role."""

    role: Role
    version: int
    weight: int
    rows: list[int]  # places in the batch


class _Scored(NamedTuple):
    scores: NDArray[np.float64]
    faults: dict[int, str]  # by place among the share's rows


def check_request(id: str) -> str:
    """`id` itself if a client may name a request so. Errors: `request.invalid`."""
    if not 1 <= len(id) <= 200 or not id.isprintable():
        raise MillraceError(
            "request.invalid", f"{id[:60]!r} cannot be a request's id", "use 1 to 200 printable characters"
        )
    return id


def check_lengths(lengths: Mapping[str, int]) -> None:
    """Errors: `request.invalid`, naming how many values each has, unless each has one a row and there are rows."""
    by_length: dict[int, list[str]] = {}
    for name, length in lengths.items():
        by_length.setdefault(length, []).append(repr(name))
    if len(by_length) == 1 and not by_length.get(0):
        return
    told = "; ".join(f"{few(names)} {length}"
                     for length, names in sorted(by_length.items(), reverse=True))  # fmt: skip
    message = f"the inputs differ in how many values they have: {told}" if len(by_length) > 1 else "no rows were sent"
    raise MillraceError("request.invalid", message, "one value a row in each, null where unknown")


def infinite(name: str, row: int) -> MillraceError:
    """The error for an infinite input."""
    return MillraceError(
        "prediction.infinite", f"the input {name!r} is infinite in row {row}", "send null, or cut it to a range"
    )


def check_cells(columns: Values) -> None:
    """Errors: `frame.column` for a cell that is no number, truth, text or null, or a whole number beyond 64 bits;
    `prediction.infinite`."""
    for name, values in columns.items():
        kinds = set(map(type, values))
        large = int in kinds and any(type(cell) is int and not -_LARGEST <= cell < _LARGEST for cell in values)
        if large or not kinds <= _CELLS:
            raise MillraceError("frame.column", f"the column {name!r} holds what no column can", "send plain values")
        if float in kinds and (math.inf in values or -math.inf in values):
            raise infinite(name, next(row for row, cell in enumerate(values) if cell in (math.inf, -math.inf)))


def check(served: Served, asked: Asked) -> None:
    """Errors: `frame.column` for a column that is missing or of another kind, `version.unknown` for a pinned version
    that is not served, `request.invalid` without event times, or for one that cannot be in microseconds."""
    columns = asked.columns
    for name in [name for name in served.asked if name not in columns]:
        if name != served.endpoint.event or asked.event is None:
            raise MillraceError("frame.column", f"the column {name!r} is missing", misnamed(name, columns))
    for name, kind in served.kinds.items():
        odd = name in columns and (type(columns[name][0]) is str) != (kind == "text")
        if odd and _kind(columns[name]) not in (kind, ""):
            raise MillraceError(
                "frame.column", f"the column {name!r} is not of {kind}s", f"send {kind}s, null where unknown"
            )
    if asked.pinned and asked.pinned not in served.loaded:
        known = [str(number) for number in served.loaded]
        raise MillraceError(
            "version.unknown", f"version {asked.pinned} is not served at {served.endpoint.name!r}",
            nearest(str(asked.pinned), known),
        )  # fmt: skip
    events = _events(served, asked, 0)
    rules.check_event(min(events))
    rules.check_event(max(events))


def answer(resident: Resident, served: Served, batch: Sequence[Asked]) -> list[Answered | MillraceError]:
    """Answer checked requests, in order; a defect of one is its own. Errors: `log.full`, `log.unwritable`."""
    if not any(asked.own for asked in batch):
        return _each(resident, served, batch)
    found: list[Answered | MillraceError | None] = [_repeated(served, asked) for asked in batch]
    first: dict[str, int] = {}
    for place, asked in enumerate(batch):
        if found[place] is None:
            first.setdefault(asked.request, place)
    fresh = [place for request, place in first.items()]
    if fresh:
        for place, answered in zip(fresh, _each(resident, served, [batch[p] for p in fresh]), strict=True):
            found[place] = answered
    for place, asked in enumerate(batch):
        if found[place] is None:
            found[place] = _repeated(served, asked)
    return [item if item is not None else _lost() for item in found]


def _each(resident: Resident, served: Served, batch: Sequence[Asked]) -> list[Answered | MillraceError]:
    """`_fresh`, and if that fails one request at a time, so that no caller's fault is another's."""
    try:
        return list(_fresh(resident, served, batch))
    except MillraceError as fault:
        if len(batch) == 1 or fault.code.startswith("log."):
            return [fault] * len(batch)
    except Exception:
        _log.exception("a batch of %d requests failed", len(batch))
        if len(batch) == 1:
            return [MillraceError("internal.fault", "a defect in Millrace; see the server's log")]
    return [answered for asked in batch for answered in _each(resident, served, [asked])]


def digest(asked: Asked) -> bytes:
    """Eight bytes that stand for what was asked."""
    return blake3(msgspec.msgpack.encode((asked.columns, asked.event, asked.pinned))).digest(8)


def _fresh(resident: Resident, served: Served, batch: Sequence[Asked]) -> Sequence[Answered | MillraceError]:
    """Score the batch and log it; what another process answered meanwhile is answered as it was there."""
    now = resident.ground.clock.now()
    events = [event for asked in batch for event in _events(served, asked, now)]
    keys = [key for asked in batch for key in _keys(served, asked)]
    columns = _joined(batch)
    if served.views:
        at = np.array(events, np.int64)
        added = resident.enrich(resident.ground, served.workspace, served.views, columns, at)
        columns = {**columns, **{name: _light(values) for name, values in added.items() if name not in columns}}
    shares = _shares(served, batch, keys)
    scored = [_score(served.loaded[share.version], columns, share.rows, len(events)) for share in shares]
    entries: list[Entry] = []
    answers: list[Answered] = []
    start, whole = 0, len(batch) == 1
    for asked in batch:
        end = start + asked.rows
        parts = [_part(share, result, start, end) for share, result in zip(shares, scored, strict=True)]
        kept = [part for part in parts if part is not None]
        latency = int((perf_counter() - asked.started) * 1e6)
        mine = columns if whole else {name: columns[name][start:end] for name in served.kinds if name in columns}
        inputs = {
            name: Column("t" if kind == "text" else "f", values) if type(values := mine[name]) is list else pack(values)
            for name, kind in served.kinds.items()
            if name in mine
        }
        entries.append(
            Entry(
                asked.request, digest(asked) if asked.own else b"", now, latency, served.table.number,
                asked.rows, events[start:end], keys[start:end], kept, inputs,
            )
        )  # fmt: skip
        answers.append(_answered(entries[-1]))
        start = end
    taken = served.log.append(entries)
    if not taken:
        return answers
    return [
        (_repeated(served, asked) or _lost()) if asked.request in taken else answered
        for asked, answered in zip(batch, answers, strict=True)
    ]


def _light(values: NDArray[Any]) -> Any:
    """A feature's column in the form that costs least: a list for few rows, an array for many."""
    return values.tolist() if len(values) <= _FEW else values


def _taken(values: Any, rows: list[int]) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def _shares(served: Served, batch: Sequence[Asked], keys: list[str]) -> list[_Share]:
    """Who answers which rows: the routing table by their keys, or the version that was asked for."""
    groups: dict[tuple[Role, int, int], list[int]] = {}
    unpinned: list[int] = []
    start = 0
    for asked in batch:
        places = range(start, start + asked.rows)
        start += asked.rows
        if asked.pinned:
            groups.setdefault(("pinned", asked.pinned, 0), []).extend(places)
            continue
        unpinned += places
        arms = _routed(served, keys[places.start : places.stop])
        for place, arm in zip(places, arms, strict=True):
            groups.setdefault(("arm", arm.number, arm.weight), []).append(place)
    if unpinned:
        for number in served.table.shadows:
            groups["shadow", number, 0] = unpinned
    return [_Share(role, version, weight, rows) for (role, version, weight), rows in groups.items()]


def _routed(served: Served, keys: list[str]) -> list[Arm]:
    arms = served.table.arms
    if len(arms) == 1 and arms[0].weight == WHOLE:
        return [arms[0]] * len(keys)
    return rules.route(served.table, keys)


def _score(loaded: Loaded, columns: Values, rows: list[int], total: int) -> _Scored:
    """One call for all rows; where it fails, one for each, so that a row's fault is its own."""
    mine = columns if len(rows) == total else {
        name: _taken(columns[name], rows) for name in loaded.encoder.names if name in columns
    }  # fmt: skip
    try:
        scores = loaded.scorer.score(loaded.encoder.matrix(mine, len(rows)))
    except Exception as fault:  # a model may raise anything
        if len(rows) == 1:
            return _Scored(_none(loaded, 1), {0: _told(fault)})
        return _score_each(loaded, mine, len(rows))
    return _Scored(scores, dict.fromkeys(_not_finite(scores), "the model's answer is not a number"))


def _not_finite(scores: NDArray[np.float64]) -> list[int]:
    """The rows whose answer is not finite, in each of its classes."""
    if scores.size <= _FEW:  # what NumPy does costs more than these
        finite = [math.isfinite(score) for score in scores.ravel().tolist()]
        if all(finite):
            return []
    good = np.isfinite(scores)
    return np.flatnonzero(~(good if scores.ndim == 1 else good.all(axis=1))).tolist()


def _score_each(loaded: Loaded, columns: Values, rows: int) -> _Scored:
    parts = [_score(loaded, {name: [values[row]] for name, values in columns.items()}, [0], 1) for row in range(rows)]
    faults = {row: fault for row, part in enumerate(parts) for fault in part.faults.values()}
    return _Scored(np.concatenate([part.scores for part in parts]), faults)


def _part(share: _Share, scored: _Scored, start: int, end: int) -> Answer | None:
    """The share's answers to the rows [start, end) of the batch."""
    mine = [place for place, row in enumerate(share.rows) if start <= row < end]
    if not mine:
        return None
    rows = [share.rows[place] - start for place in mine]
    whole = len(rows) == end - start
    scores = scored.scores if len(mine) == len(share.rows) else scored.scores[mine]
    faults = {nth: scored.faults[place] for nth, place in enumerate(mine) if place in scored.faults}
    width = 1 if scores.ndim == 1 else scores.shape[1]
    return Answer(share.role, share.version, share.weight, None if whole else rows, scores.tobytes(), width, faults)


def _answered(entry: Entry) -> Answered:
    """The answer that an entry tells, without its shadows."""
    versions = [0] * entry.count
    scores: list[Any] = [None] * entry.count
    faults: dict[int, str] = {}
    for answer in entry.answers:
        if answer.role == "shadow":
            continue
        for place, (row, score) in enumerate(zip(rows_of(entry, answer), unpack_score(answer).tolist(), strict=True)):
            versions[row] = answer.version
            if place in answer.faults:
                faults[row] = answer.faults[place]
            else:
                scores[row] = score
    return Answered(entry.request, versions, scores, faults)


def _repeated(served: Served, asked: Asked) -> Answered | MillraceError | None:
    """What a request of that id was answered before. An error if it asked something else then."""
    found = served.log.find(asked.request) if asked.own else None
    if found is None:
        return None
    if isinstance(found, Logged):
        return _from_sealed(asked.request, found)
    if found.body != digest(asked):
        return MillraceError(
            "idempotency.mismatch", f"the request id {asked.request!r} was used for another request", "use a new id"
        )
    return _answered(found)


def _from_sealed(request: str, logged: Logged) -> Answered:
    rows = {int(id.rpartition(":")[2]): place for place, id in enumerate(logged.id) if logged.role[place] != "shadow"}
    places = [rows[row] for row in range(len(rows))]
    faults = {row: "failed when it was first asked" for row, place in enumerate(places) if logged.failed[place]}
    scores = [None if logged.failed[place] else logged.score[place].tolist() for place in places]
    return Answered(request, [int(logged.version[place]) for place in places], scores, faults)


def _events(served: Served, asked: Asked, now: Micros) -> list[Micros]:
    name = served.endpoint.event
    if asked.event is not None:
        return asked.event
    if not name:
        return [now] * asked.rows
    values = list(asked.columns[name])
    if any(type(value) is not int for value in values):
        raise MillraceError(
            "request.invalid", f"the event times in {name!r} are not whole numbers", "send microseconds since 1970, UTC"
        )
    return values


def _keys(served: Served, asked: Asked) -> list[str]:
    name = served.endpoint.key
    if not name:
        return [f"{asked.request}:{row}" for row in range(asked.rows)]
    return [str(value) for value in asked.columns[name]]


def _joined(batch: Sequence[Asked]) -> Values:
    """The requests' columns end to end; a column that one lacks is unknown there."""
    if len(batch) == 1:
        return batch[0].columns
    names = dict.fromkeys(name for asked in batch for name in asked.columns)
    return {
        name: [value for asked in batch for value in asked.columns.get(name, [None] * asked.rows)] for name in names
    }


def _kind(values: Sequence[Any]) -> str:
    for value in values:
        if value is not None:
            return "text" if isinstance(value, str) else "number"
    return ""


def _none(loaded: Loaded, rows: int) -> NDArray[np.float64]:
    classes = len(loaded.scorer.signature.classes)
    wide = loaded.scorer.signature.task == "classes"
    return np.full((rows, classes) if wide else rows, math.nan)


def _told(fault: Exception) -> str:
    return fault.message if isinstance(fault, MillraceError) else f"{type(fault).__name__}: {str(fault)[:200]}"


def _lost() -> MillraceError:
    return MillraceError("log.unwritable", "an answer is not on the log", "ask again")
