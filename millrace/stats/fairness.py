"""How far apart are groups? Every metric by group and by intersections of groups, and the widest gap with its band.

Claim: the band of a gap covers, with probability 1 − α at one look, the difference between the group with the highest
and the group with the lowest true value. It is simultaneous over all pairs (Bonferroni), so picking the widest pair
afterwards costs nothing, and groups that share units (days, users) are differenced unit by unit. Unit of evidence: that
of the bands (`bands.py`).
What breaks it: groups too small to measure (those below `least_rows` are listed, never compared), and labels that were
only seen for those whom a model selected. The table is evidence about rates; it is no judgement of what is fair.
Sources: Hardt, Price & Srebro (NeurIPS 2016) for equal opportunity and odds; Kearns et al. (ICML 2018) for why
intersections; Agresti & Caffo 2000 for adding a success and a failure to a small group's share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.bands import BandUnit, standard_error, units_of
from millrace.stats.metrics import Slice, influenced, measure, metric, slices_of
from millrace.stats.student import student_quantile
from millrace.stats.verdict import (
    ALARM,
    PROVEN,
    UNDECIDED,
    Floats,
    Ints,
    Unit,
    Verdict,
    check_alpha,
    check_margin,
    check_whole,
    finite,
    plain,
    same_length,
)


class Gap(Struct, frozen=True, kw_only=True):
    """The widest gap of `metric` between groups: `value` = highest − lowest, within `low` … `high` at 1 − `alpha`.

    `highest` and `lowest` say which groups; `ratio` is lowest over highest (the "four fifths" figure), None when the
    highest is 0. `groups`: every group with its band; `left_out`: groups too small to compare. `value` and the bounds
    are None with fewer than two groups to compare.
    """

    metric: str
    alpha: float
    unit: BandUnit
    units: int
    groups: tuple[Slice, ...]
    left_out: tuple[Slice, ...]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    highest: dict[str, str] | None = None
    lowest: dict[str, str] | None = None


class _Group(NamedTuple):
    where: dict[str, str]
    rows: Ints
    value: float
    influence: Floats


def fairness_gap(
    name: str,
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: Mapping[str, ArrayLike],
    alpha: float = 0.05,
    *,
    least_rows: int = 50,
    threshold: float = 0.5,
    units: ArrayLike | None = None,
    unit: BandUnit | None = None,
) -> Gap:
    """The gap of a named metric over the groups that the columns cut together (their intersections).

    `groups`: attribute → (n,) values; one attribute gives its groups, several their intersections. `selection_rate` is
    demographic parity, `recall` equal opportunity, `recall` and `false_positive_rate` together equal odds,
    `calibration_residual` calibration by group. Errors: metric.unknown, stats.alpha, stats.data, stats.shape.
    """
    alpha = check_alpha(alpha)
    share = metric(name).share_of is not None
    if not groups:
        raise MillraceError("stats.shape", "there are no groups", "name at least one column that says the group")
    y, p = plain(labels, "labels"), plain(predictions, "predictions")
    n = same_length("labels, predictions and groups", y, p, *[plain(v, k) for k, v in groups.items()])
    least_rows = check_whole(least_rows, "number of rows")
    kind: BandUnit = unit or ("row" if units is None else "block")
    number = units_of(units, n)
    shown, small, compared = [], [], []
    for where, rows in slices_of(groups, depth=len(groups), least_rows=1):
        if len(where) < len(groups):
            continue
        own = None if units is None else number[rows]
        inside = measure(name, y[rows], p[rows], alpha, threshold=threshold, units=own, unit=unit)
        entry = Slice(where=where, band=inside)
        found = influenced(name, y[rows], p[rows], threshold=threshold)
        if len(rows) < least_rows or found is None:
            small.append(entry)
        else:
            shown.append(entry)
            compared.append(_Group(where, rows, *found))
    k = int(number.max()) + 1 if n else 0
    bare = Gap(metric=name, alpha=alpha, unit=kind, units=k, groups=tuple(shown), left_out=tuple(small))
    if len(compared) < 2:
        return bare
    low, high = _bounds(compared, number, n, kind, alpha, share)
    top, bottom = max(compared, key=lambda g: g.value), min(compared, key=lambda g: g.value)
    return Gap(
        metric=name,
        alpha=alpha,
        unit=kind,
        units=k,
        groups=tuple(shown),
        left_out=tuple(small),
        value=finite(top.value - bottom.value),
        low=low,
        high=high,
        ratio=finite(bottom.value / top.value) if top.value > 0 else None,
        highest=top.where,
        lowest=bottom.where,
    )


def fairness_verdict(gap: Gap, limit: float) -> Verdict:
    """`ALARM` when the true gap is shown to exceed `limit`, `PROVEN` when it is shown to stay below it.

    Errors: stats.margin when the limit is not above 0.
    """
    limit = check_margin(limit, largest=math.inf)
    decision = UNDECIDED
    if gap.value is None or gap.low is None or gap.high is None:
        because = f"not enough evidence yet: {len(gap.groups)} groups can be compared"
    else:
        between = f"between {_said(gap.highest)} and {_said(gap.lowest)}"
        because = f"{gap.metric} differs by {gap.value:.3g} {between}: {gap.low:.3g} … {gap.high:.3g}"
        if gap.low > limit:
            decision = ALARM
        elif gap.high <= limit:
            decision = PROVEN
        else:
            because = f"not enough evidence yet: {because}"
    units: Unit = "block" if gap.unit == "block" else ("row" if gap.unit == "row" else "unit")
    return Verdict(
        claim=f"{gap.metric} differs by at most {limit:g} between any two groups",
        unit=units,
        n=gap.units,
        statistic=gap.value or 0.0,
        bound=limit,
        alpha=gap.alpha,
        decision=decision,
        because=because,
        effect=gap.value,
        interval=None if gap.low is None or gap.high is None else (gap.low, gap.high),
    )


def _bounds(
    groups: list[_Group], number: Ints, n: int, unit: BandUnit, alpha: float, share: bool
) -> tuple[float | None, float | None]:
    """Simultaneous bounds of the widest gap: the best lower and the worst upper bound over all ordered pairs."""
    pairs = list(combinations(range(len(groups)), 2))
    low, high = 0.0, 0.0
    for a, b in pairs:
        joint = np.zeros(n)
        for sign, group in ((1.0, groups[a]), (-1.0, groups[b])):
            joint[group.rows] += sign * group.influence * (n / len(group.rows))
        inside = np.concatenate([groups[a].rows, groups[b].rows])
        own = np.unique(number[inside], return_inverse=True)[1].astype(np.int64)
        error, size = standard_error(joint[inside] * (len(inside) / n), own, unit)
        if size <= 1:
            return None, None
        floor = _least_error(groups[a], groups[b], unit, size) if share else 0.0
        error = max(error, floor)
        if error <= 0:
            return None, None
        half = student_quantile(alpha / len(pairs), size - 1) * error
        gap = abs(groups[a].value - groups[b].value)
        low, high = max(low, gap - half), max(high, gap + half)
    return finite(low), finite(high)


def _least_error(a: _Group, b: _Group, unit: BandUnit, size: float) -> float:
    """A share of 0 or 1 is not certainty: the error with one success and one failure added to each group."""
    total = 0.0
    for group in (a, b):
        rows = len(group.rows) if unit == "row" else min(len(group.rows), max(int(size), 1))
        if group.value in (0.0, 1.0):
            total += (1 / (rows + 2)) * (1 - 1 / (rows + 2)) / (rows + 2)
    return math.sqrt(total)


def _said(where: dict[str, str] | None) -> str:
    return " and ".join(f"{name} {value}" for name, value in (where or {}).items())
