"""Metrics of classes and probabilities, each as (value, influence) so that every band, block and sequence serves it.

Claim: the values equal scikit-learn's to 1e-9; the influence values sum to 0 and their variance over units gives the
band (`bands.py`). None where scikit-learn would warn or invent a number: one class only, nothing predicted.
Two classes: labels 0/1, probabilities of class 1. Many classes: labels 0 … k−1, probabilities (n, k).
What breaks it: few events (a hundred rows with three positives carry three pieces of evidence).
Sources: Hampel 1974; for average precision the influence of the plug-in estimate, derived in the code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.influence import Influenced, check_binary, mean_influence, ratio_influence
from millrace.stats.verdict import Floats, Ints, check_ids, check_losses, column, numbers, same_length

SMALLEST = float(np.finfo(np.float64).eps)  # probabilities are kept this far from 0 and 1, as scikit-learn does


def predicted(probabilities: ArrayLike, threshold: float = 0.5) -> Floats:
    """1 where the probability reaches the threshold, else 0. Errors: stats.data, stats.shape."""
    return (check_losses(probabilities, "probabilities") >= threshold).astype(np.float64)


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The mean of −ln p(label)."""
    y, p = _rows(labels, probabilities)
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return mean_influence(-np.log(np.where(y == 1, p, 1 - p)))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The mean of (p − label)²."""
    y, p = _rows(labels, probabilities)
    return mean_influence((p - y) ** 2)


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The share of rows predicted right; 0/1 arrays."""
    y, z = _classes(labels, predictions)
    return mean_influence((y == z).astype(np.float64))


def precision(labels: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The share of positives among those predicted positive."""
    y, z = _classes(labels, predictions)
    return ratio_influence(y * z, z)


def recall(labels: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The share of positives that are predicted positive (true-positive rate)."""
    y, z = _classes(labels, predictions)
    return ratio_influence(y * z, y)


def false_positive_rate(labels: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The share of negatives that are predicted positive."""
    y, z = _classes(labels, predictions)
    return ratio_influence((1 - y) * z, 1 - y)


def selection_rate(labels: ArrayLike, predictions: ArrayLike) -> Influenced | None:
    """The share of rows that are predicted positive, whatever their label."""
    return mean_influence(_classes(labels, predictions)[1])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> Influenced | None:
    """The area under precision and recall as a step function, ties together; `scores`: (n,) finite.

    With A(s) = P(Y=1, S≥s), B(s) = P(S≥s), π = P(Y=1) it is E[Y·A(S)/B(S)]/π, whose derivative towards one row is
    y·A/B(s) + y·E[Y;S≤s;1/B] − E[Y;S≤s;A/B²] − T, less the value times y − π, all over π.
    """
    y, s = check_binary(labels), column(scores, "scores")
    n = same_length("labels and scores", y, s)
    positives = float(y.sum())
    if not positives:
        return None
    _, group = np.unique(s, return_inverse=True)
    hits = np.bincount(group, weights=y)
    above_all = np.bincount(group)[::-1].cumsum()[::-1] / n
    above = hits[::-1].cumsum()[::-1] / n
    share = above / above_all
    value = float(hits @ share) / positives
    first = np.cumsum(hits / above_all)[group] / n
    second = np.cumsum(hits * above / above_all**2)[group] / n
    base = positives / n
    moved = y * share[group] + y * first - second - value * base
    return value, np.asarray((moved - value * (y - base)) / base)


def log_loss_classes(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The mean of −ln p(label) over k classes; rows of `probabilities` sum to 1."""
    y, p = check_classes(labels, probabilities)
    return mean_influence(-np.log(np.clip(p[np.arange(len(y)), y], SMALLEST, 1 - SMALLEST)))


def brier_classes(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The mean over rows of Σ_c (p_c − [label = c])², from 0 to 2; at two classes twice `brier`."""
    y, p = check_classes(labels, probabilities)
    return mean_influence(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1))


def accuracy_classes(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The share of rows whose likeliest class (the first of equals) is the label."""
    y, p = check_classes(labels, probabilities)
    return mean_influence((p.argmax(axis=1) == y).astype(np.float64)) if len(y) else None


def f1_macro(labels: ArrayLike, probabilities: ArrayLike) -> Influenced | None:
    """The plain mean over classes of F1, likeliest class against label; classes never seen nor said are left out."""
    y, p = check_classes(labels, probabilities)
    if not len(y):
        return None
    said = p.argmax(axis=1)
    total, influence, classes = 0.0, np.zeros(len(y)), 0
    for c in range(p.shape[1]):
        is_, says = (y == c).astype(np.float64), (said == c).astype(np.float64)
        one = ratio_influence(2 * is_ * says, is_ + says)
        if one is not None:
            total, influence, classes = total + one[0], influence + one[1], classes + 1
    return total / classes, influence / classes


def check_classes(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    """Labels 0 … k−1 (n,) and probabilities (n, k ≥ 2) whose rows sum to 1. Errors: stats.data, stats.shape."""
    y, p = check_ids(labels, "labels"), numbers(probabilities, "probabilities")
    if p.ndim != 2 or p.shape[1] < 2 or y.shape != (len(p),):
        hint = "give (n,) labels and (n, classes) probabilities"
        raise MillraceError("stats.shape", f"labels {y.shape} and probabilities {p.shape}", hint)
    if y.size and int(y.max()) >= p.shape[1]:
        hint = "number the classes 0, 1, … in the order of the probabilities' columns"
        raise MillraceError("stats.data", f"label {int(y.max())} of {p.shape[1]} classes", hint)
    if p.size and (float(p.min()) < 0 or float(np.abs(p.sum(axis=1) - 1).max()) > 1e-6):
        hint = "divide each row by its sum"
        raise MillraceError("stats.data", "probabilities that are negative or do not sum to 1", hint)
    return y, p


def _rows(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    y, p = check_binary(labels), check_losses(probabilities, "probabilities")
    same_length("labels and probabilities", y, p)
    return y, p


def _classes(labels: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    y, z = check_binary(labels), check_binary(predictions, "predictions")
    same_length("labels and predictions", y, z)
    return y, z
