"""The additive summary of a window: counts in fixed cells, a few moments, distinct counts. No row is kept.

Claim: `merge_profiles` of the profiles of any split of the rows, in any order, on any servers, has exactly the counts
and registers of the profile of all rows together, and its moments to rounding. Unit: a row. A profile speaks only
under the `Layout` it was counted with, which it names by digest. Breaks: merging the same rows twice counts them twice.

Counting is branch-free: a value's cell among 64 uneven edges comes from a table over 2,048 even steps, and only values
that share a step with an edge are compared.
Sources: Chan, Golub & LeVeque, "Updating formulae", 1979, for moments that add; Flajolet, Fusy, Gandouet & Meunier 2007
for the registers of `distinct.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, reduce
from itertools import repeat
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from millrace.base.errors import MillraceError, nearest
from millrace.stats import bins as cells
from millrace.stats import columns as cols
from millrace.stats import distinct
from millrace.stats.bins import Bins, CategoryBins, ImageBins, Layout, NumberBins, TextBins, VectorBins
from millrace.stats.edges import LARGEST
from millrace.stats.verdict import Floats, Ints

CHUNK = 16_384  # rows that stay in the nearest cache while several passes read them
STEPS = 2_048


class Summary(Struct, frozen=True, eq=False):
    """One counted part of a column.

    `counts` int64 (cells of its bins,), of which the last is missing = null or NaN; `nan`, `infinite` (beyond ±1e150
    too; they lie in the under and over cells) and `zero` are parts of them. `finite` rows have `mean`, `m2` (the sum
    of squared differences from it), `minimum` and `maximum` (0, 0, +inf, -inf without any; categories have none).
    `registers` uint8 (1024,) count different values.
    """

    counts: Ints
    registers: distinct.Bytes
    nan: int = 0
    infinite: int = 0
    zero: int = 0
    finite: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        return int(self.counts[-1])

    @property
    def distinct(self) -> float:
        """About how many different values came (3.3 %)."""
        return distinct.estimate(self.registers)

    @property
    def sd(self) -> float:
        """The standard deviation of the finite values; 0 for fewer than two."""
        return math.sqrt(self.m2 / (self.finite - 1)) if self.finite > 1 else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Summary):
            return NotImplemented
        return (
            np.array_equal(self.counts, other.counts)
            and np.array_equal(self.registers, other.registers)
            and all(getattr(self, f) == getattr(other, f) for f in self.__struct_fields__[2:])
        )

    __hash__ = None  # type: ignore[assignment]


class Profile(Struct, frozen=True):
    """The summaries of a window: `parts` in the order of `Layout.parts()`, for `rows` rows, under `layout`'s digest."""

    layout: str
    rows: int
    parts: dict[str, Summary]

    def cells(self) -> Floats:
        """All counts in a row: float64 (cells of the layout,)."""
        return np.concatenate([np.zeros(0), *(s.counts.astype(np.float64) for s in self.parts.values())])


def profile(columns: Mapping[str, Any], layout: Layout) -> Profile:
    """The profile of a window's rows.

    `columns`: a column a name, all of one length; what each may be is said in `millrace.stats.columns`. Columns that
    the layout lacks are left out; a column that the rows lack counts as missing in every row.
    Errors: stats.data (a type that cannot be counted in the layout's cells), stats.shape (lengths).
    """
    rows = cols.rows_of(columns)
    if rows and not any(name in columns for name in layout.columns):
        known = list(layout.columns)
        raise MillraceError("stats.data", f"no column of {sorted(columns)[:8]} is in the layout",
                            nearest(str(next(iter(columns))), known))  # fmt: skip
    parts: dict[str, Summary] = {}
    for name, bins in layout.columns.items():
        if name not in columns:
            parts.update(_nothing(name, bins, rows))
        else:
            parts.update(_column(name, bins, columns[name]))
    return Profile(layout.digest, rows, parts)


def empty_profile(layout: Layout) -> Profile:
    """The profile of no rows: `merge_profiles` with it changes nothing."""
    return profile({}, layout)


