"""Metrics that are no plain means, as means: a value and each row's influence on it.

Claim: metric(rows) ≈ truth + mean(influence), so that bands, blocks and sequences for means serve AUC, F1 and ratios.
Unit of evidence: whatever the rows are gathered into; the influence values sum to 0. The answer everywhere is
(value, influence (n,)), and None where the metric is not defined (one class only, an empty denominator).
What breaks it: few events (the linearisation needs some 30 positives and negatives).
Source: Hampel 1974; for AUC DeLong, DeLong & Clarke-Pearson 1988 (the variance of the influence is DeLong's).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats, check_losses, column, same_length

Influenced = tuple[float, Floats]


def mean_influence(values: ArrayLike) -> Influenced | None:
    """The mean of `values` (n,)."""
    x = column(values, "values")
    return (float(x.mean()), x - x.mean()) if len(x) else None


def ratio_influence(numerators: ArrayLike, denominators: ArrayLike) -> Influenced | None:
    """Σ numerators / Σ denominators, both (n,): revenue per click, precision, recall, a share within a slice."""
    top, bottom = column(numerators, "numerators"), column(denominators, "denominators")
    same_length("numerators and denominators", top, bottom)
    total = float(bottom.sum())
    if abs(total) < 1e-100:  # what is next to nothing is no denominator
        return None
    value = float(top.sum()) / total
    return value, (top - value * bottom) / (total / len(bottom))


def f1_influence(labels: ArrayLike, predicted: ArrayLike) -> Influenced | None:
    """F1 = 2·TP/(Σ predicted + Σ labels) from 0/1 arrays (n,)."""
    y, p = check_binary(labels), check_binary(predicted, "predictions")
    same_length("labels and predictions", y, p)
    return ratio_influence(2 * y * p, y + p)


def auc_influence(labels: ArrayLike, scores: ArrayLike) -> Influenced | None:
    """The area under the ROC curve, ties ½. `labels`: 0/1 (n,); `scores`: (n,) finite. O(n log n)."""
    y, s = check_binary(labels), column(scores, "scores")
    same_length("labels and scores", y, s)
    positive = y == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if not (m and n):
        return None
    high, low = np.sort(s[positive]), np.sort(s[~positive])
    below = (np.searchsorted(low, s, "left") + np.searchsorted(low, s, "right")) / (2 * n)
    above = 1 - (np.searchsorted(high, s, "left") + np.searchsorted(high, s, "right")) / (2 * m)
    value = float(below[positive].mean())
    rows = m + n
    return value, np.where(positive, (below - value) * rows / m, (above - value) * rows / n)


def check_binary(values: ArrayLike, what: str = "labels") -> Floats:
    """A column of 0 and 1 (or bool) as float64. Errors: stats.data, stats.shape."""
    x = check_losses(values, what)
    if bool(((x != 0) & (x != 1)).any()):
        raise MillraceError(
            "stats.data", f"the {what} hold values other than 0 and 1", "encode the two classes as 0, 1"
        )
    return x
