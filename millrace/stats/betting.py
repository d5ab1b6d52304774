"""Promotion as a proof that the candidate is not worse by the margin, by betting against "it is".

Claim: "the candidate's mean loss exceeds the champion's by less than the margin m". A gambler who bets against
E[X] ≥ m multiplies the capital by 1 + λ(m − X); under that null the capital K is a supermartingale, so
P(ever K ≥ 1/α) ≤ α whatever the distribution and however often one looks. K is the mean over 30 stakes f from .005 to
.9. Every guard must be promoted; no split of α is needed for that.

- Unpaired (a canary): X = Z·y/w − (1−Z)·y/(1−w), Z = 1 on the canary, w the weight logged with the request, y in
  [0, 1]; λ = f·w/(1 − w·m). Unit of evidence: the request (with sticky assignment: the unit). Assignment is the
  randomness, so rows may hang together; the claim is about the traffic seen.
- Paired (a shadow): X = loss of the candidate − loss of the champion on one row, λ = f/(1 − m). Unit of evidence: the
  row, so rows must be independent; where they are not, `block_verdicts.py` rules.

Capital is a product over requests, so states of several workers merge by adding logarithms, in any order.
What breaks it: losses outside [0, 1] (clip them); a weight that is not the logged one; a margin chosen after the look.
"No evidence of harm" never promotes: at low traffic K simply stays small.
Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 2024).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError
from millrace.stats.verdict import (
    PROVEN,
    UNDECIDED,
    Floats,
    Unit,
    Verdict,
    check_alpha,
    check_arms,
    check_count_rows,
    check_losses,
    check_margin,
    check_shares,
    evidence,
    figure,
    finite,
    numbers,
    of_shape,
    same_rows,
)

STAKES: Floats = np.geomspace(0.005, 0.9, 30)
LEAST_WEIGHT = 1e-9  # nearer to 0 or 1 than this one arm sees next to nothing
_FEW = 16  # weights of a batch whose wins are remembered


class Bet(NamedTuple):
    """A running bet: a value. `log_k`: (30,) ln capital by stake; `peak`: the largest ln K so far; `total`: ΣX of n."""

    margin: float
    log_k: Floats
    peak: float
    n: int
    total: float

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.shape."""
        of_shape("capital by stake", (len(STAKES),), self.log_k)


def bet_start(margin: float) -> Bet:
    """A new bet that the loss rises by less than `margin`, an absolute difference in (0, 1), such as 0.005.

    Errors: stats.margin.
    """
    return Bet(check_margin(margin), np.zeros(len(STAKES)), 0.0, 0, 0.0)


def superiority_start() -> Bet:
    """A new bet that the loss falls: margin 0."""
    return Bet(0.0, np.zeros(len(STAKES)), 0.0, 0, 0.0)


def bet_counts(bet: Bet, weights: ArrayLike, requests: ArrayLike, canary_bad: ArrayLike, control_bad: ArrayLike) -> Bet:
    """The bet after a batch of yes/no outcomes, counted by logged weight: four arrays of one length.

    `requests` counts all requests at that weight, on both arms; the others count bad outcomes. Rows at a weight within
    1e-9 of 0 or 1 compare nothing and are left out. Errors: stats.weight, stats.data, stats.shape.
    """
    table = _wins(bet.margin, weights)
    counts = check_count_rows("counts", requests, canary_bad, control_bad)
    if counts.shape != (3 * len(table.inside),):
        hint = "give the requests and the bad ones on either arm for every weight"
        raise MillraceError("stats.shape", f"{len(table.inside)} weights, counts of {counts.shape}", hint)
    told = counts.reshape(3, -1)
    good = told[0] - told[1] - told[2]
    if good.size and good.min() < 0:
        raise MillraceError("stats.data", "more bad outcomes than requests", "count requests on both arms together")
    gain = np.concatenate((good, counts[len(good) :])) @ table.gains
    n = int(np.add.reduce(told[0])) if table.all_inside else int(told[0] @ table.inside)
    return _after(bet, gain[:-1], n, float(gain[-1]))


class _Wins(NamedTuple):
    """What requests at given weights win. `inside`: (b,) which of them compare the arms.

    `gains`: (3b, 31), what one request adds, a good one at each weight, then a bad one on the canary, then one on
    control: to ln K of each stake and to ΣX. Rows of weights that compare nothing are 0.
    """

    inside: NDArray[np.bool_]
    all_inside: bool
    gains: Floats


def _wins(margin: float, weights: ArrayLike) -> _Wins:
    w = weights if type(weights) is np.ndarray and weights.dtype == np.float64 else check_shares(weights)
    if w.ndim == 1 and len(w) <= _FEW:
        return _remembered(margin, w.tobytes())
    return _fresh(margin, check_shares(w))


