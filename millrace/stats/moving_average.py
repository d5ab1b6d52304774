"""HDDM_W: two weighted moving averages of a stream of losses, compared by McDiarmid's inequality.

Claim: "the recent weighted average of the loss is no higher than its lowest so far". Unit of evidence: the row. The
average ẑ ← (1−λ)ẑ + λx has a bound ε = √(d·ln(1/α)/2), d the sum of squared weights. Where ẑ + ε is lowest the past is
cut; a second average begins behind the cut, and the alarm is ẑ₂ − ẑ₁ > √((d₁ + d₂)·ln(1/α)/2).
What breaks it: **α is the chance at one fixed row, not of ever**: the lowest point is chosen by looking, and looks add
up (13 false alarms in half a million rows of Tornado's mixed at α = .001). It is here because people know it, and as
a measure: `concept.py` is as quick and states its rate.
Source: Frías-Blanco, del Campo-Ávila, Ramos-Jiménez, Morales-Bueno, Ortiz-Díaz & Caballero-Mota, "Online and
non-parametric drift detection methods based on Hoeffding's bounds" (IEEE TKDE 2015), section 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import (
    ALARM,
    QUIET,
    UNDECIDED,
    Bound,
    Floats,
    Latest,
    Verdict,
    check_alpha,
    check_losses,
    check_open_share,
    finite,
)

SPELL = 128  # rows whose weights are taken in one sum: (1−λ)^−128 stays within floats for λ ≤ ½


class Moving(NamedTuple):
    """The detector's state: a value. `n` rows, `average` ẑ; the cut: `low` = ẑ + ε there, its `cut_average`,
    `cut_rows` = rows up to it, `first` = the loss just after it. `gap` is the largest (ẑ₂ − ẑ₁)/bound so far; `at` the
    row of the alarm, counted from 0, or −1.
    """

    alpha: float
    weight: float
    n: int
    average: float
    low: Bound
    cut_average: float
    cut_rows: int
    first: float
    gap: float
    at: Latest

    def fits(self) -> None:
        """Whether its numbers are possible. Errors: stats.alpha, stats.weight."""
        check_alpha(self.alpha)
        check_open_share(self.weight)


def moving_start(alpha: float = 0.001, weight: float = 0.05) -> Moving:
    """A new detector; `weight` λ in (0, ½] is the newest row's. Errors: stats.alpha, stats.weight."""
    if check_open_share(weight) > 0.5:
        raise MillraceError("stats.weight", f"the weight is {weight!r}", "give a weight above 0 and at most 0.5")
    return Moving(check_alpha(alpha), float(weight), 0, 0.0, math.inf, 0.0, 0, 0.0, 0.0, -1)


def moving_update(moving: Moving, losses: ArrayLike) -> Moving:
    """The detector after more rows: `losses` (n,) in [0, 1], in order; how they are cut into calls does not matter.

    Errors: stats.data, stats.shape.
    """
    x = check_losses(losses)
    if not len(x):
        return moving
    keep, spread = 1 - moving.weight, math.log(1 / moving.alpha) / 2
    rows = moving.n + np.arange(1, len(x) + 1)
    z = _averages(moving, x)
    value = z + np.sqrt(_weights(rows, moving.weight) * spread)
    lowest = np.minimum.accumulate(np.concatenate([[moving.low], value]))
    cut_now = value < lowest[:-1]
    cut = np.maximum.accumulate(np.where(cut_now, np.arange(len(x)), -1))
    # index 0 stands for the cut that was brought along
    cut_rows = np.concatenate([[moving.cut_rows], rows])[cut + 1]
    cut_z = np.concatenate([[moving.cut_average], z])[cut + 1]
    brought = float(x[0]) if moving.cut_rows == moving.n else moving.first
    firsts = np.concatenate([[brought], np.append(x[1:], 0.0)])
    behind = rows - cut_rows
    since = np.maximum(behind, 1)
    second = z - keep ** since.astype(np.float64) * (cut_z - firsts[cut + 1])
    bound = np.sqrt((_weights(cut_rows, moving.weight) + _weights(since, moving.weight)) * spread)
    gaps = np.where(behind > 0, (second - cut_z) / bound, 0.0)
    over = np.flatnonzero(gaps > 1)
    last = int(cut[-1])
    return Moving(
        moving.alpha,
        moving.weight,
        int(rows[-1]),
        float(z[-1]),
        float(lowest[-1]),
        float(cut_z[-1]),
        int(cut_rows[-1]),
        float(firsts[last + 1]),
        max(moving.gap, float(gaps.max())),
        moving.n + int(over[0]) if moving.at < 0 and len(over) else moving.at,
    )


def moving_verdict(moving: Moving) -> Verdict:
    """`ALARM` once the gap exceeded its bound; `UNDECIDED` before the first row; else `QUIET`.

    `statistic` is the largest gap over its bound, `bound` 1; `effect` the average now less that at the cut.
    """
    alarm = moving.gap > 1
    if not moving.n:
        because = "not enough evidence yet: no rows"
    elif alarm:
        because = f"the moving average rose beyond its bound at row {moving.at}"
    else:
        because = f"the largest gap is {moving.gap:.3g} of its bound after {moving.n} rows"
    return Verdict(
        claim="the recent loss is no higher than its lowest so far",
        unit="row",
        n=moving.n,
        statistic=finite(moving.gap),
        bound=1.0,
        alpha=moving.alpha,
        decision=ALARM if alarm else (QUIET if moving.n else UNDECIDED),
        because=because,
        effect=finite(moving.average - moving.cut_average) if moving.n else None,
    )


def _weights(rows: ArrayLike, weight: float) -> Floats:
    """d after `rows` ≥ 1 rows: the sum of the squared weights, the first row's being (1−λ)^(rows−1)."""
    settled = weight / (2 - weight)
    return np.asarray(settled + (1 - settled) * (1 - weight) ** (2.0 * (np.maximum(rows, 1) - 1)))


def _averages(moving: Moving, x: Floats) -> Floats:
    keep = 1 - moving.weight
    powers = keep ** np.arange(1, SPELL + 1)
    z, before = np.empty(len(x)), moving.average
    at = 0
    if not moving.n:
        z[0] = before = x[0]
        at = 1
    for begin in range(at, len(x), SPELL):
        part = x[begin : begin + SPELL]
        power = powers[: len(part)]
        z[begin : begin + SPELL] = power * (before + moving.weight * np.cumsum(part / power))
        before = float(z[min(begin + SPELL, len(x)) - 1])
    return z
