"""Where to cut a number's range: quantiles of a stream that is read once and never kept.

A profile counts in bins that a reference fixed. For the first pass, when no edges are known, `Sketch` keeps a sorted
sample whose weights double level by level. Claim: while at most `CAPACITY` finite values were seen the quantiles are
exact; beyond that the rank of a quantile is off by at most (compactions × weight), below 0.2 % of the rows up to a
billion rows in chunks of any size, far under a bin's 1/64. Minimum and maximum are always exact. Unit: a row.
Merging and batching change the sample, never the bound. Breaks: nothing short of an adversary who knows the parity
can exceed the bound; NaN and infinities are left out, they have bins of their own.

Source: Karnin, Lang, Liberty, "Optimal quantile approximation in streams", FOCS 2016, with one capacity for all
levels and alternating instead of random parity, so that the same rows give the same edges.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats

CAPACITY = 8192
BINS = 64
LARGEST = 1e150  # beyond this a square is infinite; such values are counted as infinite everywhere in a profile


class Sketch(Struct, frozen=True, eq=False):
    """A weighted sample: `levels[h]` is sorted float64, each value standing for 2^h rows; `rows` finite rows seen.

    `minimum` is +inf and `maximum` -inf until a row came. `odd[h]` says which half level h gives up next.
    """

    levels: tuple[Floats, ...] = ()
    odd: tuple[int, ...] = ()
    rows: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf


def add(sketch: Sketch, values: ArrayLike) -> Sketch:
    """`sketch` after more values, any shape, taken as float64; those not finite are left out."""
    new = np.asarray(values, np.float64).ravel()
    new = new[np.abs(new) <= LARGEST]
    if not new.size:
        return sketch
    one = Sketch((np.sort(new + 0.0),), (0,), int(new.size), float(new.min()), float(new.max()))
    return merge(sketch, one)


def merge(a: Sketch, b: Sketch) -> Sketch:
    """The sketch of both streams."""
    height = max(len(a.levels), len(b.levels))
    levels = [np.concatenate([s.levels[h] for s in (a, b) if h < len(s.levels)]) for h in range(height)]
    odd = [_at(a.odd, h) ^ _at(b.odd, h) for h in range(height)]
    h = 0
    while h < len(levels):
        level = np.sort(levels[h])
        if level.size > CAPACITY:
            if h + 1 == len(levels):
                levels.append(np.empty(0))
                odd.append(0)
            even = level.size - level.size % 2
            levels[h + 1] = np.concatenate([levels[h + 1], level[odd[h] : even : 2]])
            odd[h] ^= 1
            level = level[even:]
        levels[h] = level
        h += 1
    return Sketch(
        tuple(levels), tuple(odd), a.rows + b.rows, min(a.minimum, b.minimum), max(a.maximum, b.maximum)
    )  # fmt: skip


def _at(odd: tuple[int, ...], h: int) -> int:
    return odd[h] if h < len(odd) else 0


def _weighted(sketch: Sketch) -> tuple[Floats, Floats]:
    values = np.concatenate(sketch.levels)
    weights = np.concatenate([np.full(v.size, float(1 << h)) for h, v in enumerate(sketch.levels)])
    order = np.argsort(values, kind="stable")
    return values[order], np.cumsum(weights[order])


def quantiles(sketch: Sketch, shares: ArrayLike) -> Floats:
    """The smallest value with at least that share of the rows at or below it; float64, shape of `shares`.

    Equal to `numpy.quantile(rows, shares, method="inverted_cdf")` while the sketch is exact.
    Errors: stats.data when no finite row came or a share is outside [0, 1].
    """
    p = np.asarray(shares, np.float64)
    if not sketch.rows:
        raise MillraceError("stats.data", "no finite value was seen", "quantiles need at least one row")
    if p.size and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise MillraceError("stats.data", f"shares {shares!r} are not all in [0, 1]", "give shares such as 0.5")
    values, upto = _weighted(sketch)
    at = np.searchsorted(upto, p * upto[-1] * (1 - 1e-15), side="left")
    found = values[np.minimum(at, values.size - 1)]
    found = np.where(p <= 0, sketch.minimum, np.where(p >= 1, sketch.maximum, found))
    return np.asarray(found, np.float64)


def cuts(sketch: Sketch, bins: int = BINS) -> Floats:
    """Rising edges of at most `bins` right-closed bins of equal share: float64 (≤ bins + 1,).

    The first edge lies just below the minimum, so that bin j is (edge j-1, edge j] and the reference has nothing
    under the first or over the last. Equal quantiles fall together: a value that fills several bins has one.
    Errors: stats.data when no finite row came.
    """
    inner = quantiles(sketch, np.arange(1, bins + 1) / bins)
    return np.unique(np.concatenate([[np.nextafter(sketch.minimum, -np.inf)], inner]))


def shares(sketch: Sketch, edges: Floats) -> Floats:
    """The share of rows in each bin between `edges` (k+1,): float64 (k,), adding up to 1 for `cuts` of the sketch."""
    values, upto = _weighted(sketch)
    below: NDArray[np.intp] = np.searchsorted(values, edges, side="right")
    share: Floats = np.diff(np.concatenate([[0.0], upto])[below]) / upto[-1]
    return share
