"""Is what is served still like what the champion learned from? Asked once a week, against the profile in its tree.

It tells a model's risk and is no incident: a training of two months has not seen what another season brings. The cells
are the training's own; a week counts when it was the champion's from its beginning to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from millrace.access.context import Context, Ground
from millrace.base.clock import Micros
from millrace.monitoring.drift import Moved, cells_of, packed_cells
from millrace.pipelines import learned
from millrace.pipelines.learned import WEEK
from millrace.registry import tables as registry_tables
from millrace.stats.bins import Layout
from millrace.stats.drift import Drift, drift_pack, drift_start, drift_unpack, drift_update
from millrace.stats.profile_packing import pack_profile, unpack_profile
from millrace.stats.profiles import Profile, merge_profiles, profile


class Beside(NamedTuple):
    """A champion beside its training data: the cells and the watch, None where its tree does not tell what it learned
    from; `week` is where the counted week begins, `counted` what was counted of it, and `cells` the layout as
    bytes."""

    champion: int
    layout: Layout | None
    watch: Drift | None
    week: Micros = 0
    counted: Profile | None = None
    cells: bytes = b""


def begin(cx: Context, model: str, champion: int) -> Beside:
    """A champion that comes in. Errors: `blob.corrupt`."""
    with cx.read() as tx:
        version = registry_tables.version(tx, cx.workspace, model, champion)
    found = learned.read(cx.blobs, version.tree) if version is not None else None
    if found is None:
        return Beside(champion, None, None)
    watch = drift_start(found.layout, window_us=WEEK, against="training", history=found.weeks)
    return Beside(champion, found.layout, watch, cells=packed_cells(found.layout))


def follow(
    beside: Beside, since: Micros, until: Micros, champion_since: Micros, columns: Mapping[str, Any]
) -> tuple[Beside, Moved | None]:
    """After the block from `since` to `until`, whose rows have these inputs; what the week shows once it is over."""
    cells, watch = beside.layout, beside.watch
    if cells is None or watch is None or any(name not in columns for name in cells.columns):
        return beside, None
    week = since // WEEK * WEEK
    counted = profile(columns, cells)
    if beside.counted is not None and beside.week == week:
        counted = merge_profiles(beside.counted, counted)
    if until < week + WEEK or champion_since > week:
        return beside._replace(week=week, counted=counted), None
    watch, report = drift_update(watch, cells, week, counted)
    return beside._replace(watch=watch, week=week, counted=None), Moved(report.verdict, report.named)


def pack(beside: Beside) -> tuple[bytes, bytes]:
    """As bytes: the cells, and the rest."""
    rest = (
        beside.champion, drift_pack(beside.watch) if beside.watch is not None else b"", beside.week,
        pack_profile(beside.counted) if beside.counted is not None else b"",
    )  # fmt: skip
    return beside.cells, msgspec.msgpack.encode(rest)


def unpack(ground: Ground, packed: tuple[bytes, bytes]) -> Beside:
    """What `pack` packed."""
    champion, watch, week, counted = msgspec.msgpack.decode(packed[1], type=tuple[int, bytes, int, bytes])
    cells = cells_of(ground, packed[0]) if packed[0] else None
    held = unpack_profile(counted) if counted else None
    return Beside(champion, cells, drift_unpack(watch) if watch else None, week, held, packed[0])
