"""What a regressor's loss is now, while the truth is still to come: a second learner predicts the loss of each row.

Claim: without concept drift the band covers the mean loss that the truth will show with probability 1 − α. Unit of
evidence: the window. The band's parts are as in `estimation.py`: `luck` (the spread of single losses about their
prediction, which grows with it: isotonic in the prediction) and `history` (out-of-fold error of whole windows beyond
luck). Any loss of one row will do: absolute, squared (`root=True` answers its root), pinball, a cost.
What breaks it: **it is blind to concept drift**; losses with tails so heavy that the mean of a window has no spread;
a reference whose losses were all alike, which tells of no spread: the band then has no width.
Source: "direct loss estimation" as NannyML documents it; the bands are ours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.estimation import MOST_LATE, RECENT, Estimate, Learner, Scorer, check_features
from millrace.stats.isotonic import Isotonic, isotonic_apply, isotonic_fit
from millrace.stats.student import satterthwaite, student_quantile
from millrace.stats.verdict import Floats, check_alpha, check_whole, column, finite, of_shape, same_length


class LossEstimator(NamedTuple):
    """A fitted estimator of one loss: `scorer` predicts a row's loss, `spread`·`scale` its variance about that.

    `squares`, `lucks`: (k,) of the reference's windows, out of fold, and then of windows whose truth came late.
    """

    metric: str
    root: bool
    scorer: Scorer
    spread: Isotonic
    scale: float
    squares: Floats
    lucks: Floats
    of_reference: int

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.shape."""
        of_shape("squares and lucks", (len(self.squares),), self.squares, self.lucks)
        if not 0 < self.of_reference <= len(self.squares) or not self.scale > 0:
            raise MillraceError("stats.shape", "an estimator without a reference", "fit it on labelled windows")


def loss_fit(
    metric: str,
    losses: ArrayLike,
    features: ArrayLike,
    learner: Learner,
    *,
    root: bool = False,
    rows_a_window: int = 1000,
    folds: int = 10,
) -> LossEstimator:
    """Fit on the losses of reference rows in the order of time. `losses`: (n,) ≥ 0; `features`: (n, p).

    The model's own prediction belongs among the features. Errors: stats.data, stats.shape.
    """
    loss, x = _losses(losses), check_features(features)
    n = same_length("losses and features", loss, x)
    folds = check_whole(folds, "number of folds", least=2)
    rows_a_window = check_whole(rows_a_window, "number of rows a window", least=1)
    if n < 2 * folds:
        hint = "give at least two rows a fold, two folds, and windows of at least one row"
        raise MillraceError("stats.data", f"{n} rows in {folds} folds, windows of {rows_a_window}", hint)
    guess = np.empty(n)
    for rows in np.array_split(np.arange(n), folds):
        others = np.ones(n, bool)
        others[rows] = False
        guess[rows] = _said(learner(x[others], loss[others]), x[rows])
    left = (loss - guess) ** 2
    scale = max(float(left.max()), 1e-300)
    spread = isotonic_fit(guess, left / scale)
    windows = np.array_split(np.arange(n), max(n // rows_a_window, 1))
    squares = [_square(guess[w], loss[w]) for w in windows]
    lucks = [_luck(spread, scale, guess[w]) for w in windows]
    scorer = learner(x, loss)
    return LossEstimator(metric, root, scorer, spread, scale, np.array(squares), np.array(lucks), len(windows))


def loss_estimate(estimator: LossEstimator, features: ArrayLike, alpha: float = 0.1) -> Estimate:
    """The estimated mean loss (or its root) of a window's rows (m, p). Errors: stats.alpha, stats.data, stats.shape."""
    alpha = check_alpha(alpha)
    x = check_features(features)
    guess = _said(estimator.scorer, x)
    if not len(guess):
        return Estimate(metric=estimator.metric, value=None, low=None, high=None, alpha=alpha, rows=0, source="direct")
    value = max(float(guess.mean()), 0.0)
    luck, (history, square, counted) = _luck(estimator.spread, estimator.scale, guess), _history(estimator)
    degrees = satterthwaite(luck + history, square, counted)
    half = student_quantile(alpha, degrees) * math.sqrt(luck + history)
    low, high, slope = max(value - half, 0.0), value + half, 1.0
    if estimator.root:
        slope = 1 / (2 * math.sqrt(value)) if value > 0 else 1.0
        value, low, high = math.sqrt(value), math.sqrt(low), math.sqrt(high)
    return Estimate(
        metric=estimator.metric,
        value=finite(value),
        low=finite(low),
        high=finite(high),
        alpha=alpha,
        rows=len(guess),
        source="direct",
        luck=math.sqrt(luck) * slope,
        history=math.sqrt(history) * slope,
    )


def loss_learn(estimator: LossEstimator, features: ArrayLike, losses: ArrayLike) -> LossEstimator:
    """The estimator after a window's truth came: its error widens later bands if it exceeds the reference's."""
    loss, x = _losses(losses), check_features(features)
    if not same_length("losses and features", loss, x):
        return estimator
    guess = _said(estimator.scorer, x)
    k, luck = estimator.of_reference, _luck(estimator.spread, estimator.scale, guess)
    kept = np.r_[0:k, max(k, len(estimator.squares) - MOST_LATE + 1) : len(estimator.squares)]
    return estimator._replace(
        squares=np.append(estimator.squares[kept], _square(guess, loss)), lucks=np.append(estimator.lucks[kept], luck)
    )


def _square(guess: Floats, loss: Floats) -> float:
    return (max(float(guess.mean()), 0.0) - float(loss.mean())) ** 2


def _history(estimator: LossEstimator) -> tuple[float, float, int]:
    """Squared error beyond luck, the mean square behind it (the reference's or the newest late ones'), windows seen."""

    def beyond(windows: slice) -> tuple[float, float]:
        square = float(estimator.squares[windows].mean())
        return square - float(estimator.lucks[windows].mean()), square

    k, all_of_them = estimator.of_reference, len(estimator.squares)
    found = beyond(slice(0, k))
    if all_of_them > k:
        found = max(found, beyond(slice(max(k, all_of_them - RECENT), None)))
    return max(found[0], 0.0), found[1], k + min(all_of_them - k, RECENT)


def _luck(spread: Isotonic, scale: float, guess: Floats) -> float:
    return float(isotonic_apply(spread, guess).sum()) * scale / len(guess) ** 2


def _said(scorer: Scorer, rows: Floats) -> Floats:
    if not len(rows):
        return np.zeros(0)
    found = column(scorer(rows), "the learner's losses")
    same_length("rows and the learner's losses", rows, found)
    return found


def _losses(losses: ArrayLike) -> Floats:
    loss = column(losses, "losses")
    if loss.size and float(loss.min()) < 0:
        raise MillraceError("stats.data", "a loss is negative", "give losses ≥ 0, such as absolute errors")
    return loss
