"""Concept drift on a stream of losses: does the loss rise above what it used to be? Looked at after every row.

Claim: "the expected loss of no stratum exceeds the average of that stratum's own past". Unit of evidence: the row, in
the order in which labels come. The past is known through an upper confidence limit p̄ that holds at all times at once
with probability 1 − δ (δ = 1 % over all strata); a row of loss x counts (q/p̄)^x·((1−q)/(1−p̄))^(1−x) for five worse
losses q between p̄ and 1, a factor whose expectation is at most 1 while the claim holds. Start times are summed
(Shiryaev & Roberts): M ← (1 + M)·factor, alarm when the mean of M over q reaches `between`. While the limit holds, the
mean number of rows to a false alarm is at least `between`.

Strata are what is known of a row before its label, such as the score's confidence in three parts: an error where the
model was sure weighs more than one where it was not.

Measured on Tornado's sine1 and mixed, five streams of 100,000 rows each, a model that begins anew at an alarm: mean
delay 31 and 32 rows, and one alarm without a drift in a million rows (a burst of 16 errors in 21 rows); HDDM_W 34 and
33 with 13 such alarms, ADWIN 61 and 65 with none (`bench/concept.py`). Those ten streams were in sight when the rises,
the limit and the strata were chosen. On forty streams that were not (other concepts, noises, widths and seeds) and
twenty that never turn: 45 alarms without a drift in six million rows, 22 of them in the two million that never turn
(one in 91,000 rows; the promise is one in 20,000), HDDM_W 499, ADWIN 54, `change_point.py` 6; turns
missed: 1 of stagger's 20, 13 of the 20 in which circles move a little over 1,000 rows (HDDM_W 14, ADWIN 16), and SEA's
3 small ones, as everybody.
What breaks it: rows that share a day's weather (take blocks: `block_verdicts.py`), losses outside [0, 1], strata that
depend on the label. A slow rise moves its own past: blocks against a fixed reference see that.
Sources: Shin, Ramdas & Rinaldo, "E-detectors" (NEJSDS 2024); Roberts 1966; for the limit, Krichevsky & Trofimov 1981
and Ville 1939. It does what HDDM_W (`moving_average.py`) does, with a promise; `change_point.py` is the patient one.
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
    Floats,
    Ints,
    Latest,
    Verdict,
    check_ids,
    check_losses,
    check_whole,
    evidence,
    figure,
    finite,
    of_shape,
    same_length,
)

RISES: Floats = np.array([0.1, 0.2, 0.4, 0.6, 0.8])  # q = p̄ + (1 − p̄)·rise
DELTA = 0.01
BETWEEN = 20_000.0
CHUNK = 4096


class Concept(NamedTuple):
    """The detector's state: a value.

    `seen`, `lost`: (k,) rows and Σ loss by stratum. `log_m`: (5,) ln M by rise. `run`: (5,) the best likelihood of one
    start (CUSUM), `start` and `lost_before`: (5,) its row and the Σ loss of all rows before it. `peak`: the largest
    ln M so far; `at`: the row of the alarm, counted from 0, or −1.
    """

    between: float
    seen: Floats
    lost: Floats
    log_m: Floats
    run: Floats
    start: Ints
    lost_before: Floats
    peak: float
    at: Latest

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.shape."""
        _check_between(self.between)
        of_shape("rows and losses by stratum", (len(self.seen),), self.seen, self.lost)
        of_shape("evidence by rise", (len(RISES),), self.log_m, self.run, self.start, self.lost_before)


def concept_start(between: float = BETWEEN, strata: int = 1) -> Concept:
    """A new detector: at least `between` ≥ 2 rows from false alarm to false alarm in the mean; `strata` ≥ 1.

    Start anew when a new model serves: its losses are another stream. Errors: stats.alpha, stats.shape.
    """
    _check_between(between)
    k, r = len(RISES), check_whole(strata, "number of strata", least=1, most=10_000, code="stats.shape")
    none = np.full(k, -np.inf)
    return Concept(float(between), np.zeros(r), np.zeros(r), none, none, np.zeros(k, np.int64), np.zeros(k), 0.0, -1)


def _check_between(between: float) -> None:
    if not (isinstance(between, int | float | np.integer | np.floating) and 2 <= between <= 1e15):
        hint = "say how many rows may pass from one false alarm to the next, such as 20000"
        raise MillraceError("stats.alpha", f"{between!r} rows between false alarms", hint)


def concept_update(concept: Concept, losses: ArrayLike, strata: ArrayLike | None = None) -> Concept:
    """The detector after more rows. `losses`: (n,) in [0, 1], in order; `strata`: (n,) 0 … k−1, by default all 0.

    How rows are cut into calls does not matter. Errors: stats.data, stats.shape.
    """
    x = check_losses(losses)
    which = np.zeros(len(x), np.int64) if strata is None else check_ids(strata, "strata")
    same_length("losses and strata", x, which)
    if which.size and int(which.max()) >= len(concept.seen):
        hint = f"this detector has strata 0 … {len(concept.seen) - 1}"
        raise MillraceError("stats.data", f"a row of stratum {int(which.max())}", hint)
    for at in range(0, len(x), CHUNK):
        concept = _advance(concept, x[at : at + CHUNK], which[at : at + CHUNK])
    return concept


