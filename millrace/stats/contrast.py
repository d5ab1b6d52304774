"""How far a window lies from a reference, part by part: one statistic for all kinds of columns, an effect, a direction.

Claim: under one distribution for both, independent rows and expected counts that are not tiny, `statistic` is
chi-square with `degrees`; under a shift whose population stability index is d it is noncentral by about `rows`·d.
Both sides are taken as samples (a one-sample test would call noise in the reference drift). The floor 1/n under the
pooled share keeps one row with a new value from being an alarm. `psi` is the population stability index less what
noise alone adds, (k−1)(1/n + 1/N); it may be negative. Directions are distances between the 16 groups' places: right
in sign, coarse in size for long tails. Unit: a row.
What breaks it: rows that are not independent (a day shares its weather): `past` is there for that.

Sources: Pearson's two-sample chi-square; Yurdakul & Naranjo, "Statistical properties of the population stability
index", 2020, for the bias; Vallender 1974 for the Wasserstein distance as the area between distribution functions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.base.errors import MillraceError
from millrace.stats.bins import CategoryBins, Layout, NumberBins
from millrace.stats.profiles import Profile
from millrace.stats.verdict import Floats, Ints


class Grid(NamedTuple):
    """The tested groups of a layout in a row: part k owns groups `starts[k]` up to the next start.

    `names` (k,), `starts` (k,) and `of_cell` (cells,), the group of each cell; `part` (groups,) the part of each
    group; `places` (groups,): where a number's group lies, NaN for under, over, missing and for categories;
    `ordered` (groups,): whether it is a number's group and not its missing values.
    """

    layout: str
    names: tuple[str, ...]
    starts: Ints
    part: Ints
    of_cell: Ints
    places: Floats
    ordered: NDArray[np.bool_]
    edges: Floats  # (k, 2): the outermost edges of a number, NaN without
    words: tuple[str, ...]  # (groups,): each group in words

    @property
    def groups(self) -> int:
        return len(self.part)


class _Named:
    """A layout that is known by its digest, for remembering its grid."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.digest = layout, layout.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and other.digest == self.digest


def grid(layout: Layout) -> Grid:
    """The groups in which windows under `layout` are compared."""
    return _grid(_Named(layout))


@lru_cache(maxsize=64)
def _grid(named: _Named) -> Grid:
    layout = named.layout
    names, starts, of_cell, places, ordered, outer, words, total = [], [], [], [], [], [], [], 0
    for name, bins in layout.parts():
        inner = np.asarray(bins.groups, np.int64)
        width = int(inner[-1]) + 1
        names.append(name)
        starts.append(total)
        of_cell.append(inner + total)
        places.append(_places(bins, width))
        cuts = bins.cuts if isinstance(bins, NumberBins) else ()
        ordered += [bool(cuts)] * (width - 1) + [False]
        outer.append((cuts[0], cuts[-1]) if cuts else (np.nan, np.nan))
        words += _words(bins, width)
        total += width
    sizes = np.diff([*starts, total])
    return Grid(
        named.digest, tuple(names), np.asarray(starts, np.int64), np.repeat(np.arange(len(names)), sizes),
        np.concatenate([np.zeros(0, np.int64), *of_cell]), np.concatenate([np.zeros(0), *places]),
        np.asarray(ordered, bool),
        np.asarray(outer, np.float64).reshape(-1, 2), tuple(words),
    )  # fmt: skip


def _places(bins: NumberBins | CategoryBins, width: int) -> Floats:
    place = np.full(width, np.nan)
    if isinstance(bins, NumberBins) and bins.cuts:
        cuts, groups = np.asarray(bins.cuts), np.asarray(bins.groups)[1:-2]
        first = np.searchsorted(groups, np.arange(1, width - 2), side="left")
        last = np.searchsorted(groups, np.arange(1, width - 2), side="right")
        place[1:-2] = cuts[first] / 2 + cuts[last] / 2
    return place


