"""Have inputs or predictions changed? Each block's rows are counted in fixed cells, and a watch compares the counts.

The cells are made once, from the endpoint's first blocks; rows are not kept. Predictions are one more column.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from millrace.access.context import Ground
from millrace.base.clock import SECOND, Micros
from millrace.monitoring.outcomes import Outcomes
from millrace.stats.bins import Layout, layout
from millrace.stats.drift import Drift, drift_pack, drift_start, drift_unpack, drift_update
from millrace.stats.profile_packing import pack_profile
from millrace.stats.profiles import Profile, profile
from millrace.stats.verdict import Verdict

PREDICTION = "prediction"
_HOUR_S, _WEEK_S = 3_600, 604_800


class Watch(NamedTuple):
    """The cells of an endpoint's columns, and the watch's state after the last block."""

    layout: Layout
    state: Drift


class Moved(NamedTuple):
    """What one block showed: the verdict, and the columns it names."""

    verdict: Verdict
    columns: tuple[str, ...]


def can_watch(block_s: int) -> bool:
    """Blocks of an hour to a week that divide a week can be watched for drift."""
    return _HOUR_S <= block_s <= _WEEK_S and _WEEK_S % block_s == 0


def columns_of(rows: Outcomes) -> dict[str, Any]:
    """What is counted: the inputs of all rows, and what was served; NaN where nothing was."""
    there = rows.served >= 0
    answered = np.full(len(rows.id), np.nan)
    if len(rows.versions):
        answered[there] = rows.score[np.flatnonzero(there), rows.served[there]]
    return {**rows.inputs, PREDICTION: answered}


def begin(days: Sequence[tuple[Micros, Mapping[str, Any]]], block_s: int) -> tuple[Watch, list[Profile]]:
    """A watch that has seen `days`, (block's start, columns) in order; and their profiles."""
    names = [name for name in days[0][1] if all(name in columns for _, columns in days)]
    every = {name: np.concatenate([np.asarray(columns[name]) for _, columns in days]) for name in names}
    cells = layout(every)
    seen = [profile(columns, cells) for _, columns in days]
    history = [(start, counted) for (start, _), counted in zip(days, seen, strict=True)]
    return Watch(cells, drift_start(cells, window_us=block_s * SECOND, history=history)), seen


def follow(watch: Watch, since: Micros, columns: Mapping[str, Any]) -> tuple[Watch, Profile, Moved]:
    """The watch after the block that began at `since`."""
    counted = profile(columns, watch.layout)
    state, report = drift_update(watch.state, watch.layout, since, counted, quick=True)
    if report.verdict.decision == "alarm":
        state, report = drift_update(watch.state, watch.layout, since, counted)
    return Watch(watch.layout, state), counted, Moved(report.verdict, report.named)


def pack(watch: Watch) -> tuple[bytes, bytes]:
    """The watch as bytes: its cells, its state."""
    return packed_cells(watch.layout), drift_pack(watch.state)


def unpack(ground: Ground, packed: tuple[bytes, bytes]) -> Watch:
    """The watch behind `pack`."""
    return Watch(cells_of(ground, packed[0]), drift_unpack(packed[1]))


def packed_cells(cells: Layout) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(cells), 3)


def cells_of(ground: Ground, packed: bytes) -> Layout:
    """Cells that were packed; decoded ones are kept in memory."""
    return ground.memory.keep(
        lambda: msgspec.msgpack.decode(zlib.decompress(packed), type=Layout),
        "monitoring", "layout", str(zlib.crc32(packed)), str(len(packed)),
    )  # fmt: skip


def packed_profile(counted: Profile) -> bytes:
    return pack_profile(counted)
