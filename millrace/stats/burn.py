"""How fast is the error budget being spent? Burn rates over pairs of windows, as the SRE workbook asks.

A burn of 1 spends the budget of the whole period (30 days) exactly. A pair fires when its long and its short window
both burn faster than its factor: the long one says that it matters, the short one that it still goes on.
Claim: none about an error rate of the pairs by themselves, they are a rule of spending. At low traffic one bad event
would fire them, so a pair also needs either ten bad events in the long window, or that the exact lower bound of their
expected number (Poisson, at `alpha`, one look) still burns faster than the factor. Unit of evidence: the event.
What breaks it: bad events of one user counted apart; windows without traffic, which say nothing (burn None, not 0).
Sources: The Site Reliability Workbook (2018), chapter 5; Garwood 1936 for the bound.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.student import poisson_lower
from millrace.stats.verdict import (
    Ints,
    check_alpha,
    check_counts,
    check_open_share,
    check_rising,
    check_whole,
    finite,
    same_length,
)

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
PERIOD_US = 30 * DAY_US
LEAST_BAD = 10


class Pair(NamedTuple):
    """A rule: both windows burn at least `factor`."""

    severity: Literal["page", "ticket"]
    factor: float
    long_us: int
    short_us: int


PAIRS = (
    Pair("page", 14.4, HOUR_US, 5 * MINUTE_US),
    Pair("page", 6.0, 6 * HOUR_US, 30 * MINUTE_US),
    Pair("ticket", 3.0, DAY_US, 2 * HOUR_US),
    Pair("ticket", 1.0, 3 * DAY_US, 6 * HOUR_US),
)


class Budget(Struct, frozen=True, kw_only=True):
    """What one objective stands at. `rules`: one entry a pair; `left`: the share of the period's budget not yet spent.

    `left` counts the events seen in the period: 1 with none bad, below 0 when overspent. `firing`: the severest level.
    """

    objective: float
    rules: tuple[Burn, ...]
    left: float
    firing: Literal["page", "ticket"] | None
    because: str


class Burn(Struct, frozen=True, kw_only=True):
    """One pair now: the burn of its windows (None without traffic), the bad events of the long one, its lower bound."""

    severity: Literal["page", "ticket"]
    factor: float
    long_us: int
    short_us: int
    long: float | None
    short: float | None
    bad: int
    at_least: float
    fires: bool


def burn_rates(
    starts_us: ArrayLike,
    total: ArrayLike,
    bad: ArrayLike,
    now_us: int,
    objective: float,
    alpha: float = 0.01,
    *,
    pairs: tuple[Pair, ...] = PAIRS,
    period_us: int = PERIOD_US,
) -> Budget:
    """The burn rates at `now_us`, from counts by base window.

    `starts_us`: (n,) starts of base windows, strictly rising; `total`, `bad`: (n,) events in them; `objective`: the
    promised share of good events, such as 0.999. A base window counts for every window that holds its start.
    Errors: stats.time, stats.data, stats.shape, stats.weight, stats.alpha.
    """
    check_open_share(objective, "objective")
    alpha = check_alpha(alpha)
    starts, every, wrong = check_rising(starts_us, "window starts"), check_counts(total), check_counts(bad)
    same_length("windows, totals and bad events", starts, every, wrong)
    if bool((wrong > every).any()):
        raise MillraceError("stats.data", "more bad events than events", "count the bad events among all")
    now_us = check_whole(now_us, "present", least=-(2**62), most=2**62, code="stats.time")
    if not pairs or min(min(p.long_us, p.short_us) for p in pairs) <= 0 or period_us <= 0:
        raise MillraceError("stats.time", "a window of no length", "give windows longer than 0 µs")
    sums = _Sums(starts, np.concatenate([[0], np.cumsum(every)]), np.concatenate([[0], np.cumsum(wrong)]))
    rules = tuple(_burn(pair, sums, now_us, 1 - objective, alpha) for pair in pairs)
    seen, spent = sums.within(now_us, period_us)
    left = 1 - spent / ((1 - objective) * seen) if seen else 1.0
    fired = [rule for rule in rules if rule.fires]
    worst = next((r for r in fired if r.severity == "page"), fired[0] if fired else None)
    if worst:
        because = (
            f"{worst.bad} bad events in {_span(worst.long_us)}: burning {worst.long:.3g} × the budget, "
            f"and {worst.short:.3g} × in the last {_span(worst.short_us)}"
        )
    else:
        because = f"{left:.0%} of the budget is left" if seen else "not enough evidence yet: no events"
    firing = worst.severity if worst else None
    return Budget(objective=objective, rules=rules, left=finite(left), firing=firing, because=because)


class _Sums(NamedTuple):
    starts: Ints
    total: Ints
    bad: Ints

    def within(self, now_us: int, length_us: int) -> tuple[int, int]:
        first = int(np.searchsorted(self.starts, now_us - length_us, "left"))
        last = int(np.searchsorted(self.starts, now_us, "left"))
        if last <= first:
            return 0, 0
        return int(self.total[last] - self.total[first]), int(self.bad[last] - self.bad[first])


def _burn(pair: Pair, sums: _Sums, now_us: int, budget: float, alpha: float) -> Burn:
    (n, wrong), (n_short, wrong_short) = sums.within(now_us, pair.long_us), sums.within(now_us, pair.short_us)
    long = wrong / n / budget if n else None
    short = wrong_short / n_short / budget if n_short else None
    sure = poisson_lower(wrong, alpha) / n / budget if n else 0.0
    fast = (
        long is not None and short is not None and min(long, short) >= pair.factor * (1 - 1e-9)
    )  # 0.001/(1 − 0.999) rounds
    return Burn(
        severity=pair.severity,
        factor=pair.factor,
        long_us=pair.long_us,
        short_us=pair.short_us,
        long=None if long is None else finite(long),
        short=None if short is None else finite(short),
        bad=wrong,
        at_least=finite(sure),
        fires=fast and (wrong >= LEAST_BAD or sure >= pair.factor),
    )


def _span(length_us: int) -> str:
    for size, name in ((DAY_US, "d"), (HOUR_US, "h"), (MINUTE_US, "min")):
        if length_us >= size:
            return f"{length_us / size:g} {name}"
    return f"{length_us / 1e6:g} s"