def _words(bins: NumberBins | CategoryBins, width: int) -> list[str]:
    inner = np.asarray(bins.groups)
    if isinstance(bins, CategoryBins):
        levels = (*bins.levels, "other values", "unseen values", "missing")
        firsts, sizes = (found.tolist() for found in np.unique(inner, return_index=True, return_counts=True)[1:])
        return [levels[f] if s == 1 else f"{levels[f]} and {s - 1} more" for f, s in zip(firsts, sizes, strict=True)]
    if not bins.cuts:
        return ["any value", "any value", "missing"][:width]
    first = np.searchsorted(inner[1:-2], np.arange(1, width - 2), side="left").tolist()
    last = np.searchsorted(inner[1:-2], np.arange(1, width - 2), side="right").tolist()
    least = (float(np.nextafter(bins.cuts[0], np.inf)), *bins.cuts[1:])  # the first edge lies just below the minimum
    ends = [(f"{least[a]:.4g}", f"{bins.cuts[b]:.4g}") for a, b in zip(first, last, strict=True)]
    known = [a if a == b else f"{a} … {b}" for a, b in ends]
    return [f"under {least[0]:.4g}", *known, f"over {bins.cuts[-1]:.4g}", "missing"]


def grouped(profile: Profile, grid: Grid) -> Ints:
    """A profile's counts by group: int64 (groups,). Errors: stats.shape for a profile of another layout."""
    if profile.layout != grid.layout:
        hint = "count the window with the layout that the watch was started with, or start a new watch"
        raise MillraceError("stats.shape", f"a profile under layout {profile.layout}, not {grid.layout}", hint)
    return np.bincount(grid.of_cell, weights=profile.cells(), minlength=grid.groups).astype(np.int64)


class Contrast(NamedTuple):
    """A comparison of each part; all arrays (..., k).

    `statistic` X² ≥ 0 with `degrees` (0 where neither side varies) at `rows` = nN/(n+N) effective rows; `psi` debiased.
    """

    statistic: Floats
    degrees: Ints
    rows: Floats
    psi: Floats


