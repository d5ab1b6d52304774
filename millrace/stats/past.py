"""Is a statistic unusual against its own past? The null that knows seasons, weather and rows that hang together.

Claim: while a column's statistic goes on as in its past, up to a linear memory of the last window and of the mean of
the last `lag` windows, P(p ≤ u) ≤ u. The cube root makes a chi-square, central or not, about normal. The newest `lag`
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
RIDGE = 0.05
DEGREES = 12  # of freedom at most: tails of real series are heavier than the normal's


class Outlook(NamedTuple):
    """What the past says about the next window's root statistic; arrays (k,).

    `expected` and `spread` of the next value, `worst` the expectation were both predictors at their past's largest,
    `degrees` of freedom of Student's t; `memory` τ = 1 + 2Σρ of each column and `pooled` that of all together.
    """

    expected: Floats
    worst: Floats
    spread: Floats
    degrees: int
    memory: Floats
    pooled: float


def outlook(past: Floats, recent: Floats, lag: int, floor: Floats) -> Outlook | None:
    """The outlook from `past` (m, k), oldest first, and the `recent` windows (≥ lag, k) just before the next.

    `recent` may overlap `past`; `floor` (k,) is the least spread that sampling alone makes. None while the past has
    fewer than `LEAST` windows that have `lag` windows before them.
    """
    m = past.shape[0] - lag
    if m < LEAST or not len(recent):
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
    degrees = m - 3
    spread = np.maximum(np.sqrt((residual**2).sum(0) / degrees), floor) * math.sqrt(1 + 3 / m)
    last, mean = np.minimum(recent[-1], past.max(0)), np.minimum(recent[-lag:].mean(0), x2.max(0))
    expected = centre_y + b1 * (last - centre_1) + b2 * (mean - centre_2)
    worst = centre_y + np.maximum(b1, 0) * (x1.max(0) - centre_1) + np.maximum(b2, 0) * (x2.max(0) - centre_2)
    tau, pooled = memory(past)
    return Outlook(expected, worst, spread, min(degrees, DEGREES), tau, pooled)


def memory(past: Floats) -> tuple[Floats, float]:
    """τ = 1 + 2Σρ ≥ 1 of each column of `past` (m, k), and pooled over the columns (the mean autocorrelation).

    Lags are summed up to the first that is not above 2 standard errors of white noise, and at most m/4.
    """
    m, k = past.shape
    off = past - past.mean(0)
    square = (off**2).sum(0)
    alive = square > 1e-12 * np.maximum((past**2).sum(0), 1e-300)
    tau, pooled = np.ones(k), 1.0
    if not alive.any():
        return tau, pooled
    going, pool_going, limit = alive.copy(), True, 2 / math.sqrt(m)
    for lag in range(1, max(2, m // 4)):
        rho = np.where(alive, (off[lag:] * off[:-lag]).sum(0) / np.where(alive, square, 1.0), 0.0)
        mean = float(rho[alive].mean())
        going &= rho > limit
        pool_going = pool_going and mean > limit / math.sqrt(max(1.0, float(alive.sum())) ** 0.5)
        tau = tau + np.where(going, 2 * rho, 0.0)
        pooled += 2 * mean if pool_going else 0.0
        if not (going.any() or pool_going):
            break
    return tau, pooled


def unusual(root: Floats, outlook: Outlook) -> Floats:
    """P of a value at least as large as `root` (k,) by the outlook; float64 (k,) in (0, 1]."""
    t = (root - outlook.expected) / outlook.spread
    return np.array([student_tail(float(v), outlook.degrees) for v in t])


def point(p: float, degrees: int) -> float:
    """The t beyond which `unusual` falls below `p` < 1/2."""
    return student_quantile(2 * p, degrees)


def sampling_spread(degrees: Ints) -> Floats:
    """The standard deviation of the cube root of a chi-square (Wilson & Hilferty), (k,); at least one degree."""
    df = np.maximum(degrees, 1).astype(np.float64)
    return np.asarray(math.sqrt(2 / 9) * df ** (-1 / 6))
