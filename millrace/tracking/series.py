"""Metric points, packed: a batch as it came, and sealed segments of one series with a min/max summary beside them.

A batch holds the points of several keys, uncompressed, because it is written in a caller's time. A segment holds one
key's points in order of (step, at, value) without duplicates, as byte planes (all first bytes, then all second bytes)
behind zlib: neighbouring steps and times differ only in low bytes, so the planes nearly vanish. Its peaks hold the
smallest and largest value of every 64 points, so a long curve is drawn without being unpacked.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from millrace.tracking.records import Point

SEGMENT = 65_536
GROUP = 64
_ROW = np.dtype([("step", "<i8"), ("at", "<i8"), ("value", "<f8")])
_PEAK = np.dtype([("step", "<i8"), ("at", "<i8"), ("low", "<f8"), ("high", "<f8")])
Rows = NDArray[Any]
EMPTY: Rows = np.empty(0, _ROW)


class Segment(NamedTuple):
    """A sealed stretch of one series. `first` and `last` are its steps."""

    first: int
    last: int
    length: int
    points: bytes
    peaks: bytes


def pack_batch(points: Sequence[Point]) -> bytes:
    """A batch of points of any keys."""
    by_key: dict[str, list[tuple[int, int, float]]] = {}
    for point in points:
        value = np.nan if point.value is None else point.value
        by_key.setdefault(point.key, []).append((point.step, point.at, value))
    return msgspec.msgpack.encode({key: np.array(rows, _ROW).tobytes() for key, rows in by_key.items()})


def unpack_batch(packed: bytes) -> dict[str, Rows]:
    """The rows (step, at, value) of each key of a batch."""
    found = msgspec.msgpack.decode(packed, type=dict[str, bytes])
    return {key: np.frombuffer(raw, _ROW) for key, raw in found.items()}


def ordered(rows: Rows) -> Rows:
    """`rows` in order of (step, at, value) without duplicates."""
    kept = rows[np.lexsort((rows["value"], rows["at"], rows["step"]))]
    if len(kept) < 2:
        return kept
    same = (kept["step"][1:] == kept["step"][:-1]) & (kept["at"][1:] == kept["at"][:-1])
    value, before = kept["value"][1:], kept["value"][:-1]
    same &= (value == before) | (np.isnan(value) & np.isnan(before))
    return kept[np.concatenate(([True], ~same))]


def seal(rows: Rows) -> list[Segment]:
    """Ordered segments of `rows`, which need no order."""
    kept = ordered(rows)
    return [_segment(kept[start : start + SEGMENT]) for start in range(0, len(kept), SEGMENT)]


def unpack_points(points: bytes, count: int) -> Rows:
    """The rows of a segment."""
    planes = np.frombuffer(zlib.decompress(points), np.uint8).reshape(_ROW.itemsize, count)
    return np.ascontiguousarray(planes.T).view(_ROW).reshape(count)


def unpack_peaks(peaks: bytes) -> Rows:
    """The peaks (step, at, low, high) of a segment, one for every 64 points."""
    return np.frombuffer(zlib.decompress(peaks), _PEAK)


def peaks_of(rows: Rows, size: int) -> Rows:
    """The smallest and largest value of every `size` rows; not-a-number counts only where nothing else is."""
    starts = np.arange(0, len(rows), size)
    found = np.empty(len(starts), _PEAK)
    found["step"], found["at"] = rows["step"][starts], rows["at"][starts]
    if len(starts):
        found["low"] = np.fmin.reduceat(rows["value"], starts)
        found["high"] = np.fmax.reduceat(rows["value"], starts)
    return found


def merged_peaks(peaks: Rows, size: int) -> Rows:
    """Every `size` peaks as one."""
    starts = np.arange(0, len(peaks), size)
    found = peaks[starts].copy()
    if len(starts):
        found["low"] = np.fmin.reduceat(peaks["low"], starts)
        found["high"] = np.fmax.reduceat(peaks["high"], starts)
    return found


def _segment(rows: Rows) -> Segment:
    planes = np.ascontiguousarray(rows.view(np.uint8).reshape(len(rows), _ROW.itemsize).T)
    peaks = zlib.compress(peaks_of(rows, GROUP).tobytes(), 1)
    return Segment(int(rows["step"][0]), int(rows["step"][-1]), len(rows), zlib.compress(planes.tobytes(), 1), peaks)