def contrast(current: Floats | Ints, reference: Floats | Ints, starts: Ints) -> Contrast:
    """Compare counts (..., groups) ≥ 0 with the counts of references of the same shape, which need not be whole.

    Either side may be empty: then the statistic, the effective rows and the effect are 0.
    """
    if not len(starts):
        none = np.zeros((*np.shape(current)[:-1], 0))
        return Contrast(none, none.astype(np.int64), none, none)
    c, r = np.asarray(current, np.float64), np.asarray(reference, np.float64)
    sizes = np.diff([*starts.tolist(), c.shape[-1]])
    n, big = np.add.reduceat(c, starts, axis=-1), np.add.reduceat(r, starts, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where((n > 0) & (big > 0), n * big / (n + big), 0.0)
        nn, rr = np.repeat(n, sizes, axis=-1), np.repeat(big, sizes, axis=-1)
        p, q = c / np.maximum(nn, 1e-300), r / np.maximum(rr, 1e-300)
        pool = (c + r) / np.maximum(nn + rr, 1e-300)
        term = np.where(pool > 0, (p - q) ** 2 / np.maximum(pool, 1 / np.maximum(nn, 1e-300)), 0.0)
        # half a row where one side has none keeps the index finite
        low_p, low_q = np.maximum(p, 0.5 / np.maximum(nn, 0.5)), np.maximum(q, 0.5 / np.maximum(rr, 0.5))
        index = np.where(pool > 0, (low_p - low_q) * np.log(low_p / low_q), 0.0)
        seen = rows > 0
        degrees = np.where(seen, np.maximum(np.add.reduceat((pool > 0).astype(np.int64), starts, axis=-1) - 1, 0), 0)
        bias = np.where(seen, degrees * (1 / np.maximum(n, 1e-300) + 1 / np.maximum(big, 1e-300)), 0.0)
    statistic = rows * np.add.reduceat(term, starts, axis=-1)
    psi = np.where(seen, np.add.reduceat(index, starts, axis=-1), 0.0) - bias
    return Contrast(statistic, degrees.astype(np.int64), rows, psi)


def trend(current: Floats | Ints, reference: Floats | Ints, grid: Grid) -> Floats:
    """How far the ranks of each number moved up or down: a statistic ≥ 0 of one degree of freedom, float64 (k,).

    Claim: under one distribution for both it is chi-square with 1 degree; under a shift of population stability d it
    is noncentral by at most about `rows`·d, and by nearly all of that where the mean moves, for which the statistic
    over all groups pays with all its degrees. Counts (groups,); missing values are given the middle rank; 0 for
    categories, for constants and where a side is empty.
    Source: Cochran 1954 and Armitage 1955, the trend in shares, with midranks (Wilcoxon) as scores.
    """
    c, r, starts = np.asarray(current, np.float64), np.asarray(reference, np.float64), grid.starts
    if not len(starts):
        return np.zeros(0)
    n, big = np.add.reduceat(c, starts), np.add.reduceat(r, starts)
    some = np.maximum(np.stack([n, big, n + big]), 1e-300)
    apart = np.where(grid.ordered, c / some[0, grid.part] - r / some[1, grid.part], 0.0)
    pool = np.where(grid.ordered, (c + r) / some[2, grid.part], 0.0)
    within = np.add.reduceat(pool, starts)
    before = np.cumsum(pool) - pool - (np.cumsum(within) - within)[grid.part]
    rank = before + pool / 2 - within[grid.part] / 2
    spread = np.add.reduceat(pool * rank * rank, starts)
    moved = np.add.reduceat(apart * rank, starts)
    alive = (spread > 1e-12) & (n > 0) & (big > 0)
    return np.where(alive, n * big / some[2] * moved**2 / np.where(alive, spread, 1.0), 0.0)


def directions(current: Ints, reference: Floats, grid: Grid, ranges: Floats) -> Floats:
    """The Wasserstein distance of each part's groups in units of the groups' deviation, signed by where the mean went.

    All rows of a group lie at its one place, and the deviation is that of those places in the reference. So the sign is
    right and the size is coarse where tails are long: a lognormal that moved by −0.2 standard deviations shows −0.08.

    `current`, `reference`: counts (groups,). `ranges`: (k, 2) the least and largest finite value of the current
    window, where rows under and over the reference's range are put half-way. Only rows with a value count; a
    reference that does not vary lends the standard deviation of both. NaN for categories and where a side has no
    value. float64 (k,).
    """
    found = np.full(len(grid.names), np.nan)
    ends = [*grid.starts.tolist()[1:], grid.groups]
    for k, (start, end) in enumerate(zip(grid.starts.tolist(), ends, strict=True)):
        place = grid.places[start : end - 1].copy()
        if end - start < 4 or np.isnan(place[1]):
            continue
        low, high = grid.edges[k]
        place[0] = low + min(ranges[k, 0] - low, 0.0) / 2 if np.isfinite(ranges[k, 0]) else low
        place[-1] = high + max(ranges[k, 1] - high, 0.0) / 2 if np.isfinite(ranges[k, 1]) else high
        c, r = current[start : end - 1].astype(np.float64), reference[start : end - 1]
        n, big = float(c.sum()), float(r.sum())
        if n <= 0 or big <= 0:
            continue
        p, q = c / n, r / big
        scale = _sd(q, place) or _sd(p / 2 + q / 2, place)
        apart: Floats = np.cumsum(p - q)
        area = float(np.abs(apart[:-1]) @ np.diff(place))
        moved = float((p - q) @ (place - place[1]))
        found[k] = np.copysign(area / scale, moved) if scale > 0 else 0.0
    return found


def _sd(share: Floats, place: Floats) -> float:
    off = place - float(share @ place)
    return math.sqrt(max(float(share @ off**2), 0.0))