def merge_profiles(first: Profile, *others: Profile) -> Profile:
    """The profile of all the windows' rows together. Errors: stats.shape when the layouts differ."""
    return reduce(_merge, others, first)


def _merge(a: Profile, b: Profile) -> Profile:
    if a.layout != b.layout:
        hint = "count both windows with the same layout; profiles of different layouts cannot be added"
        raise MillraceError("stats.shape", f"profiles under layouts {a.layout} and {b.layout}", hint)
    return Profile(a.layout, a.rows + b.rows, {n: merge_summaries(s, b.parts[n]) for n, s in a.parts.items()})


def merge_summaries(a: Summary, b: Summary) -> Summary:
    """The summary of both."""
    finite = a.finite + b.finite
    apart = b.mean - a.mean
    return Summary(
        a.counts + b.counts,
        distinct.merge(a.registers, b.registers),
        a.nan + b.nan,
        a.infinite + b.infinite,
        a.zero + b.zero,
        finite,
        (a.finite * a.mean + b.finite * b.mean) / finite if finite else 0.0,
        a.m2 + b.m2 + (apart * apart * (a.finite * b.finite / finite) if finite else 0.0),
        min(a.minimum, b.minimum),
        max(a.maximum, b.maximum),
    )


def _nothing(name: str, bins: Bins, rows: int) -> dict[str, Summary]:
    inner = {name: bins} if isinstance(bins, NumberBins | CategoryBins) else {
        f"{name}.{part}": b for part, b in bins.parts.items()
    }  # fmt: skip
    found = {}
    for part, b in inner.items():
        counts = np.zeros(b.cells, np.int64)
        counts[-1] = rows
        found[part] = Summary(counts, distinct.empty())
    return found


def _column(name: str, bins: Bins, values: Any) -> dict[str, Summary]:
    if isinstance(bins, NumberBins):
        array, nulls = cols.plain_numbers(values, name)
        return {name: count_numbers(array, bins, nulls)}
    if isinstance(bins, CategoryBins):
        return {name: count_labels(values, bins)}
    if isinstance(bins, TextBins):
        parts = cells.measures("text", values, name, bins.words)
    elif isinstance(bins, VectorBins):
        width = cols.width_of(values, name) or bins.width
        if width != bins.width:
            hint = "vectors of another width come from another model: make a new layout"
            raise MillraceError("stats.shape", f"column {name!r} has {width} numbers, not {bins.width}", hint)
        parts = cells.measures("vector", values, name, b"")
    else:
        assert isinstance(bins, ImageBins)
        parts = cells.measures("image", values, name, b"")
    nan = np.full(len(values), np.nan)
    return {f"{name}.{part}": count_numbers(parts.get(part, nan), inner) for part, inner in bins.parts.items()}


class _Table(Struct, frozen=True, eq=False):
    """Even steps over the inner edges: the edges below each step, and whether more than one lies in it."""

    edges: Floats
    low: float
    scale: float
    below: NDArray[np.intp]
    crowded: NDArray[np.bool_]
    any_crowded: bool


@lru_cache(maxsize=1024)
def _table(edge: tuple[float, ...]) -> _Table:
    edges = np.asarray(edge)
    inner = edges[1:-1] if edges.size > 3 else edges
    low, high = (float(inner[0]), float(inner[-1])) if inner.size else (0.0, 0.0)
    scale = (STEPS - 2) / (high - low) if high > low else 1.0
    if not math.isfinite(scale):
        scale = 1.0
    step = _step(edges, low, scale)
    inside = np.bincount(step, minlength=STEPS)
    below = np.concatenate([[0], np.cumsum(inside)[:-1]]).astype(np.intp)
    return _Table(edges, low, scale, below, inside > 1, bool((inside > 1).any()))


def _step(values: Floats, low: float, scale: float) -> NDArray[np.intp]:
    """The step of each value: each operation is monotone in floating point, so steps are in the order of values."""
    with np.errstate(over="ignore"):  # an infinite step is clipped to the last one
        position = values - low
        position *= scale
    position += 1.0
    np.clip(position, 0.0, STEPS - 1.0, out=position)
    return position.astype(np.intp)


