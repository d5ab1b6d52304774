"""What an arm would have earned on all traffic, when the chance of being sent there changed from request to request.

Claim: about the mean outcome of one arm over the traffic seen. Unit of evidence: the request. Each outcome counts
1/propensity, the chance **logged with that request** of the arm that served it (canary ramps, bandits).
What breaks it: propensities that were not the real ones, or so small that one request decides: see `effective`.
Source: Horvitz & Thompson 1952; Hájek 1971; Swaminathan & Joachims, "The self-normalized estimator" (NeurIPS 2015).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats, check_arms, check_shares, column, plain, same_rows

SMALLEST = 1e-9  # a propensity below this is none: its weight would be all there is


class Weighed(NamedTuple):
    """`mean`: the self-normalised estimate; `influence`: (n,) over **all** requests, 0 where the arm did not serve.

    `total`: the Horvitz-Thompson mean (unbiased, noisier); `effective`: the Kish effective number of the arm's rows.
    """

    mean: float
    influence: Floats
    total: float
    effective: float


def inverse_propensity(values: ArrayLike, served: ArrayLike, propensities: ArrayLike) -> Weighed | None:
    """The arm's mean over all traffic. All (n,): outcomes (ignored where the arm did not serve), bool, chances.

    None when the arm served nothing. Errors: stats.data, stats.shape; stats.weight for a served row of propensity 0.
    """
    z, raw, p = check_arms(served), plain(values, "values"), check_shares(propensities, "propensities")
    n = same_rows("values, arms and propensities", raw, z, p)
    y = np.zeros(n)
    y[z] = column(raw[z], "values")
    if bool((p[z] < SMALLEST).any()):
        hint = "log the chance that the request had when it was routed; a floor keeps it above 0"
        raise MillraceError("stats.weight", "a row was served with propensity 0, or next to it", hint)
    if not z.any():
        return None
    w = np.zeros(n)
    w[z] = 1 / p[z]
    whole = float(w.sum())
    mean = float(w @ y) / whole
    return Weighed(mean, w * (y - mean) / (whole / n), float(w @ y) / n, whole**2 / float(w @ w))