def concept_verdict(concept: Concept) -> Verdict:
    """`ALARM` once M reached `between`, and for ever after; `UNDECIDED` before the first row; else `QUIET`.

    `alpha` is 1/`between`, the rate of false alarms a row; `effect` the mean loss since the likeliest start of the rise
    less the mean before it, None where nothing rose.
    """
    n, total = int(concept.seen.sum()), float(concept.lost.sum())
    alarm = concept.peak >= math.log(concept.between)
    best = int(np.argmax(concept.log_m))
    start, before = int(concept.start[best]), float(concept.lost_before[best])
    effect = None
    if n and 0 < start < n:
        effect = finite((total - before) / (n - start) - before / start)
    value = evidence(concept.peak)
    if not n:
        because = "not enough evidence yet: no rows"
    elif alarm:
        because = f"the loss rose: shown at row {concept.at}, likeliest since row {start}"
    else:
        because = f"evidence {figure(value)} of {figure(concept.between)} after {n} rows"
    return Verdict(
        claim="the loss does not rise above its own past",
        unit="row",
        n=n,
        statistic=value,
        bound=concept.between,
        alpha=1 / concept.between,
        decision=ALARM if alarm else (QUIET if n else UNDECIDED),
        because=because,
        effect=effect,
    )


def upper_limit(n: ArrayLike, total: ArrayLike, delta: float) -> Floats:
    """The upper limit of a mean in [0, 1] after `n` ≥ 1 values of sum `total`, at all n at once with P ≥ 1 − `delta`.

    The largest p with n·kl(total/n, p) ≤ ln(1/δ) + ½ ln n + ln 2, from above: (p − m)² ≤ 2p·kl(m, p) gives a start,
    and Newton's steps on a convex function stay above the root. The arguments broadcast.
    """
    size = np.asarray(n, np.float64)
    mean = np.clip(np.asarray(total, np.float64) / size, 0.0, 1.0)
    room = (math.log(2 / delta) + np.log(size) / 2) / size
    p = np.minimum(mean + room + np.sqrt(room * (room + 2 * mean)), mean + np.sqrt(room / 2))
    p = np.minimum(p, 1 - 1e-9)
    for _ in range(3):
        slope = np.maximum(p - mean, 0) / (p * (1 - p))
        over = _relative_entropy(mean, p) - room
        p = np.where((over > 0) & (slope > 0), p - over / np.where(slope > 0, slope, 1), p)
    return np.asarray(p)


def factors(losses: Floats, limits: Floats) -> Floats:
    """ln of a row's factor at each rise: (n,) losses and limits < 1 in, (n, 5) out; expectation ≤ 1 for means ≤ limits.

    The factor is convex in the loss, so among losses of mean μ the yes/no loss has the largest expectation, which is
    μ·q/p̄ + (1−μ)·(1−q)/(1−p̄): at most 1 for μ ≤ p̄.
    """
    worse = np.log(limits[:, None] + (1 - limits[:, None]) * RISES) - np.log(limits)[:, None]
    return np.asarray(losses[:, None] * worse + (1 - losses[:, None]) * np.log1p(-RISES))


def _advance(concept: Concept, x: Floats, which: Ints) -> Concept:
    n, k = len(x), len(concept.seen)
    size, total = np.empty(n), np.empty(n)
    seen, lost = concept.seen.copy(), concept.lost.copy()
    for stratum in range(k):
        rows = np.flatnonzero(which == stratum)
        if len(rows):
            sums = lost[stratum] + np.concatenate([[0.0], np.cumsum(x[rows])])
            size[rows], total[rows] = seen[stratum] + np.arange(len(rows)), sums[:-1]
            seen[stratum], lost[stratum] = seen[stratum] + len(rows), sums[-1]
    gain = factors(x, upper_limit(np.maximum(size, 1), total, DELTA / k))
    gain[size < 1] = 0.0  # a stratum's first row has no past to be held against
    sums = np.cumsum(gain, axis=0)
    starts = -(sums - gain)  # ln 1/(the product before each row)
    log_m = sums + np.logaddexp.accumulate(np.concatenate([concept.log_m[None], starts]), axis=0)[1:]
    top = log_m.max(axis=1)
    path = top + np.log(np.exp(log_m - top[:, None]).mean(axis=1))
    over = np.flatnonzero(path >= math.log(concept.between))
    at = concept.at
    if at < 0 and len(over):
        at = int(concept.seen.sum()) + int(over[0])
    begun = np.argmax(starts, axis=0)
    column = np.arange(len(RISES))
    newer = starts[begun, column] >= concept.run
    before = float(concept.lost.sum()) + np.cumsum(x) - x
    return Concept(
        concept.between,
        seen,
        lost,
        log_m[-1],
        sums[-1] + np.where(newer, starts[begun, column], concept.run),
        np.where(newer, int(concept.seen.sum()) + begun, concept.start),
        np.where(newer, before[begun], concept.lost_before),
        max(concept.peak, float(path.max())),
        at,
    )


def _relative_entropy(m: Floats, p: Floats) -> Floats:
    """kl(m, p) of two yes/no chances, p in (0, 1), with 0·ln 0 = 0."""
    hit = m * (np.log(np.where(m > 0, m, 1)) - np.log(p))
    miss = (1 - m) * (np.log(np.where(m < 1, 1 - m, 1)) - np.log1p(-p))
    return np.asarray(hit + miss)
