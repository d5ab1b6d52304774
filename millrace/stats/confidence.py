"""Confidence sequences for a mean: intervals that may be looked at after every value.

Claim: the intervals cover the mean at every look at once, with probability 1 − α.
Unit of evidence: the value handed in, taken as independent of the others given the past (for rows of one day, hand in
block means instead: `block_verdicts.py`).

- Empirical Bernstein: values in [0, 1], exact at any n, any distribution.
- Asymptotic: any values with finite variance, valid as n grows; only where both arms have 30 events, since looked at
  from 500 rare-event requests it is wrong 29–88 % of the time.

What breaks it: a mean that moves (there is then no one mean to cover), values that hang together, settings that are
chosen after a look; for the asymptotic sequence also tails without a variance.
Sources: Waudby-Smith & Ramdas (JRSS B 2024), theorem 2, for empirical Bernstein; Waudby-Smith, Arbour, Sinha, Kennedy &
Ramdas (Annals of Statistics 2024), theorem 2.2 and proposition B.1 (one-sided), for the asymptotic sequence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import (
    ALARM,
    LARGEST,
    PROVEN,
    UNDECIDED,
    Floats,
    Unit,
    Verdict,
    broadcast,
    check_alpha,
    check_losses,
    check_margin,
    check_whole,
    column,
    finite,
    scalar,
)

LEAST_EVENTS = 30


def bernstein_sequence(values: ArrayLike, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Centre, lower and upper bound after each value: three (n,) arrays. `values`: (n,) in [0, 1], in order.

    The predictable plug-in empirical-Bernstein sequence; bounds are cut to [0, 1] but not intersected over time.
    Errors: stats.alpha, stats.data.
    """
    x = check_losses(values, "values")
    log_term = math.log(2 / check_alpha(alpha))
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    mean_before, variance_before = _delay(mean, 0.5), _delay(variance, 0.25)
    stake = np.minimum(np.sqrt(2 * log_term / (variance_before * t * np.log1p(t))), 0.5)
    cost = (x - mean_before) ** 2 * (-np.log1p(-stake) - stake)  # v_i ψ_E(λ_i), the fours cancelled
    weight = np.cumsum(stake)
    centre = np.cumsum(stake * x) / weight
    half = (log_term + np.cumsum(cost)) / weight
    return centre, np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def asymptotic_margin(t: ArrayLike, sd: ArrayLike, alpha: float, *, best_at: float = 1000.0, sides: int = 2) -> Floats:
    """The half-width at `t` values of standard deviation `sd`; tightest around t = `best_at`, chosen beforehand.

    Two-sided: σ·√(2(tρ²+1)/(t²ρ²)·ln(√(tρ²+1)/α)), ρ² = (−2 ln α + ln(−2 ln α + 1))/best_at. One-sided:
    ln(1 + √(tρ²+1)/2α) in place of the logarithm, ρ² at 2α. The arguments broadcast; t > 0.
    Errors: stats.alpha, stats.data; one-sided needs α < ½.
    """
    if sides not in (1, 2):
        raise MillraceError("stats.data", f"an interval with {sides!r} sides", "give 1 or 2")
    spent = check_alpha(check_alpha(alpha) * (1 if sides == 2 else 2))
    size, spread = broadcast((t, "numbers of values"), (sd, "standard deviations"), most=LARGEST)
    size, spread = np.minimum(size, 1e100), np.minimum(spread, 1e100)
    if scalar(best_at, "best place") < 1e-100 or bool((size < 1e-100).any()):
        raise MillraceError("stats.data", "a sequence at t ≤ 0", "give the number of values seen, at least 1")
    rho2 = (-2 * math.log(spent) + math.log(-2 * math.log(spent) + 1)) / best_at
    grown = size * rho2 + 1
    if sides == 2:
        log_term = np.log(np.sqrt(grown) / alpha)
    else:
        log_term = np.log1p(np.sqrt(grown) / (2 * alpha))
    return np.asarray(spread * np.sqrt(2 * grown / (size**2 * rho2) * log_term))


