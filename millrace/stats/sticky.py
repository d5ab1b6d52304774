"""Which errors of sticky units are evidence: one a unit and rollout, and one more only when a ramp could have moved it.

A user whose every request fails is one piece of evidence, not a hundred. With α = 2.5 %, at the edge of what the guard
tolerates, it alarms falsely in 30–42 % of hours by every error, in 3–6 % by one error a unit and ten minutes, and in
none of 800 by first errors only (`bench/sequential.py --only sticky`).
Claim: given the past, an error that counts at weight v falls on the canary with probability v where both arms fail
alike, as the guards ask. Unit of evidence: the sticky unit (a user).
A unit last counted on control at weight w₁ had its draw above w₁, so at a later weight w it is on the canary with
probability (w − w₁)/(1 − w₁), which is the weight it counts with; a unit once counted on the canary never counts again.
What breaks it: a sticky key that is drawn anew during the rollout (a cookie that is not kept).
Source: Kohavi, Tang & Xu, Trustworthy Online Controlled Experiments (2020), for the unit of randomisation; the weight
is the conditional probability of one even draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from millrace.base.errors import MillraceError
from millrace.stats.guard import Errors, errors_by_weight
from millrace.stats.verdict import check_share

CANARY = 1.0  # what `counted` holds for a unit that was counted on the canary: no weight exceeds it


def first_errors(
    counted: Mapping[str, float], failed: Iterable[tuple[str, bool, float]]
) -> tuple[Errors, dict[str, float]]:
    """The errors that count, and what is now known about their units.

    `counted`: unit → the largest weight at which it was counted on control, or `CANARY`. `failed`: (unit, ran on the
    canary, logged weight) of each failed request, in order. Answers the batch for `guard_update` and the new entries:
    the caller keeps `counted | entries`. Unit of evidence: the unit. Errors: stats.data, stats.shape,
    stats.weight.
    """
    entries: dict[str, float] = {}
    weights: list[float] = []
    arms: list[bool] = []
    for failure in failed:
        if not isinstance(failure, tuple | list) or len(failure) != 3:
            told = f"a failed request is a {type(failure).__name__}"
            raise MillraceError("stats.shape", told, "give (unit, ran on the canary, logged weight)")
        unit, canary, logged = failure
        weight = check_share(logged)
        last = check_share(entries.get(unit, counted.get(unit, 0.0)), "weight counted before")
        if weight <= last:
            continue
        weights.append((weight - last) / (1 - last))
        arms.append(canary)
        entries[unit] = CANARY if canary else weight
    return errors_by_weight(weights, arms), entries
