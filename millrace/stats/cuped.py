"""Less noise from what was known before: regression adjustment of an outcome by covariates.

Claim: the adjusted outcome has the same mean difference between randomised arms and at most the raw variance (up to
the error of the fit). Unit of evidence: unchanged. Fit on rows seen before those that are judged (for instance
control's earlier window): then the adjustment is a fixed function and every sequential method stays valid.
What breaks it: covariates that the arm can influence (a score of the new model, a latency).
On flights it saved −4 … 12 %: measure `saving` before relying on it.
Source: Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments" (WSDM 2013).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats, column, numbers, same_rows, within

_NARROWEST = 1e-150  # of a covariate's distances from its mean


class Adjustment(NamedTuple):
    """`slopes`: (p,) by least squares; `centres`: (p,) the covariates' means; `saving`: the share of variance saved."""

    slopes: Floats
    centres: Floats
    saving: float

    def fits(self) -> None:
        """Whether there is a slope for every centre. Errors: stats.shape."""
        same_rows("slopes and centres", self.slopes, self.centres)


def cuped_fit(values: ArrayLike, covariates: ArrayLike) -> Adjustment:
    """Fit on earlier rows. `values`: (n,); `covariates`: (n,) or (n, p). A constant covariate gets slope 0.

    With fewer than p + 2 rows nothing is adjusted. Errors: stats.data, stats.shape.
    """
    y = column(values, "values")
    x = _table(covariates, len(y))
    centres = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
    if len(y) < x.shape[1] + 2 or float(y.var()) == 0:
        return Adjustment(np.zeros(x.shape[1]), centres, 0.0)
    apart = x - centres
    width = np.abs(apart).max(axis=0)
    width[width < _NARROWEST] = np.inf  # so narrow a covariate has no slope that a float could hold
    slopes = np.linalg.lstsq(apart / width, y - y.mean(), rcond=None)[0] / width
    left = y - y.mean() - apart @ slopes
    return Adjustment(slopes, centres, float(1 - left.var() / y.var()))


def cuped_apply(adjustment: Adjustment, values: ArrayLike, covariates: ArrayLike) -> Floats:
    """`values` less what their covariates explain; (n,). Errors: stats.data, stats.shape."""
    y = column(values, "values")
    x = _table(covariates, len(y))
    if x.shape[1] != len(adjustment.slopes):
        raise MillraceError("stats.shape", f"{x.shape[1]} covariates", f"fitted on {len(adjustment.slopes)}")
    return np.asarray(y - (x - adjustment.centres) @ adjustment.slopes)


def _table(covariates: ArrayLike, n: int) -> Floats:
    x = within(numbers(covariates, "covariates"), "covariates")
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or len(x) != n:
        raise MillraceError("stats.shape", f"covariates of shape {x.shape} for {n} values", "give one row a value")
    return x