def asymptotic_sequence(values: ArrayLike, alpha: float, *, best_at: float = 1000.0) -> tuple[Floats, Floats, Floats]:
    """Centre, lower and upper bound after each of `values` (n,), by the running mean and standard deviation.

    The first 29 bounds are ±inf: no asymptotics have begun there. Constant values give an interval of width 0.
    Errors: stats.alpha, stats.data.
    """
    x = column(values, "values")
    t = np.arange(1, len(x) + 1)
    shift = x[0] if len(x) else 0.0
    total, square = np.cumsum(x - shift), np.cumsum((x - shift) ** 2)
    sd = np.sqrt(np.maximum(square / t - (total / t) ** 2, 0.0))
    centre = shift + total / t
    half = np.where(t < LEAST_EVENTS, np.inf, asymptotic_margin(t, sd, alpha, best_at=best_at))
    return centre, centre - half, centre + half


class Arm(NamedTuple):
    """What one arm saw: `n` rows, their mean and variance (ddof 0), and the number of `events` (bad outcomes)."""

    n: int
    mean: float
    variance: float
    events: int

    def fits(self) -> None:
        """Whether so many rows can have such a variance and so many events. Errors: stats.data."""
        if not (self.variance >= 0 and 0 <= self.events <= self.n):
            told = f"{self.events} events and variance {self.variance:g} in {self.n} rows"
            raise MillraceError("stats.data", told, "give a variance ≥ 0 and at most as many events as rows")


def arm(values: ArrayLike, events: int | None = None) -> Arm:
    """An arm's summary from its values (n,); `events` defaults to the number of values that are not 0.

    Errors: stats.data, stats.shape.
    """
    x = column(values, "values")
    many = int(np.count_nonzero(x)) if events is None else check_whole(events, "number of events", most=len(x))
    if not len(x):
        return Arm(0, 0.0, 0.0, 0)
    return Arm(len(x), float(x.mean()), float(x.var()), many)


def difference_verdict(
    canary: Arm, control: Arm, margin: float, alpha: float, *, best_at: float = 1000.0, unit: Unit = "row"
) -> Verdict:
    """Non-inferiority of the canary's mean by `margin` > 0, by the asymptotic sequence for a difference of means.

    `PROVEN` when the interval lies below `margin`, `ALARM` when it lies above it, `UNDECIDED` otherwise and until both
    arms have `LEAST_EVENTS` events and vary. Errors: stats.alpha, stats.margin.
    """
    margin = check_margin(margin, largest=math.inf)
    alpha = check_alpha(alpha)
    n = canary.n + control.n
    least = min(canary.events, control.events)
    decision, interval, effect = UNDECIDED, None, None
    if canary.n and control.n:
        effect = finite(canary.mean - control.mean)
    if effect is None or least < LEAST_EVENTS:
        because = f"not enough evidence yet: {least} of {LEAST_EVENTS} events on the smaller arm"
    elif canary.variance + control.variance <= 0:
        because = "not enough evidence yet: the values of both arms are constant"
    else:
        sd = math.sqrt(n * (canary.variance / canary.n + control.variance / control.n))
        half = float(asymptotic_margin(n, sd, alpha, best_at=best_at))
        interval = (finite(effect - half), finite(effect + half))
        if interval[1] < margin:
            decision = PROVEN
        elif interval[0] > margin:
            decision = ALARM
        because = f"the difference lies in {interval[0]:.4g} … {interval[1]:.4g}; the margin is {margin:g}"
    upper = interval[1] if interval else 0.0
    return Verdict(
        claim=f"the canary's mean exceeds control's by less than {margin:g}",
        unit=unit,
        n=n,
        statistic=upper,
        bound=margin,
        alpha=alpha,
        decision=decision,
        because=because,
        effect=effect,
        interval=interval,
    )


def _delay(x: Floats, first: float) -> Floats:
    return np.concatenate([[first], x[:-1]]) if len(x) else x
