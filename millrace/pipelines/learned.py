"""What a model learned from, as counts: a profile a week of its training rows, kept in its tree as ``training.bin``.

Monitoring compares what is served with it. No row is kept, and it costs a few hundred bytes a column and week.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from millrace.base.clock import DAY, Micros
from millrace.stats.bins import Layout, layout
from millrace.stats.profile_packing import pack_profile, unpack_profile
from millrace.stats.profiles import Profile, profile
from millrace.store import tree as trees

if TYPE_CHECKING:
    from millrace.store.blobs import Blobs, Digest

FILE = "training.bin"
WEEK = 7 * DAY
_MOST = 200  # weeks; of longer trainings the newest


class Learned(NamedTuple):
    """The cells that the training rows are counted in, and (beginning, profile) of each week, in order."""

    layout: Layout
    weeks: list[tuple[Micros, Profile]]


def pack(columns: Mapping[str, NDArray[Any]], at: NDArray[np.int64]) -> bytes | None:
    """The training rows, `columns` (n,) each at its moment `at` (n,) int64 micros, as bytes; None of no rows."""
    if not len(at) or not columns:
        return None
    cells = layout(columns)
    week = at // WEEK
    weeks = []
    for number in np.unique(week)[-_MOST:].tolist():
        mine = week == number
        counted = profile({name: values[mine] for name, values in columns.items()}, cells)
        weeks.append((number * WEEK, pack_profile(counted)))
    return zlib.compress(msgspec.msgpack.encode((cells, weeks)), 3)


def read(blobs: Blobs, tree: Digest) -> Learned | None:
    """What the model of a tree learned from; None for a model that does not say. Errors: `blob.corrupt`."""
    entry = next((entry for entry in trees.read(blobs, tree) if entry.path == FILE), None)
    if entry is None:
        return None
    packed = zlib.decompress(blobs.get(entry.digest))
    cells, weeks = msgspec.msgpack.decode(packed, type=tuple[Layout, list[tuple[int, bytes]]])
    return Learned(cells, [(start, unpack_profile(counted)) for start, counted in weeks])
