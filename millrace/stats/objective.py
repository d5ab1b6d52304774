"""The absolute bound: a rate against its objective, by a beta-binomial confidence sequence.

Claim: "the rate of bad outcomes is at most the objective", for this arm alone; it needs no control. Unit of evidence:
the request (sticky: the unit, bad if any of its requests was). The sequence is the set of rates p whose likelihood is
not beaten 1/α-fold by a Beta(1, (1−p₀)/p₀) mixture; it covers the true rate at every look with probability ≥ 1 − α.
What breaks it: rates that drift through the rollout (it then speaks of no single rate; an incident common to both arms
counts here, while the guard of `guard.py` lets it cancel), requests of one user counted apart.
Source: Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
sequences" (Annals of Statistics 2021), the beta-binomial mixture.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from millrace.base.errors import MillraceError
from millrace.stats.verdict import (
    ALARM,
    PROVEN,
    UNDECIDED,
    Unit,
    Verdict,
    check_alpha,
    check_open_share,
    check_whole,
    evidence,
)


class Rate(NamedTuple):
    """A running rate: a value. `over` and `under` are the largest ln evidence so far on either side."""

    objective: float
    n: int
    bad: int

    def fits(self) -> None:
        """Whether the parts are possible. Errors: stats.data, stats.weight."""
        check_open_share(self.objective, "objective")
        if self.bad > self.n:
            raise MillraceError("stats.data", f"{self.bad} bad of {self.n}", "start anew")

    over: float
    under: float


def rate_start(objective: float) -> Rate:
    """A new count against `objective`, a share in (0, 1) such as 0.001. Errors: stats.weight."""
    return Rate(check_open_share(objective, "objective"), 0, 0, 0.0, 0.0)


def rate_update(rate: Rate, n: int, bad: int) -> Rate:
    """The count after `n` more units, `bad` of them bad. Errors: stats.data."""
    n, bad = check_whole(n, "number of units"), check_whole(bad, "number of bad ones")
    if bad > n:
        raise MillraceError("stats.data", f"{bad} bad of {n}", "count all units and the bad ones among them")
    n, bad = rate.n + int(n), rate.bad + int(bad)
    log_e = log_rate_evidence(n, bad, rate.objective, rate.objective)
    over, under = (log_e, 0.0) if bad > rate.objective * n else (0.0, log_e)
    return Rate(rate.objective, n, bad, max(rate.over, over), max(rate.under, under))


def log_rate_evidence(n: int, bad: int, rate: float, objective: float) -> float:
    """ln of the mixture's likelihood over that of `rate` in [0, 1]; +inf where `rate` cannot have produced the data."""
    if (rate <= 0 and bad > 0) or (rate >= 1 and bad < n):
        return math.inf
    b = (1 - objective) / objective
    mixture = math.lgamma(1 + bad) - _rise(b + n - bad, bad + 1) + math.log(b)  # B(1 + bad, b + n − bad)/B(1, b)
    plain = (bad * math.log(rate) if bad else 0.0) + ((n - bad) * math.log1p(-rate) if n > bad else 0.0)
    return mixture - plain


def rate_interval(rate: Rate, alpha: float) -> tuple[float, float]:
    """The confidence sequence now, within [0, 1]. Errors: stats.alpha."""
    target = math.log(1 / check_alpha(alpha))
    if not rate.n:
        return 0.0, 1.0
    centre = rate.bad / rate.n
    return _edge(rate, target, centre, 0.0), _edge(rate, target, centre, 1.0)


def rate_verdict(rate: Rate, alpha: float, *, unit: Unit = "request", what: str = "errors") -> Verdict:
    """`ALARM` once the sequence lay above the objective, `PROVEN` once it lay below, whichever is stronger.

    `effect` is the rate, `interval` the sequence now. Errors: stats.alpha.
    """
    alpha = check_alpha(alpha)
    bound = 1 / alpha
    strongest = max(rate.over, rate.under)
    decision = UNDECIDED
    if strongest >= math.log(bound):
        decision = ALARM if rate.over >= rate.under else PROVEN
    low, high = rate_interval(rate, alpha)
    if rate.n:
        because = f"{rate.bad} {what} in {rate.n} {unit}s: {low:.3g} … {high:.3g} against {rate.objective:g}"
    else:
        because = f"not enough evidence yet: no {unit}s"
    return Verdict(
        claim=f"the rate of {what} is at most {rate.objective:g}",
        unit=unit,
        n=rate.n,
        statistic=evidence(strongest),
        bound=bound,
        alpha=alpha,
        decision=decision,
        because=because,
        effect=rate.bad / rate.n if rate.n else None,
        interval=(low, high),
    )


def _edge(rate: Rate, target: float, inside: float, outside: float) -> float:
    """Where the evidence crosses `target` between the estimate and the end of the range, by bisection."""
    if log_rate_evidence(rate.n, rate.bad, outside, rate.objective) < target:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        if log_rate_evidence(rate.n, rate.bad, middle, rate.objective) < target:
            inside = middle
        else:
            outside = middle
    return outside


def _rise(x: float, by: float) -> float:
    """ln Γ(x + by) − ln Γ(x) for x, `by` > 0; by Stirling's series where x is large and digits would be lost."""
    if x < 1000:
        return math.lgamma(x + by) - math.lgamma(x)
    end = x + by
    left = (1 / 12 - 1 / (360 * end * end)) / end - (1 / 12 - 1 / (360 * x * x)) / x
    return (x - 0.5) * math.log1p(by / x) + by * (math.log(end) - 1) + left
