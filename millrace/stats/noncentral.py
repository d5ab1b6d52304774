"""Student's noncentral t without SciPy: its density, and its likelihood ratio against the central t.

Both come from one integral, I(ν, y) = ∫ s^ν exp(−s²/2 + y·s) ds over s > 0, taken in x = ln s, where the integrand is
entire and falls off on both sides, so that the trapezoidal rule converges geometrically (Trefethen & Weideman,
"The exponentially convergent trapezoidal rule", SIAM Review 2014). No series, hence no cancellation for y < 0.
Claim: the density equals SciPy's to 1e-9 in relative terms or 1e-13, whichever is more. Unit: that of the caller.
What breaks it: values that are not normal: the ratio is then that of another family than theirs (`block_verdicts.py`).
Source: the integral is the definition, a normal mean over the root of a chi-square, with the chi integrated out
(Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 2, chapter 31).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats, broadcast

_LEFT, _RIGHT, _STEP = -50.0, 12.0, 0.3  # in standard deviations of the integrand's peak
MOST = 1e6
_NODES = np.arange(_LEFT, _RIGHT + _STEP / 2, _STEP)


def _log_integral(power: Floats, y: Floats) -> Floats:
    """ln I(`power`, `y`) for power > −1; arguments broadcast."""
    power, y = np.broadcast_arrays(np.asarray(power, np.float64), np.asarray(y, np.float64))
    root = np.sqrt(y * y + 4 * (power + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = np.where(y >= 0, (y + root) / 2, 2 * (power + 1) / (root - y))  # the mode in s, without cancellation
    sd = 1 / np.sqrt(peak * peak + power + 1)  # of the integrand in x, by its curvature at the mode
    log_peak = np.log(peak)
    x = log_peak[..., None] + sd[..., None] * _NODES
    s = np.exp(x)
    exponent = (power[..., None] + 1) * x - s * s / 2 + y[..., None] * s
    top = (power + 1) * log_peak - peak * peak / 2 + y * peak
    total: Floats = np.exp(exponent - top[..., None]).sum(axis=-1)
    return np.asarray(top + np.log(total * sd * _STEP))


def log_ratio(fit: ArrayLike, n: ArrayLike, effect: ArrayLike) -> Floats:
    """ln of the likelihood ratio of effect size `effect` (mean/sd) against 0, of what n normal values say up to scale.

    `fit` is Σx/√(n·Σx²) in [−1, 1], that is t/√(t²+ν) with ν = n − 1; the arguments broadcast; n ≥ 1 need not be
    whole. Under independent normal values of mean 0 and any one variance the ratio is a martingale in n.
    Source: Lai 1976; Pérez-Ortiz, Lardy, de Heide & Grünwald, "E-statistics, group invariance and anytime-valid
    testing" (Annals of Statistics 2024), example 1.
    """
    size = np.asarray(n, np.float64)
    delta = np.asarray(effect, np.float64)
    moved = _log_integral(size - 1, delta * np.sqrt(size) * np.asarray(fit, np.float64))
    still = (size / 2 - 1) * math.log(2) + _log_gamma(size / 2)  # I(ν, 0) = 2^((ν−1)/2)·Γ((ν+1)/2)
    return np.asarray(moved - still - delta * delta * size / 2)


def noncentral_t_density(t: ArrayLike, df: ArrayLike, nc: ArrayLike) -> Floats:
    """The density at `t` of Student's noncentral t with `df` > 0 degrees of freedom and noncentrality `nc`.

    The arguments broadcast, all within ±1e6. Errors: stats.data, stats.shape.
    Source: Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 2, chapter 31.
    """
    named = ((t, "statistics"), (df, "degrees of freedom"), (nc, "noncentralities"))
    t, df, nc = broadcast(*named, most=MOST)
    if df.size and float(df.min()) < 1e-100:
        raise MillraceError("stats.data", f"{df.min():g} degrees of freedom", "give a number above 0")
    scale = df + t * t
    inside = _log_integral(df, nc * t / np.sqrt(scale))
    constant = df / 2 * np.log(df) - nc * nc / 2 - math.log(math.pi) / 2 - _log_gamma(df / 2)
    log_density = constant - (df - 1) / 2 * math.log(2) - (df + 1) / 2 * np.log(scale) + inside
    return np.asarray(np.exp(log_density))


def _log_gamma(x: Floats) -> Floats:
    flat = np.asarray(x, np.float64)
    return np.array([math.lgamma(v) for v in flat.ravel().tolist()]).reshape(flat.shape)