def _cells(values: Floats, table: _Table) -> NDArray[np.intp]:
    """How many edges lie below each value: `searchsorted(edges, values, side="left")` without a search."""
    if not table.edges.size:
        return np.zeros(values.size, np.intp)
    step = _step(values, table.low, table.scale)
    cell = table.below.take(step)
    cell += values > table.edges.take(cell, mode="clip")
    if table.any_crowded:
        again = np.flatnonzero(table.crowded.take(step))
        if again.size:
            cell[again] = np.searchsorted(table.edges, values[again], side="left")
    np.minimum(cell, table.edges.size, out=cell)
    return cell


def count_numbers(array: NDArray[Any], bins: NumberBins, nulls: int = 0) -> Summary:
    """The summary of a numeric array (rows,), of which `nulls` more rows were missing."""
    table = _table(bins.cuts)
    counts = np.zeros(bins.cells, np.int64)
    seen = distinct.marks()
    nan = infinite = nonzero = finite = 0
    mean = m2 = 0.0
    minimum, maximum = math.inf, -math.inf
    whole = array.dtype.kind in "iu"
    for start in range(0, array.size, CHUNK):
        raw = array[start : start + CHUNK]
        with np.errstate(over="ignore"):  # what a wider float holds beyond float64 counts as infinite
            x = raw if raw.dtype == np.float64 else raw.astype(np.float64)
        low, high = float(x.min()), float(x.max())
        if high != high:
            there = x == x
            nan += x.size - int(there.sum())
            x = x[there]
            if not x.size:
                continue
            low, high = float(x.min()), float(x.max())
        counts[:-1] += np.bincount(_cells(x, table), minlength=bins.cells - 1)
        exact = whole and (low <= -(2.0**53) or high >= 2.0**53)
        distinct.mark(seen, distinct.of_integers(raw) if exact else distinct.of_numbers(x))
        nonzero += int(np.count_nonzero(x))
        if low < -LARGEST or high > LARGEST:
            inside = np.abs(x) <= LARGEST
            infinite += x.size - int(inside.sum())
            x = x[inside]
            if not x.size:
                continue
            low, high = float(x.min()), float(x.max())
        minimum, maximum = min(minimum, low), max(maximum, high)
        own = float(x.sum()) / x.size
        off = x - own
        apart = own - mean
        total = finite + x.size
        off *= off  # not a dot product: BLAS would wake its threads for it
        m2 += float(off.sum()) + apart * apart * (finite * x.size / total)
        mean += apart * (x.size / total)
        finite = total
    counts[-1] = nulls + nan
    zero = array.size - nan - nonzero
    return Summary(counts, distinct.registers(seen), nan, infinite, zero, finite, mean, m2, minimum, maximum)


@lru_cache(maxsize=512)
def _level_index(levels: tuple[str, ...]) -> dict[str, int]:
    return {level: i for i, level in enumerate(levels)}


def count_labels(values: Any, bins: CategoryBins) -> Summary:
    """The summary of a category column, any form that `columns.counts` takes."""
    index = _level_index(bins.levels)
    size = len(bins.levels)
    rest = cells.codes_array(bins.rest)
    counts = np.zeros(bins.cells, np.int64)
    seen = distinct.marks()
    for chunk in cols.chunks(values, 1 << 16):
        labels, numbers, lost = cols.counts(chunk)
        counts[-1] += lost
        where = np.fromiter(map(index.get, labels, repeat(-1)), np.int64, len(labels))
        each = np.asarray(numbers, np.int64)
        codes = np.fromiter(map(distinct.text_code, labels), np.uint64, len(labels))
        distinct.mark(seen, distinct.mix(codes))
        strange = where < 0
        if strange.any():
            known = np.isin(codes[strange].astype(np.int64), rest) if not bins.open else True
            where[strange] = np.where(known, size, size + 1)
        counts[: size + 2] += np.bincount(where, weights=each, minlength=size + 2).astype(np.int64)
    return Summary(counts, distinct.registers(seen))
