"""What the arms of an endpoint answered just now, over all workers, for guards that act on the spot.

Followed by a cursor over the tapes, so a follower that keeps its cursor with its state counts each answer once, also
after a crash. Reading is in wall-time order of each worker; nothing here asks when an event happened.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.serving import routes
from millrace.serving.entry import Entry, rows_of
from millrace.serving.log import Log, logs

Cursor = dict[str, int]
"""Tape → offset read up to; JSON-able."""


class Outcomes(NamedTuple):
    """Rows that arms answered, in the order of the tapes; arrays (n,). Shadows and pinned requests are left out.

    `unit` is what routing stuck to; `weight` int64 the arm's own ten-thousandths as logged with the row; `table`
    int64 the routing table's number; `failed` bool; `latency_us` int64. `cursor` is where to go on.
    """

    cursor: Cursor
    unit: NDArray[np.object_]
    version: NDArray[np.int64]
    weight: NDArray[np.int64]
    table: NDArray[np.int64]
    failed: NDArray[np.bool_]
    latency_us: NDArray[np.int64]


def present(ground: Ground, workspace: str, endpoint: str) -> Cursor:
    """A cursor behind everything that was answered so far. Errors: `endpoint.unknown`."""
    return {path.name: path.stat().st_size for path in _log(ground, workspace, endpoint).tapes()}


def after(ground: Ground, workspace: str, endpoint: str, cursor: Cursor, table: int = 0) -> Outcomes:
    """What was answered after `cursor`, by routing tables of number `table` or later. Errors: `endpoint.unknown`."""
    entries, ends = _log(ground, workspace, endpoint).tail(cursor)
    return collect([entry for entry in entries if entry.table >= table], ends)


def collect(entries: list[Entry], cursor: Cursor) -> Outcomes:
    """The arms' rows of these entries."""
    unit: list[str] = []
    rows: list[tuple[int, int, int, bool, int]] = []
    for entry in entries:
        for answer in entry.answers:
            if answer.role != "arm":
                continue
            for place, row in enumerate(rows_of(entry, answer)):
                unit.append(entry.key[row])
                failed = place in answer.faults
                rows.append((answer.version, answer.weight, entry.table, failed, entry.latency_us))
    found = np.array(rows, np.int64).reshape(-1, 5)
    units = np.empty(len(unit), object)
    units[:] = unit
    return Outcomes(cursor, units, found[:, 0], found[:, 1], found[:, 2], found[:, 3].astype(np.bool_), found[:, 4])


def _log(ground: Ground, workspace: str, endpoint: str) -> Log:
    with ground.catalog.read() as tx:
        found = routes.find(tx, workspace, endpoint)
    return logs(ground).of(workspace, found)
