"""Is a statistic unusual against its own past? The null that knows seasons, weather and rows that hang together.

Claim: while a column's statistic goes on as in its past, up to a linear memory of the last window and of the mean of
the last `lag` windows, P(p ≤ u) ≤ u. A past with memory τ counts for 1/τ of its windows. The cube root makes a
chi-square, central or not, about normal. The newest `lag`
windows never count as past, so that a drift cannot vouch for itself; predictors are cut at the largest of the past,
so that it cannot predict itself either. Unit: the window, however many rows it has.
What breaks it: a past that is no guide (a first winter), memory much longer than the past.

Sources: Wilson & Hilferty 1931 (cube root); Student's prediction interval; Geyer 1992 (where to cut a sum of
autocorrelations).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from millrace.stats.student import student_quantile, student_tail
from millrace.stats.verdict import Floats, Ints

LEAST = 20  # windows of the past below which nothing is said
MOST_LAGS = 200  # over which memory is looked for
RIDGE = 0.05
DEGREES = 12  # of freedom at most: tails of real series are heavier than the normal's
LEAST_DEGREES = 3


class Outlook(NamedTuple):
    """What the past says about the next window's root statistic; arrays (k,).

    `expected` and `spread` of the next value, `worst` the expectation were both predictors at their past's largest,
    `degrees` of freedom of Student's t; `memory` τ, the larger of the column's own and that of all together.
    """

    expected: Floats
    worst: Floats
    spread: Floats
    degrees: Floats
    memory: Floats


def outlook(past: Floats, recent: Floats, lag: int, floor: Floats, least: int = LEAST) -> Outlook | None:
    """The outlook from `past` (m, k), oldest first, and the `recent` windows (≥ lag, k) just before the next.

    `recent` may overlap `past`; `floor` (k,) is the least spread that sampling alone makes. None while the past has
    fewer than `least` windows that have `lag` windows before them.
    """
    m = past.shape[0] - lag
    if m < max(least, LEAST) or not len(recent):
        return None
    total = np.cumsum(np.vstack([np.zeros((1, past.shape[1])), past]), axis=0)
    y, x1, x2 = past[lag:], past[lag - 1 : -1], (total[lag:-1] - total[: -lag - 1]) / lag
    centre_y, centre_1, centre_2 = y.mean(0), x1.mean(0), x2.mean(0)
    d0, d1, d2 = y - centre_y, x1 - centre_1, x2 - centre_2
    s11, s22, s12 = ((d1 * d1).sum(0) * (1 + RIDGE), (d2 * d2).sum(0) * (1 + RIDGE), (d1 * d2).sum(0))
    s01, s02 = (d0 * d1).sum(0), (d0 * d2).sum(0)
    det = s11 * s22 - s12 * s12
    safe = det > 1e-12 * np.maximum(s11 * s22, 1e-300)
    det = np.where(safe, det, 1.0)
    b1 = np.where(safe, (s01 * s22 - s02 * s12) / det, 0.0)
    b2 = np.where(safe, (s02 * s11 - s01 * s12) / det, 0.0)
    residual = d0 - b1 * d1 - b2 * d2
    own, pooled = memory(past)
    tau = np.maximum(own, pooled)
    spread = np.maximum(np.sqrt((residual**2).sum(0) / (m - 3)), floor) * np.sqrt(1 + 3 * tau / m)
    last, mean = np.minimum(recent[-1], past.max(0)), np.minimum(recent[-lag:].mean(0), x2.max(0))
    expected = centre_y + b1 * (last - centre_1) + b2 * (mean - centre_2)
    worst = centre_y + np.maximum(b1, 0) * (x1.max(0) - centre_1) + np.maximum(b2, 0) * (x2.max(0) - centre_2)
    return Outlook(expected, worst, spread, np.clip((m - 3) / tau, LEAST_DEGREES, DEGREES), tau)


def memory(past: Floats) -> tuple[Floats, float]:
    """τ = 1 + 2Σρ ≥ 1 of each column of `past` (m, k), and of all together: the autocovariances added up.

    Lags are summed up to the first that is not above 2 standard errors of white noise, and at most m/4. Together the
    columns count as (tr C)²/tr C² independent ones, C their covariances.
    """
    m, k = past.shape
    off = past - past.mean(0)
    square = (off**2).sum(0)
    alive = square > 1e-12 * np.maximum((past**2).sum(0), 1e-300)
    tau, pooled = np.ones(k), 1.0
    if not alive.any():
        return tau, pooled
    off = off[:, alive]
    square, own = square[alive], np.ones(int(alive.sum()))
    whole = float(square.sum())
    limit = 2 / math.sqrt(m)
    pool_limit = limit * float(np.sqrt(((off.T @ off) ** 2).sum())) / whole
    going, pool_going = np.ones(len(own), bool), True
    for lag in range(1, max(2, min(m // 4, MOST_LAGS))):
        product = (off[lag:] * off[:-lag]).sum(0)
        rho, mean = product / square, float(product.sum()) / whole
        going &= rho > limit
        pool_going = pool_going and mean > pool_limit
        own += np.where(going, 2 * rho, 0.0)
        pooled += 2 * mean if pool_going else 0.0
        if not (going.any() or pool_going):
            break
    tau[alive] = own
    return tau, pooled


def unusual(root: Floats, outlook: Outlook) -> Floats:
    """P of a value at least as large as `root` (k,) by the outlook; float64 (k,) in (0, 1]."""
    t = (root - outlook.expected) / outlook.spread
    return np.array([student_tail(float(v), float(d)) for v, d in zip(t, outlook.degrees, strict=True)])


def point(p: Floats, degrees: Floats) -> Floats:
    """The t beyond which `unusual` falls below `p` < 1/2, each (k,)."""
    return np.array([student_quantile(2 * float(a), float(d)) for a, d in zip(p, degrees, strict=True)])


def sampling_spread(degrees: Ints) -> Floats:
    """The standard deviation of the cube root of a chi-square (Wilson & Hilferty), (k,); at least one degree."""
    df = np.maximum(degrees, 1).astype(np.float64)
    return np.asarray(math.sqrt(2 / 9) * df ** (-1 / 6))
