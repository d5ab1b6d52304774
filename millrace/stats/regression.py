"""Metrics of numbers and of predicted quantiles, each as (value, influence).

Claim: the values equal scikit-learn's to 1e-9; the influence values sum to 0 and give the bands (`bands.py`).
Unit of evidence: that of the bands.
None where the metric is not defined: no rows, or R² of a constant truth.
What breaks it: heavy tails (one row decides a mean of squares: compare with `absolute_error`), and a relative error of
truths near 0.
Sources: Koenker & Bassett 1978 for the pinball loss; Gneiting & Raftery 2007 for the interval score; Hampel 1974 for
influence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.influence import Influenced, mean_influence
from millrace.stats.verdict import Floats, check_open_share, column, same_length

_SMALLEST = float(np.finfo(np.float64).eps)


def bias(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The mean of prediction − truth; both (n,)."""
    y, p = _rows(truth, predictions)
    return mean_influence(p - y)


def absolute_error(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The mean of |prediction − truth|."""
    y, p = _rows(truth, predictions)
    return mean_influence(np.abs(p - y))


def squared_error(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The mean of (prediction − truth)²."""
    y, p = _rows(truth, predictions)
    return mean_influence((p - y) ** 2)


def rmse(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The root of the mean squared error."""
    return _root(squared_error(truth, predictions))


def relative_error(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The mean of |prediction − truth|/|truth|; a truth of 0 counts as 2e-16, as scikit-learn has it."""
    y, p = _rows(truth, predictions)
    return mean_influence(np.abs(p - y) / np.maximum(np.abs(y), _SMALLEST))


def log_rmse(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The root of the mean squared difference of ln(1 + x). Errors: stats.data where x ≤ −1."""
    y, p = _rows(truth, predictions)
    if len(y) and min(float(y.min()), float(p.min())) <= -1:
        raise MillraceError("stats.data", "values at or below −1 have no ln(1 + x)", "use rmse for such values")
    return _root(mean_influence((np.log1p(p) - np.log1p(y)) ** 2))


def r2(truth: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """1 − Σ(prediction − truth)²/Σ(truth − mean)²."""
    y, p = _rows(truth, predictions)
    spread = (y - y.mean()) ** 2 if len(y) else y
    total = float(spread.mean()) if len(y) else 0.0
    if total <= 0:
        return None
    error = (p - y) ** 2
    ratio = float(error.mean()) / total
    return 1 - ratio, -(error - ratio * spread) / total


def pinball(truth: ArrayLike, quantiles: ArrayLike, at: float = 0.5) -> Influenced | None:
    """The mean loss of predicted `at`-quantiles: at·(y − q) above, (1 − at)·(q − y) below. Errors: stats.weight.

    Source: Koenker & Bassett 1978.
    """
    check_open_share(at, "quantile")
    y, q = _rows(truth, quantiles)
    return mean_influence(np.where(y >= q, at * (y - q), (1 - at) * (q - y)))


def quantile_rate(truth: ArrayLike, quantiles: ArrayLike) -> Influenced | None:
    """The share of truths at or below their predicted quantile; a calibrated `at`-quantile has the rate `at`."""
    y, q = _rows(truth, quantiles)
    return mean_influence((y <= q).astype(np.float64))


def coverage(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Influenced | None:
    """The share of truths inside their predicted interval, ends included."""
    y, low, high = _intervals(truth, lower, upper)
    return mean_influence(((low <= y) & (y <= high)).astype(np.float64))


def interval_score(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike, alpha: float = 0.1) -> Influenced | None:
    """The mean of width + 2/α × how far the truth lies outside; proper for the α/2 and 1 − α/2 quantiles.

    It is 2/α × the sum of both pinball losses. Source: Gneiting & Raftery (JASA 2007), equation 43.
    Errors: stats.weight, stats.data, stats.shape.
    """
    if check_open_share(alpha, "α of the interval") < 1e-100:
        raise MillraceError("stats.weight", f"the α of the interval is {alpha!r}", "give a share such as 0.1")
    y, low, high = _intervals(truth, lower, upper)
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return mean_influence(high - low + 2 / alpha * outside)


def _root(mean: Influenced | None) -> Influenced | None:
    if mean is None:
        return None
    value, influence = mean
    root = math.sqrt(value)
    return root, influence / (2 * root) if root > 0 else influence


def _rows(truth: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    y, p = column(truth, "truths"), column(predictions, "predictions")
    same_length("truths and predictions", y, p)
    return y, p


def _intervals(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> tuple[Floats, Floats, Floats]:
    y, low, high = column(truth, "truths"), column(lower, "lower bounds"), column(upper, "upper bounds")
    same_length("truths and bounds", y, low, high)
    if bool((low > high).any()):
        raise MillraceError("stats.data", "a lower bound lies above its upper bound", "sort each row's two bounds")
    return y, low, high
