"""Sealing: when event time has reached a block's end, its answers become one Parquet blob and one fact.

A row that is answered after its block was sealed makes a further part of it, with the next sealing. Tapes that hold
nothing else are removed once nobody follows them any more.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from time import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError
from millrace.serving import entry as entries
from millrace.serving import routes, rules, segments, tables
from millrace.serving.entry import Entry
from millrace.serving.log import Log, frames_of, logs
from millrace.serving.records import Endpoint, Logged, Segment
from millrace.serving.tape import grows

_FOLLOWED_S = 3_600


class Closed(NamedTuple):
    """A block that was sealed, or a further part of one; `rows` counts arms, shadows and pinned alike.

    `early` are the rows of a block that lies before the first one that was ever closed: nobody judges it.
    """

    segment: Segment
    versions: dict[str, dict[str, int]]  # role → version → rows
    early: tuple[str, ...] = ()


class _Unsealed(NamedTuple):
    """Frames that are not sealed as a whole, with their places."""

    tape: str
    start: int
    end: int
    entry: Entry


def advance(cx: Context, name: str, until: Micros) -> tuple[Micros | None, list[Closed]]:
    """Seal every block that ends at or before `until` (event time), and late rows of earlier ones.

    The new horizon (None while nothing was ever answered) and what was sealed, in order; one fact each. Runs inside a
    ``work`` verb. Errors: `endpoint.unknown`, `request.invalid` for too many blocks at once and a leap of over a
    year, `log.advanced` when another call sealed meanwhile.
    """
    with cx.read() as tx:
        endpoint = routes.find(tx, cx.workspace, name)
        before = tables.horizon(tx, cx.workspace, name)
        positions = tables.positions(tx, cx.workspace, name)
    log = logs(cx.ground).of(cx.workspace, endpoint)
    log.sync()
    waiting = _waiting(log, positions)
    target = rules.block_start(endpoint, until)
    events = np.array([event for item in waiting for event in item.entry.event], np.int64)
    if before is None:
        if not (events < target).any():
            return None, []
        before = rules.first_block(endpoint, events, target)
    horizon = max(before, target)
    blocks = rules.blocks(endpoint, before, horizon)
    rules.check_leap(name, int(events[events < horizon].max(initial=before)), horizon)
    fresh = _unsealed(cx, endpoint, waiting, before, horizon)
    sealed = _seal(cx, endpoint, fresh, before, blocks)
    after = _positions(log, positions, waiting, horizon)

    def write(cx: Context) -> None:
        if tables.horizon(cx.tx, cx.workspace, name) not in (None, before):
            raise MillraceError("log.advanced", f"another call sealed the log of {name!r} meanwhile", "call again")
        tables.set_horizon(cx.tx, cx.workspace, name, horizon)
        tables.set_positions(cx.tx, cx.workspace, name, after)
        for gone in positions.keys() - after.keys():
            tables.drop_position(cx.tx, cx.workspace, name, gone)
        for closed in sealed:
            tables.add_segment(cx.tx, cx.workspace, name, closed.segment)
            _tell(cx, name, closed)

    cx.commit(write)
    log.took(
        [np.frombuffer(cx.blobs.get(c.segment.index), "<u8") for c in sealed if c.segment.rows], len(sealed), after
    )
    _remove(log, after)
    return horizon, sealed


def _waiting(log: Log, positions: dict[str, int]) -> list[_Unsealed]:
    return [
        _Unsealed(path.name, frame.start, frame.end, entries.decode(frame.body))
        for path in log.tapes()
        for frame in frames_of(path, positions.get(path.name, 0))
    ]


def _unsealed(cx: Context, endpoint: Endpoint, waiting: list[_Unsealed], before: Micros, horizon: Micros) -> Logged:
    """The rows before `horizon` that no segment holds yet."""
    due = [item.entry for item in waiting if any(event < horizon for event in item.entry.event)]
    rows = entries.first_of_each(entries.flatten(due))
    kept = rows.event < horizon
    late = rows.event < before
    if late.any():
        since = int(rows.event[late].min())
        with cx.read() as tx:
            held = tables.segments(tx, cx.workspace, endpoint.name, since, before)
        starts = {rules.block_start(endpoint, event) for event in rows.event[late].tolist()}
        again = [segment.digest for segment in held if segment.rows and segment.since in starts]
        known = {id for digest in again for id in segments.load(cx.ground, digest).id}
        kept &= ~(late & np.fromiter((id in known for id in rows.id), np.bool_, len(rows.id)))
    return entries.take(rows, kept)


def _seal(
    cx: Context, endpoint: Endpoint, rows: Logged, before: Micros, blocks: list[tuple[Micros, Micros]]
) -> list[Closed]:
    """Every one of `blocks`, which begin at `before`, also an empty one, and late parts of blocks before that: part 0
    is what a block was closed with, and there is none of a block that was never closed."""
    size = endpoint.block_s * 1_000_000
    starts = rows.event - (rows.event - endpoint.day_origin) % size
    late = sorted({int(start) for start in starts[rows.event < before]})
    found: list[Closed] = []
    for since, until in [*((start, start + size) for start in late), *blocks]:
        mine = entries.take(rows, starts == since)
        with cx.read() as tx:
            held = [one.part for one in tables.segments(tx, cx.workspace, endpoint.name, since, until)]
        part = max(held, default=0 if since < before else -1) + 1
        early = tuple(mine.id.tolist()) if part and 0 not in held else ()
        count = len(mine.id)
        blob = cx.blobs.put(segments.encode(mine)) if count else ""
        if count:
            segments.remember(cx.ground, blob, mine)
        index = cx.blobs.put(_index(mine).tobytes()) if count else ""
        found.append(Closed(Segment(since, until, part, blob, index, count), _count(mine), early))
    return found


def _tell(cx: Context, name: str, closed: Closed) -> None:
    segment = closed.segment
    kind = "window.amended" if segment.part else "window.closed"
    told = {"endpoint": name, "since": segment.since, "until": segment.until, "segment": segment.digest}
    cx.fact(kind, name, {**told, "part": segment.part, "rows": segment.rows, "versions": closed.versions})


def _positions(log: Log, positions: dict[str, int], waiting: list[_Unsealed], horizon: Micros) -> dict[str, int]:
    """Each tape's offset before which every row is sealed."""
    after = {path.name: positions.get(path.name, 0) for path in log.tapes()}
    open_tapes: set[str] = set()
    for item in waiting:
        if item.tape in open_tapes:
            continue
        if all(event < horizon for event in item.entry.event):
            after[item.tape] = item.end
        else:
            open_tapes.add(item.tape)
    return after


def _remove(log: Log, positions: dict[str, int]) -> None:
    """Remove tapes that are sealed, ended, and older than any follower may be behind."""
    for path in log.tapes():
        with contextlib.suppress(FileNotFoundError):
            if _is_over(path, positions.get(path.name, 0)):
                path.unlink()


def _is_over(path: Path, position: int) -> bool:
    stat = path.stat()
    return position >= stat.st_size and time() - stat.st_mtime > _FOLLOWED_S and not grows(path)


def _index(rows: Logged) -> NDArray[np.uint64]:
    requests = sorted({str(id).rpartition(":")[0] for id in rows.id})
    return np.sort(np.array([entries.hash_of(request) for request in requests], "<u8"))


def _count(rows: Logged) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for role, version in zip(rows.role, rows.version, strict=True):
        counts = found.setdefault(role, {})
        counts[str(version)] = counts.get(str(version), 0) + 1
    return found