@lru_cache(maxsize=256)
def _remembered(margin: float, weights: bytes) -> _Wins:
    return _fresh(margin, check_shares(np.frombuffer(weights)))


def _fresh(margin: float, weights: Floats) -> _Wins:
    if weights.ndim != 1:
        raise MillraceError("stats.shape", f"weights of shape {weights.shape}", "give one dimension: a weight a row")
    inside = (weights >= LEAST_WEIGHT) & (weights <= 1 - LEAST_WEIGHT)
    w = np.where(inside, weights, 0.5)
    x = np.concatenate([np.zeros_like(w), 1 / w, -1 / (1 - w)])
    gains = np.column_stack([log_wins(margin, np.tile(w, 3), x), x])
    return _Wins(inside, bool(inside.all()), gains * np.tile(inside, 3)[:, None])


def bet_losses(bet: Bet, losses: ArrayLike, canary: ArrayLike, weights: ArrayLike) -> Bet:
    """The bet after requests with losses in [0, 1]: `losses`, `canary` (bool) and `weights` are (n,).

    Errors: stats.weight, stats.data, stats.shape.
    """
    y, w, z = check_losses(losses), check_shares(weights), check_arms(canary)
    same_rows("losses, arms and weights", y, w, z)
    both = (w >= LEAST_WEIGHT) & (w <= 1 - LEAST_WEIGHT)
    y, w, z = y[both], w[both], z[both]
    x = np.where(z, y / w, -y / (1 - w))
    return _after(bet, log_wins(bet.margin, w, x).sum(axis=0), len(x), float(x.sum()))


def bet_pairs(bet: Bet, differences: ArrayLike) -> Bet:
    """The bet after rows that both scored: `differences` (n,) = loss(candidate) − loss(champion), in [−1, 1].

    Errors: stats.data, stats.shape.
    """
    d = 2 * check_losses((numbers(differences, "differences") + 1) / 2, "(differences + 1)/2") - 1
    return _after(bet, log_wins(bet.margin, np.ones(len(d)), d).sum(axis=0), len(d), float(d.sum()))


def merge_bets(a: Bet, b: Bet) -> Bet:
    """The bet on the requests of both, from two workers that started with the same margin. Errors: stats.margin.

    The merged peak is the merged capital: a peak that one part had alone is no peak of the whole.
    """
    if a.margin != b.margin:
        raise MillraceError("stats.margin", f"margins {a.margin:g} and {b.margin:g}", "merge bets of one margin")
    return _after(a._replace(peak=0.0), b.log_k, b.n, b.total)


def log_wins(margin: float, weights: Floats, x: Floats) -> Floats:
    """ln(1 + λ(m − X)) for every stake: weights and x broadcast to (…), the answer is (…, 30).

    Weight 1 gives the paired stake f/(1 − m).
    """
    unit = weights / (1 - weights * margin)
    return np.log1p((unit * (margin - x))[..., None] * STAKES)


def log_capital(log_k: Floats) -> Floats:
    """ln K: the mean over stakes of the capital, from (…, 30) to (…)."""
    top = np.maximum.reduce(log_k, axis=-1)
    total = np.add.reduce(np.exp(log_k - top[..., None]), axis=-1)
    return np.asarray(top + np.log(total / len(STAKES)))


def bet_verdict(bet: Bet, alpha: float, *, unit: Unit = "request", what: str = "loss") -> Verdict:
    """`PROVEN` once K ≥ 1/α, else `UNDECIDED`. `effect` is the estimated difference of means. Errors: stats.alpha."""
    alpha = check_alpha(alpha)
    bound = 1 / alpha
    proven = bet.peak >= math.log(bound)
    value = evidence(bet.peak)
    if not bet.n:
        because = f"not enough evidence yet: no {unit}s"
    else:
        verb = "shown" if proven else "not enough evidence yet"
        because = f"{verb}: {figure(value)} of {figure(bound)} after {bet.n} {unit}s"
    return Verdict(
        claim=f"the candidate's {what} exceeds the champion's by less than {bet.margin:g}",
        unit=unit,
        n=bet.n,
        statistic=value,
        bound=bound,
        alpha=alpha,
        decision=PROVEN if proven else UNDECIDED,
        because=because,
        effect=finite(bet.total / bet.n) if bet.n else None,
    )


def _after(bet: Bet, gain: Floats, n: int, total: float) -> Bet:
    log_k = bet.log_k + gain
    return Bet(bet.margin, log_k, max(bet.peak, float(log_capital(log_k))), bet.n + n, bet.total + total)
