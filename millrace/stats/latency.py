"""The latency guard: is the canary slower? The error guard on counts "slower than T", never on averages.

Claim: "at every threshold T, the canary's share of requests slower than T is at most r0 times control's". Unit of
evidence: the slow request (sticky: the first slow request of a unit at that T). The thresholds are the objective and
control's p50, p95 and p99 of a first window, fixed from then on; that window's requests are not counted again.
Evidence: the mean of the guards' E over the thresholds, which is an e-process however they depend on each other.
What breaks it: thresholds moved while looking; queues shared by both arms (a slow canary then slows control, and the
ratio hides it: the absolute bound of `objective.py` is for that).
Source: `guard.py`; Vovk & Wang, "E-values: calibration, combination and applications" (Annals of Statistics 2021).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.guard import EVERY, LAST, RATIOS, check_r0, factors, started
from millrace.stats.verdict import (
    ALARM,
    QUIET,
    UNDECIDED,
    Floats,
    Ints,
    Verdict,
    check_alpha,
    check_arms,
    check_count_rows,
    check_margin,
    check_shares,
    column,
    evidence,
    figure,
    finite,
    of_shape,
    same_rows,
)

QUANTILES = (0.5, 0.95, 0.99)


class Slow(NamedTuple):
    """Requests of one batch slower than each threshold. `weights`: (b,) distinct; `canary`, `control`: (k, b)."""

    weights: Floats
    canary: Ints
    control: Ints


class LatencyGuard(NamedTuple):
    """The state: a value. `thresholds_ms`: (k,); `log_s`: (k, 40); `canary`, `control`: (k,) slow requests so far.

    `canary_mass` and `control_mass`: (k,) Σ (1−w) and Σ w over them, whose quotients estimate the ratios.
    """

    r0: float
    thresholds_ms: Floats
    log_s: Floats
    peak: float
    canary: Ints
    control: Ints
    canary_mass: Floats
    control_mass: Floats

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.shape."""
        k = (len(self.thresholds_ms),)
        of_shape("slow requests", k, self.thresholds_ms, self.canary, self.control, self.canary_mass, self.control_mass)
        check_r0(self.r0)
        of_shape("evidence by threshold and ratio", (*k, len(RATIOS)), self.log_s)


def latency_thresholds(control_ms: ArrayLike, objective_ms: float | None = None) -> Floats:
    """The thresholds from control's first window, (n ≥ 1,) milliseconds, and the objective if there is one.

    Sorted, distinct. Errors: stats.data.
    """
    first = column(control_ms, "latencies")
    if not len(first):
        raise MillraceError("stats.data", "control's first window is empty", "wait for control's first requests")
    fixed = np.quantile(first, QUANTILES)
    return np.unique(fixed if objective_ms is None else np.append(fixed, column([objective_ms], "objectives")))


def latency_start(thresholds_ms: ArrayLike, margin: float = 1.0) -> LatencyGuard:
    """A new guard at fixed thresholds. `margin` is relative, as in `guard_start`. Errors: stats.data, stats.margin."""
    fixed = np.unique(column(thresholds_ms, "thresholds"))
    if not len(fixed):
        raise MillraceError("stats.data", "there are no thresholds", "take them from `latency_thresholds`")
    margin = check_margin(margin, largest=1000.0, such=1.0)
    k, none = len(fixed), np.zeros(len(fixed), np.int64)
    log_s = np.full((k, len(RATIOS)), math.log(0.5))
    return LatencyGuard(1 + margin / 2, fixed, log_s, 0.0, none, none, np.zeros(k), np.zeros(k))


def slow_by_weight(latencies_ms: ArrayLike, canary: ArrayLike, weights: ArrayLike, thresholds_ms: Floats) -> Slow:
    """Count a batch's slow requests by logged weight; `latencies_ms`, `canary` (bool), `weights`: (n,).

    A request that timed out counts with the time it waited. Errors: stats.data, stats.weight, stats.shape.
    """
    ms, w, z = column(latencies_ms, "latencies"), check_shares(weights), check_arms(canary)
    limits = column(thresholds_ms, "thresholds")
    same_rows("latencies, arms and weights", ms, w, z)
    distinct, inverse = np.unique(w, return_inverse=True)
    b = len(distinct)
    slow = ms > limits[:, None]
    hit = [np.bincount(inverse[row & z], minlength=b) for row in slow]
    miss = [np.bincount(inverse[row & ~z], minlength=b) for row in slow]
    shape = (len(limits), b)
    return Slow(distinct, np.array(hit, np.int64).reshape(shape), np.array(miss, np.int64).reshape(shape))


def latency_update(guard: LatencyGuard, batch: Slow) -> LatencyGuard:
    """The guard after one batch; requests at weight 0 or 1 compare nothing.

    Errors: stats.weight, stats.data, stats.shape.
    """
    table = factors(guard.r0, batch.weights)
    counts = check_count_rows("counts", batch.canary, batch.control)
    if counts.shape != (len(guard.thresholds_ms), 2 * len(table.inside)):
        raise MillraceError("stats.shape", f"counts of shape {counts.shape}", "count by this guard's thresholds")
    told = np.add.reduce(table.kept(counts).reshape(len(counts), 2, -1), axis=2)
    hit, miss = told[:, 0], told[:, 1]
    new = hit + miss
    if not new.any():
        return guard
    moved = counts @ table.moves
    before = np.minimum(guard.canary + guard.control, EVERY * LAST)
    log_s, log_e = started(guard.log_s + moved[:, :-2], before, new)
    top = float(log_e.max())
    return LatencyGuard(
        guard.r0,
        guard.thresholds_ms,
        log_s,
        max(guard.peak, top + math.log(float(np.add.reduce(np.exp(log_e - top))) / len(log_e))),
        guard.canary + hit,
        guard.control + miss,
        guard.canary_mass + moved[:, -2],
        guard.control_mass + moved[:, -1],
    )


def latency_verdict(guard: LatencyGuard, alpha: float) -> Verdict:
    """`ALARM` once the mean evidence reaches 1/α; `effect` is the largest estimated ratio. Errors: stats.alpha."""
    alpha = check_alpha(alpha)
    bound = 1 / alpha
    n = int((guard.canary + guard.control).max())
    alarm = guard.peak >= math.log(bound)
    known = guard.control_mass > 0
    with np.errstate(over="ignore"):
        ratios = np.where(known, guard.canary_mass / np.where(known, guard.control_mass, 1), 0.0)
    worst = int(np.argmax(ratios))
    value = evidence(guard.peak)
    if not n:
        because = "not enough evidence yet: no slow requests"
    else:
        where = f"slower than {guard.thresholds_ms[worst]:.4g} ms: {ratios[worst]:.3g} × control's share"
        because = where if alarm else f"{where}; evidence {figure(value)} of {figure(bound)}"
    return Verdict(
        claim=f"the canary's share of slow requests is at most {guard.r0:g} × control's at every threshold",
        unit="request",
        n=n,
        statistic=value,
        bound=bound,
        alpha=alpha,
        decision=ALARM if alarm else (QUIET if n else UNDECIDED),
        because=because,
        effect=finite(float(ratios[worst])) if bool(known.any()) else None,
    )
