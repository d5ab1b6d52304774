"""Rows gathered into blocks, because outcomes of one day (or one user) share their weather.

Claim: what is said of the days to come has as many pieces of evidence as there are days, however many rows each has.
`Blocks` is additive: the blocks of two servers or two files merge to the blocks of all rows, in any order. Unit of
evidence: the block.
What breaks it: blocks cut by something that depends on the outcome, or days so long in memory that neighbours repeat
each other (see `inflation`).
Sources: Kish 1965 for the design effect; Künsch 1989 for blocks of a series that remembers; Bartlett 1946 and Kendall
1954 for `inflation`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.student import normal_quantile
from millrace.stats.verdict import (
    Floats,
    Ints,
    check_alpha,
    check_ids,
    check_whole,
    column,
    numbers,
    plain,
    same_length,
    same_rows,
)

DAY_US = 86_400_000_000
LARGEST_CORRELATION = 0.95
ESTIMATED, STRICT = 0.5, 0.3  # how sure one is of memory: its estimate, or a limit that is too low three times in ten


class Blocks(NamedTuple):
    """Sums by block, in the order of `keys`. All arrays have length k, the number of blocks.

    `keys`: int64, a block's start in event time (microseconds) or an entity's number, strictly rising.
    `rows`: int64 ≥ 1. `means`: float64. `squares`: float64, Σ(x − mean)² inside the block.
    """

    keys: Ints
    rows: Ints
    means: Floats
    squares: Floats

    def fits(self) -> None:
        """Whether there is one value a block in each column. Errors: stats.shape."""
        same_rows("keys, rows, means and squares of blocks", self.keys, self.rows, self.means, self.squares)


def blocks_by_time(values: ArrayLike, times_us: ArrayLike, length_us: int = DAY_US) -> Blocks:
    """Blocks of event time. `values`: (n,) finite; `times_us`: (n,) microseconds ≥ 0, in any order.

    Errors: stats.data, stats.shape; stats.time for a negative time; stats.blocks for a length < 1.
    """
    length_us = check_whole(length_us, "length of a block in µs", least=1, most=2**62, code="stats.blocks")
    times = numbers(times_us, "event times", code="stats.time")
    if times.size and not 0 <= float(times.min()) <= float(times.max()) <= 2.0**62:
        raise MillraceError("stats.time", "an event time is negative or no time", "give microseconds since 1970, UTC")
    exact = plain(times_us, "event times")
    exact = exact if exact.dtype.kind in "iu" else times  # whole numbers keep every digit
    return blocks_by_entity(values, exact.astype(np.int64) // length_us * length_us)


def blocks_by_entity(values: ArrayLike, entities: ArrayLike) -> Blocks:
    """Blocks by a whole number ≥ 0 that names the entity (user, store, aircraft …) of each row; both (n,)."""
    x = column(values, "values")
    names = plain(entities, "entity numbers")
    names = names if names.dtype == np.int64 else check_ids(entities, "entity numbers")
    if names.ndim != 1:
        raise MillraceError("stats.shape", f"blocks of shape {names.shape}", "give one block a row")
    same_length("values and blocks", x, names)
    keys, inverse = np.unique(names, return_inverse=True)
    rows = np.bincount(inverse, minlength=len(keys)).astype(np.int64)
    means = np.bincount(inverse, weights=x, minlength=len(keys)) / np.maximum(rows, 1)
    squares = np.bincount(inverse, weights=(x - means[inverse]) ** 2, minlength=len(keys))
    return Blocks(keys, rows, means, np.asarray(squares, np.float64))


def merge_blocks(a: Blocks, b: Blocks) -> Blocks:
    """The blocks of both sets of rows: associative and commutative up to rounding (Chan, Golub & LeVeque 1983)."""
    keys, inverse = np.unique(np.concatenate([a.keys, b.keys]), return_inverse=True)
    rows_in = np.concatenate([a.rows, b.rows])
    means_in = np.concatenate([a.means, b.means])
    k = len(keys)
    rows = np.bincount(inverse, weights=rows_in, minlength=k)
    means = np.bincount(inverse, weights=rows_in * means_in, minlength=k) / np.maximum(rows, 1)
    inside = np.bincount(inverse, weights=np.concatenate([a.squares, b.squares]), minlength=k)
    moved = np.bincount(inverse, weights=rows_in * (means_in - means[inverse]) ** 2, minlength=k)
    return Blocks(keys, rows.astype(np.int64), means, np.asarray(inside + moved, np.float64))


def pairwise(candidate: Blocks, champion: Blocks) -> Blocks:
    """Block means of candidate − champion over the blocks that both have; rows are the smaller of the two.

    For unpaired arms. Where both scored the same rows, difference the rows first: it is sharper. `squares` adds both.
    """
    keys, i, j = np.intersect1d(candidate.keys, champion.keys, return_indices=True)
    rows = np.minimum(candidate.rows[i], champion.rows[j])
    means = candidate.means[i] - champion.means[j]
    return Blocks(keys, rows, means, candidate.squares[i] + champion.squares[j])


def design_effect(blocks: Blocks) -> float | None:
    """How many rows carry the information of one independent row: Var(mean | blocks)/Var(mean | independent rows).

    1 for independent rows up to noise; 6–38 for paired losses on flights. None with fewer than two blocks, with one
    row a block, or when the rows do not vary at all.
    Source: Kish 1965; the numerator is the cluster-robust variance of a mean (Liang & Zeger 1986) times k/(k−1).
    """
    k, n = len(blocks.rows), int(blocks.rows.sum())
    if k < 2 or n <= k:
        return None
    grand = float(blocks.rows @ blocks.means) / n
    off = blocks.rows * (blocks.means - grand)
    between = float(off @ off) / n**2 * k / (k - 1)
    total = float(blocks.squares.sum() + blocks.rows @ (blocks.means - grand) ** 2) / (n - 1)
    if total <= 0 or between <= 0:
        return None
    return between / (total / n)


def inflation(means: ArrayLike, memory: float = ESTIMATED) -> Floats:
    """By how much the memory of blocks widens the variance of their mean: (1+ρ)/(1−ρ) ≥ 1, for every prefix.

    `means`: (k,) in the order of event time; the answer is (k,), and entry j uses the first j+1 blocks only.
    ρ is the lag-one autocorrelation, corrected for its bias (Kendall 1954: −(1+3ρ)/k), cut to [0, 0.95]; with `memory`
    below ½ its upper confidence limit instead, which is too low with about that probability, at the standard error
    √((1−ρ²)/k) (Bartlett 1946). What breaks it: memory beyond one block that lag one does not show (a week's rhythm:
    take weeks as blocks). Errors: stats.data, stats.shape, stats.alpha for `memory` outside (0, ½].
    """
    over = memory_quantile(memory)
    x = column(means, "block means")
    k = np.arange(1, len(x) + 1)
    centred = x - x[0] if len(x) else x  # the same ρ, less rounding
    total, square = np.cumsum(centred), np.cumsum(centred**2)
    product = np.concatenate([[0.0], np.cumsum(centred[1:] * centred[:-1])])[: len(x)]
    mean = total / k
    spread = square - total * mean
    # Σ(x_i − m)(x_{i−1} − m) over the prefix, from its sums
    lagged = product - mean * total - mean * (total - centred) + (k - 1) * mean**2  # the first value is now 0
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.where(spread > 1e-12 * np.maximum(square, 1e-300), lagged / spread, 0.0)
    rho = np.where(k > 1, rho + (1 + 3 * rho) / k, 0.0)
    if over:
        rho = np.where(k > 1, rho + over * np.sqrt(np.maximum(1 - rho * rho, 0.0) / k), 0.0)
    rho = np.clip(rho, 0, LARGEST_CORRELATION)
    return np.asarray((1 + rho) / (1 - rho))


def memory_quantile(memory: float) -> float:
    """How many standard errors lie between ρ and its upper confidence limit; 0 at ½. Errors: stats.alpha."""
    if check_alpha(memory) > ESTIMATED:
        raise MillraceError("stats.alpha", f"memory is {memory!r}", "give at most 0.5 (the estimate), such as 0.3")
    return normal_quantile(2 * memory) if memory < ESTIMATED else 0.0
