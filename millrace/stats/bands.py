"""A metric's value with its band, which says what it counts as one piece of evidence.

Claim: the band covers what the metric would be over many more such rows, blocks or entities with probability 1 − α, at
one look (for repeated looks: `confidence.py`, `block_verdicts.py`). Unit of evidence, always named: rows, if they are
independent; entities (users, stores), if rows of one hang together; blocks of time, if all rows of a day do. The
standard error is that of the sums of influence over units (`influence.py`), with k/(k−1) for k units and Student's t;
blocks are widened by their memory (`inflation`). Shares of counts get Wilson's interval at the size that the design
effect leaves, so that 0 of 20 is not certainty.
What breaks it: a unit that is too small (rows of one day are not independent: the band is 2–6 times too narrow on
flights), fewer than ten units or so, and looking again and again.
Sources: Liang & Zeger 1986; Wilson 1927; Franco, Little, Louis & Slud 2019 for Wilson under clustering.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.blocks import inflation
from millrace.stats.influence import Influenced
from millrace.stats.student import normal_quantile, student_quantile
from millrace.stats.verdict import Floats, Ints, check_alpha, check_ids, finite, plain, same_length, scalar

BandUnit = Literal["row", "block", "entity"]


class Band(Struct, frozen=True, kw_only=True):
    """A metric's value over `rows` rows in `units` units of kind `unit`, and the band `low` … `high` at 1 − `alpha`.

    `value` is None where the metric is not defined (one class only, nothing predicted positive); `low` and `high` are
    None where fewer than two units were seen or nothing varied. `design_effect`: how many rows carry the information
    of one independent row; None when rows are the unit. Every float is finite.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    alpha: float
    unit: BandUnit
    units: int
    rows: int
    design_effect: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is a band at all."""
        return self.low is not None


def units_of(units: ArrayLike | None, rows: int) -> Ints:
    """Whole numbers 0 … k−1 in the order of the units, one a row; every row its own unit when None.

    `units`: (rows,) int64 starts of blocks or entity numbers, or strings. Errors: stats.shape, stats.data.
    """
    if units is None:
        return np.arange(rows, dtype=np.int64)
    named = plain(units, "units")
    if named.ndim != 1 or len(named) != rows:
        raise MillraceError("stats.shape", f"units of shape {named.shape} for {rows} rows", "give one unit a row")
    if named.dtype.kind == "f":
        named = check_ids(named, "units")
    if named.dtype.kind == "O":
        named = named.astype(str)
    return np.unique(named, return_inverse=True)[1].astype(np.int64)


def band(
    metric: str,
    influenced: Influenced | None,
    alpha: float = 0.05,
    *,
    units: ArrayLike | None = None,
    unit: BandUnit | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
    share_of: float | None = None,
    rows: int = 0,
) -> Band:
    """The band around a (value, influence (n,)) of `influence.py`.

    `units`: (n,) as in `units_of`; `unit` names their kind, "block" by default when they are given. `limits`: the
    metric's range, to which the band is cut. `share_of`: for a share of counts, its denominator; then the interval is
    Wilson's. `rows`: how many rows there were, where the metric is not defined.
    Errors: stats.alpha, stats.shape, stats.data.
    """
    alpha = check_alpha(alpha)
    kind: BandUnit = unit or ("row" if units is None else "block")
    if influenced is None:
        k = len(np.unique(units_of(units, rows)))
        return Band(metric=metric, value=None, low=None, high=None, alpha=alpha, unit=kind, units=k, rows=rows)
    value, influence = influenced
    n = same_length("influence values", influence)
    number = units_of(units, n)
    k = int(number.max()) + 1 if n else 0
    error, size = standard_error(influence, number, kind)
    effect = _design_effect(influence, error) if units is not None else None
    low = high = None
    if share_of is not None:
        share_of = scalar(share_of, "denominator of the share")
        low, high = _wilson(value, share_of, effect, k if units is not None else None, alpha)
        low, high = min(low, value), max(high, value)  # at 0 and 1 they may lie a rounding within
    elif k > 1 and error > 0 and size > 1:
        half = student_quantile(alpha, size - 1) * error
        low, high = max(value - half, limits[0]), min(value + half, limits[1])
    return Band(
        metric=metric,
        value=finite(value),
        low=None if low is None else finite(low),
        high=None if high is None else finite(high),
        alpha=alpha,
        unit=kind,
        units=k,
        rows=n,
        design_effect=None if effect is None else finite(effect),
    )


def standard_error(influence: Floats, number: Ints, unit: BandUnit) -> tuple[float, float]:
    """The standard error of a mean of influence over units `number` (0 … k−1), and the units it is worth.

    For blocks the variance grows and the size shrinks by their `inflation`. (0, k) when k < 2.
    """
    n, k = len(influence), int(number.max()) + 1 if len(number) else 0
    if k < 2:
        return 0.0, float(k)
    sums = np.bincount(number, weights=influence, minlength=k)
    wider = float(inflation(sums)[-1]) if unit == "block" else 1.0
    return math.sqrt(k / (k - 1) * float(sums @ sums) * wider) / n, k / wider


def _design_effect(influence: Floats, error: float) -> float | None:
    n = len(influence)
    plain = float(influence @ influence) / (n - 1) / n if n > 1 else 0.0
    return error**2 / plain if plain > 0 else None


def _wilson(share: float, of: float, effect: float | None, units: int | None, alpha: float) -> tuple[float, float]:
    """Wilson's interval of a share of `of` counts, shrunk by the design effect; at 0 and 1 by the units' number."""
    if units is None:
        z, size = normal_quantile(alpha), of
    elif units < 2:
        return 0.0, 1.0
    else:
        z = student_quantile(alpha, units - 1)
        size = of / max(effect, 1e-9) if effect else min(of, units)
    size, z = max(size, 1e-9), min(z, 1e75)  # beyond it the square overflows, and the interval is [0, 1]
    middle = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    return max(middle - half, 0.0), min(middle + half, 1.0)
