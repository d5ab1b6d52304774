"""What a metric will be once labels come, from the probability of each label: in closed form, with the labels' noise.

Claim: if row i turns out positive with probability p_i, independently, the metric's expectation is `value` (exactly for
means; to first order in 1/n for ratios and AUC), and its standard deviation from the luck of labels alone is
√`noise(p, …)`. Unit of evidence: the row. Each metric answers (value, gradient): the gradient is ∂metric/∂label of each
row, (n,), at the expected labels, so the noise is Σ p(1−p)·gradient². None where a metric is not defined.
Classes: probabilities (n, k), gradients (n, k).
What breaks it: probabilities that are not honest any more; no formula over them can see that (concept drift).
Sources: confidence-based performance estimation as NannyML documents it, here as formulas instead of sampling; for AUC
the expected Mann-Whitney statistic with its own diagonal left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError
from millrace.stats.classification import SMALLEST
from millrace.stats.influence import check_binary
from millrace.stats.verdict import (
    Floats,
    Ints,
    check_ids,
    check_losses,
    check_shares,
    column,
    numbers,
    same_length,
    same_rows,
    within,
)

Expected = tuple[float, Floats]


def expected_accuracy(chances: ArrayLike, predictions: ArrayLike) -> Expected | None:
    """The share of rows predicted right; `chances` (n,) P(label = 1), `predictions` (n,) 0/1."""
    p, z = _hard(chances, predictions)
    return _mean(p * z + (1 - p) * (1 - z), 2 * z - 1)


def expected_precision(chances: ArrayLike, predictions: ArrayLike) -> Expected | None:
    """Σ p·ŷ/Σ ŷ."""
    p, z = _hard(chances, predictions)
    return _ratio(float(p @ z), float(z.sum()), z, np.zeros(len(z)))


def expected_recall(chances: ArrayLike, predictions: ArrayLike) -> Expected | None:
    """Σ p·ŷ/Σ p."""
    p, z = _hard(chances, predictions)
    return _ratio(float(p @ z), float(p.sum()), z, np.ones(len(z)))


def expected_f1(chances: ArrayLike, predictions: ArrayLike) -> Expected | None:
    """2·Σ p·ŷ/(Σ ŷ + Σ p)."""
    p, z = _hard(chances, predictions)
    return _ratio(2 * float(p @ z), float(z.sum() + p.sum()), 2 * z, np.ones(len(z)))


def expected_auc(chances: ArrayLike, scores: ArrayLike) -> Expected | None:
    """[Σ p·(negative mass below, ties ½) − ½Σ p(1−p)]/[Σp·Σ(1−p) − Σ p(1−p)]; `scores` (n,) finite. O(n log n)."""
    p, s = _soft(chances, column(scores, "scores"))
    own = p * (1 - p)
    negatives, positives = float((1 - p).sum()), float(p.sum())
    pairs = positives * negatives - float(own.sum())
    if pairs <= 1e-12:
        return None
    _, group = np.unique(s, return_inverse=True)
    below = _below(np.bincount(group, weights=1 - p))[group]  # negative mass under each row, itself at ½
    above = positives - _below(np.bincount(group, weights=p))[group]
    value = (float(p @ below) - float(own.sum()) / 2) / pairs
    top = (below - (1 - p) / 2) - (above - p / 2)
    bottom = (negatives - (1 - p)) - (positives - p)
    return value, np.asarray((top - value * bottom) / pairs)


def expected_brier(chances: ArrayLike, scores: ArrayLike) -> Expected | None:
    """The mean of p(1−s)² + (1−p)s²; `scores` (n,) in [0, 1]."""
    p, s = _soft(chances, check_losses(scores, "scores"))
    return _mean(p * (1 - s) ** 2 + (1 - p) * s**2, 1 - 2 * s)


def expected_log_loss(chances: ArrayLike, scores: ArrayLike) -> Expected | None:
    """The mean of −p·ln s − (1−p)·ln(1−s); `scores` (n,) in [0, 1], kept 2e-16 from the ends."""
    p, s = _soft(chances, check_losses(scores, "scores"))
    s = np.clip(s, SMALLEST, 1 - SMALLEST)
    hit, miss = -np.log(s), -np.log1p(-s)
    return _mean(p * hit + (1 - p) * miss, hit - miss)


def expected_cost(chances: ArrayLike, predictions: ArrayLike, costs: ArrayLike) -> Expected | None:
    """The mean cost. `costs`: (2, 2) by [label, prediction]; for classes use `expected_cost_classes`."""
    p, z = _hard(chances, predictions)
    table = _costs(costs, 2)
    one, zero = table[1, z.astype(int)], table[0, z.astype(int)]
    return _mean(p * one + (1 - p) * zero, one - zero)


def expected_accuracy_classes(chances: ArrayLike, predictions: ArrayLike) -> Expected | None:
    """The share of rows predicted right; `chances` (n, k), `predictions` (n,) 0 … k−1."""
    p, said = _class_rows(chances, predictions)
    return _class_mean(p, np.eye(p.shape[1])[said])


def expected_cost_classes(chances: ArrayLike, predictions: ArrayLike, costs: ArrayLike) -> Expected | None:
    """The mean cost; `costs`: (k, k) by [label, prediction]."""
    p, said = _class_rows(chances, predictions)
    return _class_mean(p, _costs(costs, p.shape[1]).T[said])


def expected_log_loss_classes(chances: ArrayLike, scores: ArrayLike) -> Expected | None:
    """The mean of −Σ_c p_c·ln s_c; `scores` (n, k), rows summing to 1."""
    p, s = check_chances(chances), check_chances(scores, "scores")
    _same_shape(p, s)
    return _class_mean(p, -np.log(np.clip(s, SMALLEST, 1 - SMALLEST)))


def expected_brier_classes(chances: ArrayLike, scores: ArrayLike) -> Expected | None:
    """The mean of Σ_c p_c·Σ_d (s_d − [d = c])²; `scores` (n, k), rows summing to 1."""
    p, s = check_chances(chances), check_chances(scores, "scores")
    _same_shape(p, s)
    return _class_mean(p, (s**2).sum(axis=1, keepdims=True) - 2 * s + 1)


def expected_f1_macro(chances: ArrayLike, predictions: ArrayLike) -> Expected | None:
    """The plain mean over classes of 2Σ p_c ŷ_c/(Σ ŷ_c + Σ p_c); classes without any mass are left out."""
    p, said = _class_rows(chances, predictions)
    total, gradient, classes = 0.0, np.zeros_like(p), 0
    for c in range(p.shape[1]):
        z = (said == c).astype(np.float64)
        one = _ratio(2 * float(p[:, c] @ z), float(z.sum() + p[:, c].sum()), 2 * z, np.ones(len(z)))
        if one is not None:
            total, classes = total + one[0], classes + 1
            gradient[:, c] = one[1]
    return (total / classes, gradient / classes) if classes else None


def label_noise(chances: ArrayLike, gradient: Floats) -> float:
    """The variance of a metric from the luck of labels: Σ p(1−p)·gradient², or its form for classes.

    `chances` and `gradient`: both (n,) or both (n, k). Errors: stats.weight, stats.data, stats.shape.
    """
    p, slopes = numbers(chances, "chances", code="stats.weight"), numbers(gradient, "gradients")
    p = check_chances(p) if p.ndim == 2 else check_shares(p, "chances")
    if p.shape != slopes.shape or p.ndim not in (1, 2):
        raise MillraceError("stats.shape", f"chances {p.shape}, gradient {slopes.shape}", "take both from one window")
    if slopes.size and float(np.abs(slopes).max()) > 1e100:
        raise MillraceError("stats.data", "a gradient beyond ±1e100", "choose other units for the metric")
    if p.ndim == 1:
        return float((p * (1 - p)) @ slopes**2)
    means = (p * slopes).sum(axis=1, keepdims=True)
    return float((p * (slopes - means) ** 2).sum())


def check_chances(values: ArrayLike, what: str = "chances") -> Floats:
    """(n, k ≥ 2) probabilities, rows summing to 1 up to 1e-6, exactly afterwards. Errors: stats.data, stats.shape."""
    p = numbers(values, what)
    if p.ndim != 2 or p.shape[1] < 2:
        raise MillraceError("stats.shape", f"{what} of shape {p.shape}", "give one column a class")
    if not p.size:
        return p
    sums = within(p, what).sum(axis=1, keepdims=True)
    if float(p.min()) < 0 or float(np.abs(sums - 1).max()) > 1e-6:
        raise MillraceError("stats.data", f"{what} that are negative or do not sum to 1", "divide each row by its sum")
    return np.asarray(p / sums)


EXPECTED: Mapping[str, Callable[[ArrayLike, ArrayLike], Expected | None]] = {
    "accuracy": expected_accuracy,
    "auc": expected_auc,
    "brier": expected_brier,
    "f1": expected_f1,
    "log_loss": expected_log_loss,
    "precision": expected_precision,
    "recall": expected_recall,
}
"""Expected metrics of two classes by the name they have in `metrics.py`."""


def _below(mass: NDArray[Any]) -> Floats:
    return np.asarray(np.cumsum(mass) - mass / 2)


def _mean(values: Floats, slopes: Floats) -> Expected | None:
    return (float(values.mean()), slopes / len(values)) if len(values) else None


def _ratio(top: float, bottom: float, top_slope: Floats, bottom_slope: Floats) -> Expected | None:
    if bottom < 1e-100 or not math.isfinite(bottom):  # what is next to nothing is no denominator
        return None
    value = top / bottom
    return value, np.asarray((top_slope - value * bottom_slope) / bottom)


def _class_mean(p: Floats, values: Floats) -> Expected | None:
    return (float((p * values).sum()) / len(p), values / len(p)) if len(p) else None


def _hard(chances: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    return _soft(chances, check_binary(predictions, "predictions"))


def _soft(chances: ArrayLike, scores: Floats) -> tuple[Floats, Floats]:
    p = check_losses(chances, "chances")
    same_length("chances and predictions", p, scores)
    return p, scores


def _class_rows(chances: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Ints]:
    p, said = check_chances(chances), check_ids(predictions, "predictions")
    same_rows("chances and predictions", p[:, 0] if p.shape[1] else p, said)
    if said.size and int(said.max()) >= p.shape[1]:
        raise MillraceError("stats.data", f"class {int(said.max())} of {p.shape[1]}", "number the classes from 0")
    return p, said


def _same_shape(p: Floats, s: Floats) -> None:
    if p.shape != s.shape:
        raise MillraceError("stats.shape", f"chances {p.shape} and scores {s.shape}", "give one score a class")


def _costs(costs: ArrayLike, k: int) -> Floats:
    table = within(numbers(costs, "costs"), "costs")
    if table.shape != (k, k):
        hint = f"give a ({k}, {k}) table by label and prediction"
        raise MillraceError("stats.shape", f"costs of shape {table.shape}", hint)
    return table
