"""Calibration of scores into probabilities: isotonic regression and beta calibration.

Claim: `isotonic_fit` is the least-squares rising step function (equal to scikit-learn's to 1e-9), `beta_fit` the most
likely curve logit p = c + a·ln s − b·ln(1−s) with a, b ≥ 0, which holds the identity, so that an honest score stays
as it is. Unit of evidence: the row. Between the steps both ends are joined by a line; outside, the end's value holds.
What breaks it: few positives (isotonic then says 0 and 1: use beta below some thousand rows), and a relation of label
to score that changed since.
Sources: Ayer et al. 1955 and Best & Chakravarti 1990 for pooling; Zadrozny & Elkan (KDD 2002); Kull, Silva Filho &
Flach (AISTATS 2017).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError
from millrace.stats.reliability import check_ridge, expit, logistic
from millrace.stats.verdict import Floats, check_losses, column, same_length, same_rows

_PASSES = 40
_EDGE = 1e-12
_NOTHING = 1e-280  # of the largest weight: what weighs less weighs nothing


class Isotonic(NamedTuple):
    """A rising step function: `scores` (k,) rising and `values` (k,) not falling, joined by lines."""

    scores: Floats
    values: Floats

    def fits(self) -> None:
        """Whether there are steps, and a value for each. Errors: stats.shape."""
        if not same_rows("scores and values of steps", self.scores, self.values):
            raise MillraceError("stats.shape", "a step function without steps", "fit it on at least one row")


class Beta(NamedTuple):
    """logit p = `c` + `a`·ln s − `b`·ln(1−s); (1, 1, 0) is the identity."""

    a: float
    b: float
    c: float


def isotonic_fit(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Isotonic:
    """The rising function of `scores` (n ≥ 1,) closest to `labels` (n,) in [0, 1]; O(n log n).

    `weights`: (n,) ≥ 0, not all 0. Errors: stats.data, stats.shape, stats.weight.
    """
    s, y = column(scores, "scores"), check_losses(labels, "labels")
    w = np.ones(len(s)) if weights is None else column(weights, "weights")
    same_length("scores, labels and weights", s, y, w)
    if not len(s):
        raise MillraceError("stats.data", "no rows to calibrate on", "give at least one labelled row")
    if float(w.min()) < 0 or not float(w.sum()) > 0:
        raise MillraceError("stats.weight", "weights that are negative or all 0", "give weights ≥ 0")
    w = w / w.max()  # so that no product of a weight runs out of digits
    seen = w > _NOTHING
    x, group = np.unique(s[seen], return_inverse=True)
    weight = np.bincount(group, weights=w[seen])
    means = np.bincount(group, weights=w[seen] * y[seen]) / weight
    starts, levels = pooled(means, weight)
    ends = np.append(starts[1:], len(x)) - 1
    knots = np.unique(np.concatenate([starts, ends]))
    level = np.repeat(levels, np.diff(np.append(starts, len(x))))
    return Isotonic(x[knots], level[knots])


def isotonic_apply(fitted: Isotonic, scores: ArrayLike) -> Floats:
    """The calibrated probabilities of `scores` (n,). Errors: stats.data, stats.shape."""
    found = np.interp(column(scores, "scores"), fitted.scores, fitted.values)
    return np.clip(found, fitted.values[0], fitted.values[-1])  # a step between scores next to nothing has no slope


def pooled(means: NDArray[Any], weights: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
    """Pool adjacent violators: where blocks start (k,) int64, and their levels (k,), rising.

    Every pass pools all falling runs at once (two neighbours that fall belong to one block of the answer, whatever
    else is pooled first); what is left after some passes, if anything, is pooled one by one.
    """
    starts = np.arange(len(means))
    level, weight = means.astype(np.float64), weights.astype(np.float64)
    for _ in range(_PASSES):
        new = np.concatenate([[True], level[1:] > level[:-1]])
        if new.all():
            return starts, level
        first = np.flatnonzero(new)
        total = np.add.reduceat(weight, first)
        level = np.add.reduceat(weight * level, first) / total
        starts, weight = starts[first], total
    return _one_by_one(starts, level, weight)


def _one_by_one(starts: NDArray[Any], level: Floats, weight: Floats) -> tuple[NDArray[Any], Floats]:
    kept: list[tuple[int, float, float]] = []
    for start, y, w in zip(starts.tolist(), level.tolist(), weight.tolist(), strict=True):
        while kept and kept[-1][1] >= y:
            start, before, more = kept.pop()
            y, w = (before * more + y * w) / (more + w), w + more
        kept.append((start, y, w))
    return np.array([k[0] for k in kept]), np.array([k[1] for k in kept])


def beta_fit(scores: ArrayLike, labels: ArrayLike, *, ridge_rows: float = 0.0) -> Beta | None:
    """The beta calibration of `scores` (n,) in [0, 1] to `labels` (n,) 0/1, with a ridge of rows towards the identity.

    A negative exponent is set to 0 and the rest fitted anew. None where it is not defined: one class, constant scores
    or a perfect separation, without ridge. Errors: stats.data, stats.shape.
    """
    ridge = check_ridge(ridge_rows)
    s, y = np.clip(check_losses(scores, "scores"), _EDGE, 1 - _EDGE), check_losses(labels, "labels")
    same_length("scores and labels", s, y)
    if not ridge and (len(np.unique(y)) < 2 or len(np.unique(s)) < 2):
        return None
    design = np.column_stack([np.log(s), -np.log1p(-s), np.ones(len(s))])
    used = [0, 1, 2]
    while True:
        start = np.array([1.0, 1.0, 0.0])[used]
        fitted = logistic(design[:, used], y, start=start, ridge=np.full(len(used), ridge))
        if fitted is None:
            return None
        found = np.zeros(3)
        found[used] = fitted
        falling = [i for i in used if i < 2 and found[i] < 0]
        if not falling:
            return Beta(*found.tolist())
        used.remove(min(falling, key=lambda i: found[i]))


def beta_apply(fitted: Beta, scores: ArrayLike) -> Floats:
    """The calibrated probabilities of `scores` (n,) in [0, 1]. Errors: stats.data, stats.shape."""
    s = np.clip(check_losses(scores, "scores"), _EDGE, 1 - _EDGE)
    return expit(fitted.c + fitted.a * np.log(s) - fitted.b * np.log1p(-s))
