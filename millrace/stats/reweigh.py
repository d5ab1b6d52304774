"""The reference made to look like a window, by density ratios, where that is safe.

Claim: with weights r(x) = density(window)/density(reference), a calibration of the weighted reference is the window's
own, if only the mix of rows changed. It is sharper than the blend where weights stay even and up to twice as wrong
where they do not, so it is used only while the effective share (Σr)²/(n·Σr²) is at least `EVEN`; else, and for windows
too small to tell, the estimator is answered as it was. The band's history stays that of the estimator's own source.
Unit of evidence: the row. The ratio is cross-fitted (a learner never weighs the rows that it was fitted on) and cut at
`MOST` times the mean.
What breaks it: rows unlike any of the reference (weights cannot make them up), and concept drift, as ever.
Sources: Sugiyama, Suzuki & Kanamori 2012; Kish 1965 for the effective share; NannyML's documentation of PAPE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.estimation import Estimator, Learner, Window, calibration_fit, check_features
from millrace.stats.verdict import Floats, check_losses, check_open_share, check_whole, same_length

EVEN = 0.8
MOST = 20.0
FOLDS = 5
_EDGE = 1e-3


def density_ratio(
    reference: ArrayLike, window: ArrayLike, learner: Learner, *, folds: int = FOLDS
) -> tuple[Floats, float]:
    """Weights of the reference's rows (n,) with mean 1 towards a window's, and their effective share in (0, 1].

    `reference`: (n, p), `window`: (m, p); `learner` tells the two apart. A side of fewer rows than folds tells nothing:
    all rows then weigh alike.
    Rows are dealt into folds by turns. Errors: stats.data, stats.shape.
    """
    a, b = check_features(reference), check_features(window)
    if a.shape[1] != b.shape[1]:
        raise MillraceError("stats.shape", f"{a.shape[1]} and {b.shape[1]} features", "give the same features")
    folds = check_whole(folds, "number of folds", least=2)
    n, m = len(a), len(b)
    if n < folds or m < folds:
        return np.ones(n), 1.0
    chance = np.empty(n)
    fold_a, fold_b = np.arange(n) % folds, np.arange(m) % folds
    for fold in range(folds):
        seen = np.concatenate([a[fold_a != fold], b[fold_b != fold]])
        which = np.concatenate([np.zeros(int((fold_a != fold).sum())), np.ones(int((fold_b != fold).sum()))])
        chance[fold_a == fold] = check_losses(learner(seen, which)(a[fold_a == fold]), "the learner's chances")
    chance = np.clip(chance, _EDGE, 1 - _EDGE)
    ratio = chance / (1 - chance)
    ratio = np.minimum(ratio / ratio.mean(), MOST)
    ratio = ratio / ratio.mean()
    return ratio, float(1 / (ratio**2).mean())


def estimator_weighted(
    estimator: Estimator,
    labels: ArrayLike,
    scores: ArrayLike,
    features: ArrayLike,
    window: Window,
    learner: Learner,
    *,
    even: float = EVEN,
) -> tuple[Estimator, float]:
    """The estimator for this one window, calibrated on the reweighed reference if its weights are even, and the share.

    `labels`, `scores`, `features`: the reference that `estimator` was fitted on. Errors: stats.data, stats.shape,
    stats.weight.
    """
    check_open_share(even, "least effective share")
    y, s, x = check_losses(labels, "labels"), check_losses(scores, "scores"), check_features(features)
    same_length("labels, scores and features", y, s, x)
    if window.features is None:
        raise MillraceError("stats.data", "a window without features", "give what the estimator was fitted on")
    weights, share = density_ratio(x, window.features, learner)
    if share < even or len(window.scores) < FOLDS:
        return estimator, share
    return estimator._replace(calibration=calibration_fit(s, y, weights), source="weighted"), share
