"""Quantiles of the normal and of Student's t, and the exact bounds of a count, without SciPy.

Claim: equal to SciPy's to 1e-9. The tail of t is the incomplete beta function by its series (Abramowitz & Stegun
26.5.4) or continued fraction, the quantile its root; Poisson's lower bound is the root of the exact tail (Garwood
1936).
Unit: that of the caller. What breaks it: a few values far from normal, skew above all: the quantile is then right, and
the ratio that is held against it is not Student's.
Sources: Student 1908; Satterthwaite 1946 for the degrees of a sum of variances; Press et al., Numerical Recipes, §6.4.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from millrace.base.errors import MillraceError
from millrace.stats.verdict import check_alpha, check_whole

_NORMAL = NormalDist()
_MANY = 1e7  # from here on Student's t is the normal to 1e-9


def normal_quantile(alpha: float) -> float:
    """The two-sided quantile: P(|Z| > z) = `alpha`. Errors: stats.alpha."""
    return -_NORMAL.inv_cdf(check_alpha(alpha) / 2)


@lru_cache(maxsize=4096)
def student_quantile(alpha: float, degrees: float) -> float:
    """The two-sided quantile of Student's t: P(|T| > t) = `alpha` at `degrees` > 0; about 1e154 if it lies beyond.

    Errors: stats.alpha, stats.data.
    """
    alpha = check_alpha(alpha)
    if not degrees > 0:
        raise MillraceError("stats.data", f"{degrees!r} degrees of freedom", "a band needs at least two units")
    if degrees >= _MANY:
        return normal_quantile(alpha)
    degrees, low, high = max(float(degrees), 1e-300), 0.0, 1.0
    while 2 * _tail(high, degrees) > alpha:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if 2 * _tail(middle, degrees) > alpha:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def satterthwaite(total: float, square: float, units: int) -> float:
    """The degrees of freedom ≥ 1 of a variance `total` in which nothing but a mean of `units` squares was estimated.

    `square`: that mean, each square being one degree of freedom, so its own variance is 2·square²/units, and the answer
    2·total²/(2·square²/units). Many where what was estimated is little of the whole. Source: Satterthwaite 1946, (17).
    """
    ratio = min(total / square, 1e4) if square > 0 else 1e4
    return max(units * ratio * ratio, 1.0)


def student_tail(t: float, degrees: float) -> float:
    """P(T > t) of Student's t with `degrees` > 0, to 1e-9 in relative terms; at least 1e-300. `t` is finite."""
    tail = _tail(abs(t), degrees)
    return max(tail if t >= 0 else 1 - tail, 1e-300)


def poisson_lower(count: int, alpha: float) -> float:
    """The largest mean that `count` events refute from below: P(N ≥ count | mean) = `alpha`. 0 when nothing was seen.

    Claim: P(bound > true mean) ≤ α at one look. Errors: stats.alpha, stats.data.
    """
    alpha = check_alpha(alpha)
    count = check_whole(count, "number of events")
    if not count:
        return 0.0
    if count >= _MANY:  # there Wilson & Hilferty (1931) are exact to 1e-10, and the sum is long
        return count * (1 - 1 / (9 * count) + _NORMAL.inv_cdf(alpha) / (3 * math.sqrt(count))) ** 3
    low, high = 0.0, count + 10 * math.sqrt(count) + 40.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _at_least(count, middle) < alpha:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_least(count: int, mean: float) -> float:
    """P(N ≥ count) of a Poisson with a `mean` of at most some ten standard deviations more, term by term."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, n = 0.0, count
    while term > 1e-18 * total:
        total += term
        n += 1
        term *= mean / n
    return total


def _tail(t: float, degrees: float) -> float:
    """P(T > t) for t ≥ 0, to 1e-12 in relative terms."""
    square, half = t * t, degrees / 2
    log_beta = math.log(math.pi) / 2 - _log_gamma_step(half)
    below = square / (degrees + square)
    if square > 3:  # there 0.5 − … would cancel
        more = square / degrees
        log_more = math.log1p(more) if more < math.inf else math.log(square) - math.log(degrees)
        front = math.exp(-half * log_more + math.log(below) / 2 - log_beta)
        return 0.5 * front * _fraction(degrees / (degrees + square), half, 0.5) / half
    return 0.5 - 0.5 * math.sqrt(below) * math.exp(-log_beta) * _series(below, 0.5, half)


def _log_gamma_step(a: float) -> float:
    """ln Γ(a + ½) − ln Γ(a); for large a by its series, where the difference would lose its digits."""
    if a < 50:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function (Press et al., Numerical Recipes, §6.4; Lentz 1976)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + step * d), 1 + step / c
            h *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return h


def _series(x: float, a: float, b: float) -> float:
    total, factor, n = 1 / a, 1.0, 0
    while True:
        n += 1
        factor *= (n - b) * x / n
        step = factor / (a + n)
        total += step
        if abs(step) <= 1e-17 * abs(total) or n > 10_000:
            return total
