"""Are the probabilities honest? Calibration as a curve, an error, and a slope and intercept.

Claim: of the rows that were given probability p, a share p turns out positive. Unit of evidence: that of the bands.
The binned error is biased upwards: even honest probabilities get about Σ_b √(2·Σp(1−p)/π)/n; `calibration_error`
reports it plain, as the field does, with that expectation beside it in `Reliability`.
What breaks it: few rows in a bin; an error of 0 in the mean that hides opposite errors in two slices (measure slices).
Sources: Naeini, Cooper & Hauskrecht (AAAI 2015); Cox 1958 for slope and intercept; Kumar, Liang & Ma (NeurIPS 2019) for
the bias.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.bands import Band, BandUnit, band, units_of
from millrace.stats.influence import Influenced, check_binary, mean_influence, ratio_influence
from millrace.stats.verdict import Floats, Ints, check_losses, check_whole, same_length, scalar

BINS = 10
_EDGE = 1e-12  # probabilities are kept this far from 0 and 1 before their logit


class Bin(Struct, frozen=True):
    """One bin of the curve: the mean probability given, the share that was positive with its band, and the rows."""

    probability: float
    share: Band
    rows: int


class Reliability(Struct, frozen=True):
    """The curve (empty bins left out), the binned error, and what the error would be if all were honest."""

    bins: tuple[Bin, ...]
    error: Band
    expected_error: float


class Recalibration(NamedTuple):
    """logit P(y=1) = intercept + slope·logit p: (0, 1) for honest probabilities; slope < 1 means overconfident."""

    intercept: float
    slope: float


def calibration_residual(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The mean of label − probability: calibration in the large."""
    y, p = _rows(labels, probabilities)
    return mean_influence(y - p)


def calibration_error(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = BINS) -> Influenced | None:
    """Σ over bins of equal width of |Σ(label − p)|/n (expected calibration error), from 0 to 1. Errors: stats.data."""
    y, p = _rows(labels, probabilities)
    if not len(y):
        return None
    place = _places(p, bins)
    residual = y - p
    signs = np.sign(np.bincount(place, weights=residual, minlength=bins))
    return mean_influence(signs[place] * residual)


def calibration_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    alpha: float = 0.05,
    *,
    bins: int = BINS,
    units: ArrayLike | None = None,
    unit: BandUnit | None = None,
) -> Reliability:
    """The calibration curve over `bins` bins of equal width, bands by unit. Errors: stats.data, stats.shape."""
    y, p = _rows(labels, probabilities)
    place = _places(p, bins)
    number = None if units is None else units_of(units, len(y))
    found = []
    for b in np.unique(place).tolist():
        inside = place == b
        rows = int(inside.sum())
        own = None if number is None else number[inside]
        share = ratio_influence(y[inside], np.ones(rows))
        shown = band("share positive", share, alpha, units=own, unit=unit, limits=(0, 1), share_of=rows)
        found.append(Bin(float(p[inside].mean()), shown, rows))
    error = calibration_error(y, p, bins=bins)
    noise = np.bincount(place, weights=p * (1 - p), minlength=bins)
    expected = float(np.sqrt(2 * noise / math.pi).sum()) / max(len(y), 1)
    return Reliability(tuple(found), band("calibration_error", error, alpha, units=units, unit=unit), expected)


def recalibration(labels: ArrayLike, probabilities: ArrayLike, *, ridge_rows: float = 0.0) -> Recalibration | None:
    """Intercept and slope by maximum likelihood, or with a ridge of `ridge_rows` rows of evidence for (0, 1).

    None where they are not defined: one class only, constant probabilities, or a perfect separation (without ridge).
    Errors: stats.data, stats.shape.
    """
    y, p = _rows(labels, probabilities)
    x, ridge = logit(p), check_ridge(ridge_rows)
    if not ridge and (len(np.unique(y)) < 2 or not float(np.ptp(x)) > 0):
        return None
    design = np.column_stack([np.ones(len(x)), x])
    fitted = logistic(design, y, start=np.array([0.0, 1.0]), ridge=np.full(2, ridge))
    return None if fitted is None else Recalibration(float(fitted[0]), float(fitted[1]))


def logit(probabilities: Floats) -> Floats:
    """ln p/(1−p), with p kept 1e-12 away from 0 and 1."""
    p = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(p) - np.log1p(-p))


def expit(x: Floats) -> Floats:
    """1/(1 + e^−x) without overflow."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e))


def logistic(design: Floats, labels: Floats, *, start: Floats, ridge: Floats, steps: int = 60) -> Floats | None:
    """Coefficients of a logistic regression by Newton's method, pulled towards `start` by `ridge` rows each.

    `design`: (n, p); `labels`: (n,) in [0, 1]; the penalty is ridge·¼·(b − start)²/2, a quarter being a row's most
    information at a unit of the covariate. None when it does not converge (a perfect separation without ridge).
    """
    beta = np.array(start, np.float64)
    weight = np.asarray(ridge, np.float64) / 4

    def loss(at: Floats) -> float:
        x = design @ at
        return float((np.logaddexp(0, x) - labels * x).sum() + weight @ (at - start) ** 2 / 2)

    now = loss(beta)
    for _ in range(steps):
        p = expit(design @ beta)
        gradient = design.T @ (labels - p) - weight * (beta - start)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(weight)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        size = float(np.abs(step).max())
        if not np.isfinite(size) or float(np.abs(beta).max()) > 1e6:
            return None
        if size < 1e-12 * max(1.0, float(np.abs(beta).max())):
            return beta + step
        after = loss(beta + step)
        while after > now + 1e-12 * abs(now) and size > 1e-12:
            step, size = step / 2, size / 2
            after = loss(beta + step)
        beta, now = beta + step, after
    return None


def check_ridge(rows: float) -> float:
    """A ridge in rows of evidence, ≥ 0. Errors: stats.data."""
    ridge = scalar(rows, "ridge in rows")
    if ridge < 0:
        raise MillraceError("stats.data", f"a ridge of {ridge:g} rows", "give rows ≥ 0; 0 for none")
    return ridge


def _places(p: Floats, bins: int) -> Ints:
    bins = check_whole(bins, "number of bins", least=1, most=10_000)
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def _rows(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    y, p = check_binary(labels), check_losses(probabilities, "probabilities")
    same_length("labels and probabilities", y, p)
    return y, p
