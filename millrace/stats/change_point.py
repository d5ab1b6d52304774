"""Has the mean of a stream of losses changed at any point? A window as long as the stream is steady, with one promise.

Claim: "all losses so far have one mean". Unit of evidence: the row, independent. For a cut after row s of t the
evidence is KT(1…s)·KT(s+1…t)/sup_p L_p(1…t), L_p the likelihood of yes/no losses of mean p and KT its mixture over
Beta(½, ½): two means against the best single one. Cuts are mixed with weights γ_s ∝ 1/((s + 1000)·ln²(s + 1000)), so
that the sum is at most a nonnegative martingale of mean 1 for whatever p, and P(ever ≥ 1/α) ≤ α **over the stream's
whole life**. Cuts are looked for 1 … 32 rows back and then in steps of a quarter up to 2,048; leaving some out costs
time to alarm, never the promise.

It does what ADWIN does. On Tornado's streams: delay 49 and 56 rows at α = .01 with no false alarm; ADWIN 61 and 65.
What breaks it: rows that share a day's weather, losses outside [0, 1]; with `side` "rise", a loss that fell first
(a model that was still learning) makes a later rise of the same size invisible: start anew after a retraining.
Sources: Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing" (SDM 2007) for the window;
Wasserman, Ramdas & Balakrishnan, "Universal inference" (PNAS 2020) for the quotient; Krichevsky & Trofimov 1981.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.gamma import log_gamma
from millrace.stats.verdict import (
    ALARM,
    QUIET,
    UNDECIDED,
    Floats,
    Ints,
    Latest,
    Verdict,
    check_alpha,
    check_choice,
    check_losses,
    evidence,
    figure,
    finite,
)

Way = Literal["rise", "either"]

LAGS: Ints = np.array([*range(1, 33), *(int(32 * 1.25**i) for i in range(1, 18)), 2048], np.int64)
LONGEST = 2048
OFFSET = 1000
CHUNK = 4096


class Change(NamedTuple):
    """The detector's state: a value. `n` rows and their Σ loss `total`; `tail`: (≤ 2048,) the newest losses.

    `peak`: the largest ln evidence so far; `at`: the row of the alarm, counted from 0, or −1; `cut`: the likeliest cut
    at the newest look (rows before it) and `before`: the Σ loss of those rows.
    """

    alpha: float
    either: int
    n: int
    total: float
    tail: Floats
    peak: float
    at: Latest
    cut: int
    before: float

    def fits(self) -> None:
        """Whether the parts are possible. Errors: stats.alpha, stats.data."""
        check_alpha(self.alpha)
        if not 0 <= self.total <= self.n + 1e-6 * self.n:
            raise MillraceError("stats.data", f"{self.n} losses of sum {self.total:g}", "start anew")


def change_start(alpha: float = 0.01, side: Way = "rise") -> Change:
    """A new detector with error rate `alpha` for its whole life. Errors: stats.alpha, stats.data."""
    check_choice(side, "side", get_args(Way))
    return Change(check_alpha(alpha), int(side == "either"), 0, 0.0, np.zeros(0), 0.0, -1, 0, 0.0)


def change_update(change: Change, losses: ArrayLike) -> Change:
    """The detector after more rows: `losses` (n,) in [0, 1], in order; how they are cut into calls does not matter.

    Errors: stats.data, stats.shape.
    """
    x = check_losses(losses)
    for at in range(0, len(x), CHUNK):
        change = _advance(change, x[at : at + CHUNK])
    return change


def change_verdict(change: Change) -> Verdict:
    """`ALARM` once the evidence reached 1/α, and for ever after; `UNDECIDED` before the first row; else `QUIET`.

    `effect` is the mean loss behind the likeliest cut less the mean before it, None where there is no cut.
    """
    bound = 1 / change.alpha
    alarm = change.peak >= math.log(bound)
    effect = None
    if 0 < change.cut < change.n:
        after = (change.total - change.before) / (change.n - change.cut)
        effect = finite(after - change.before / change.cut)
    value = evidence(change.peak)
    if not change.n:
        because = "not enough evidence yet: no rows"
    elif alarm:
        because = f"the mean loss changed: shown at row {change.at}, likeliest after {change.cut} rows"
    else:
        because = f"evidence {figure(value)} of {figure(bound)} after {change.n} rows"
    return Verdict(
        claim="the losses have one mean" if change.either else "the loss has not risen",
        unit="row",
        n=change.n,
        statistic=value,
        bound=bound,
        alpha=change.alpha,
        decision=ALARM if alarm else (QUIET if change.n else UNDECIDED),
        because=because,
        effect=effect,
    )


def log_mixture(total: ArrayLike, n: ArrayLike) -> Floats:
    """ln KT: the likelihood of `n` losses of sum `total`, mixed over Beta(½, ½) means; the arguments broadcast."""
    s, size = np.asarray(total, np.float64), np.asarray(n, np.float64)
    miss = np.maximum(size - s, 0)
    return np.asarray(log_gamma(s + 0.5) + log_gamma(miss + 0.5) - log_gamma(size + 1) - math.log(math.pi))


def log_best(total: ArrayLike, n: ArrayLike) -> Floats:
    """ln of the largest likelihood that any one mean gives `n` ≥ 1 losses of sum `total`."""
    s, size = np.asarray(total, np.float64), np.asarray(n, np.float64)
    miss = np.maximum(size - s, 0)
    hits = s * np.log(np.maximum(np.where(s > 0, s / size, 1), 1e-300))
    return np.asarray(hits + miss * np.log(np.where(miss > 0, miss / size, 1)))


def log_share(s: ArrayLike) -> Floats:
    """ln γ_s for cuts after s ≥ 1 rows: ln(1000)/((s + 1000)·ln²(s + 1000)), whose sum is below 1."""
    at = np.asarray(s, np.float64) + OFFSET
    return np.asarray(math.log(math.log(OFFSET)) - np.log(at) - 2 * np.log(np.log(at)))


def _advance(change: Change, x: Floats) -> Change:
    kept, n = len(change.tail), len(x)
    known = np.concatenate([change.tail, x])
    first = change.n - kept  # the rows before `known`
    sums = change.total - float(change.tail.sum()) + np.concatenate([[0.0], np.cumsum(known)])
    rows = first + np.arange(len(known) + 1)
    old = log_mixture(sums, rows) + log_share(rows)
    new = np.arange(kept + 1, kept + n + 1)  # positions in `sums` after each new row
    best = log_best(sums[new], rows[new])
    path, top, top_lag = np.full(n, -np.inf), np.full(n, -np.inf), np.zeros(n, np.int64)
    for lag in LAGS.tolist():
        start = max(lag - kept, 0)  # new rows whose cut lies within `known`
        if start >= n:
            break
        cut = new[start:] - lag
        behind, before = sums[cut + lag] - sums[cut], sums[cut]
        found = old[cut] + log_mixture(np.clip(behind, 0, lag), lag) - best[start:]
        fits = rows[cut] > 0
        if not change.either:
            fits &= behind * rows[cut] > before * lag
        found = np.where(fits, found, -np.inf)
        path[start:] = np.logaddexp(path[start:], found)
        better = found > top[start:]
        top[start:] = np.where(better, found, top[start:])
        top_lag[start:] = np.where(better, lag, top_lag[start:])
    over = np.flatnonzero(path >= math.log(1 / change.alpha))
    lag = int(top_lag[-1])
    return Change(
        change.alpha,
        change.either,
        change.n + n,
        float(sums[-1]),
        known[-LONGEST:],
        max(change.peak, float(path.max())),
        change.n + int(over[0]) if change.at < 0 and len(over) else change.at,
        change.n + n - lag if lag else 0,
        float(sums[-1 - lag]) if lag else 0.0,
    )
