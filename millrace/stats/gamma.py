"""The logarithm of the gamma function on arrays, without SciPy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from millrace.stats.verdict import Floats

_SHIFT = 9
_TERMS = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def log_gamma(x: ArrayLike) -> Floats:
    """ln Γ(x) for x > 0, any shape; to 1e-13 of max(1, |ln Γ|).

    Source: Stirling's series at x + 9 (Abramowitz & Stegun 6.1.41), brought back by Γ(x+1) = x·Γ(x).
    """
    small = np.asarray(x, np.float64)
    large = small + _SHIFT
    product = small.copy()
    for i in range(1, _SHIFT):
        product = product * (small + i)
    power, series = 1 / large, np.zeros_like(large)
    for term in _TERMS:
        series = series + term * power
        power = power / (large * large)
    stirling = (large - 0.5) * np.log(large) - large + math.log(2 * math.pi) / 2 + series
    return np.asarray(stirling - np.log(product))
