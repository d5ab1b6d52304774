"""The error guard: is the canary's error rate more than r0 times control's? Valid however often one looks.

Claim: "the canary's rate of errors is at most r0 times control's", for the traffic seen. Unit of evidence: the error,
and with sticky assignment the first error of a unit (`sticky.py`). Given an error, it falls on the canary with
probability θ_r = w·r/(w·r + 1 − w) at rate ratio r, w the weight **logged with that request**; so weights may ramp, a
common incident cancels, and healthy requests need not be counted. Evidence: the likelihood ratio of each of 40 ratios
r0·(1.1 … 60) against r0, mixed over them and over start times, so that an hour of health is no debt.
P(ever E ≥ 1/α) ≤ α, by Ville's inequality.

Bounds, all counts: S_δ ← S_δ·f_δ with f = θ_δ/θ_r0 (canary) or (1−θ_δ)/(1−θ_r0) (control); at every 10th error
S_δ += γ_j and R −= γ_j; E = mean S_δ + R; S₀ = R₀ = ½, γ_j = 2^−(2+⌊(j−1)/1000⌋)/1000. A batch's start times all come
after its errors, so the order within a batch does not matter, and workers merge by adding counts.
What breaks it: the current weight in place of the logged one (97 % false alarms under an oscillating weight); many
errors of one sticky unit counted apart (30–42 %); a canary that gets other traffic than control.
Sources: Ville 1939; Wald 1945; Shin, Ramdas & Rinaldo, "E-detectors" (NEJSDS 2024) for the start times.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError
from millrace.stats.verdict import (
    ALARM,
    QUIET,
    UNDECIDED,
    Floats,
    Ints,
    Unit,
    Verdict,
    check_alpha,
    check_arms,
    check_count_rows,
    check_margin,
    check_shares,
    evidence,
    figure,
    finite,
    of_shape,
    same_rows,
)

RATIOS: Floats = np.geomspace(1.1, 60.0, 40)
LOG_RATIOS: Floats = np.log(RATIOS)
EVERY = 10  # errors between two start times
SPELL = 1000  # start times that share a γ
LAST = 1000 * SPELL  # start times after which what is left of R stays as it is
_FEW = 16  # weights of a batch whose factors are remembered


class Errors(NamedTuple):
    """Errors of one batch, by the weight logged with them; three arrays of one length, in any order."""

    weights: Floats
    canary: Ints
    control: Ints

    def fits(self) -> None:
        """Whether there is a count on either arm for every weight. Errors: stats.shape."""
        same_rows("weights and counts", self.weights, self.canary, self.control)


class Guard(NamedTuple):
    """The guard's state: a value. `log_s`: (40,) ln S_δ; `peak`: the largest ln E so far.

    `canary` and `control` count errors; `canary_mass` and `control_mass` are Σ (1−w) and Σ w over them, whose quotient
    estimates the rate ratio (Mantel & Haenszel 1959).
    """

    r0: float
    log_s: Floats
    peak: float
    canary: int
    control: int
    canary_mass: float
    control_mass: float

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.shape."""
        check_r0(self.r0)
        of_shape("evidence by ratio", (len(RATIOS),), self.log_s)


def check_r0(r0: float) -> None:
    """A ratio that a margin can give. Errors: stats.margin."""
    if not 1 <= r0 <= 501:
        raise MillraceError("stats.margin", f"a guard against {r0:g} times control's rate", "start a new guard")


def guard_start(margin: float = 1.0) -> Guard:
    """A new guard. `margin` is the relative rise that is still acceptable (1.0: twice control's rate).

    The null is half of it, r0 = 1 + margin/2: at r0 = 1 canaries inside the margin would be rolled back half the
    time. Errors: stats.margin.
    """
    margin = check_margin(margin, largest=1000.0, such=1.0)
    return Guard(1 + margin / 2, np.full(len(RATIOS), math.log(0.5)), 0.0, 0, 0, 0.0, 0.0)


def errors_by_weight(weights: ArrayLike, canary: ArrayLike) -> Errors:
    """Count errors by weight. `weights`: (n,) logged with each failed request; `canary`: (n,) bool, where it ran.

    Errors: stats.weight, stats.data, stats.shape.
    """
    w, arm = check_shares(weights), check_arms(canary)
    same_rows("weights and arms", w, arm)
    distinct, inverse = np.unique(w, return_inverse=True)
    hit = np.bincount(inverse[arm], minlength=len(distinct)).astype(np.int64)
    return Errors(distinct, hit, np.bincount(inverse, minlength=len(distinct)).astype(np.int64) - hit)


def merge_errors(a: Errors, b: Errors) -> Errors:
    """The errors of both: associative and commutative, so workers and servers add up in any order."""
    weights, inverse = np.unique(np.concatenate([a.weights, b.weights]), return_inverse=True)
    canary, control = np.zeros(len(weights), np.int64), np.zeros(len(weights), np.int64)
    np.add.at(canary, inverse, np.concatenate([a.canary, b.canary]))
    np.add.at(control, inverse, np.concatenate([a.control, b.control]))
    return Errors(weights, canary, control)


def guard_update(guard: Guard, batch: Errors) -> Guard:
    """The guard after one batch of errors. Errors at weight 0 or 1 compare nothing and are left out.

    Errors: stats.weight, stats.data, stats.shape.
    """
    table = factors(guard.r0, batch.weights)
    counts = check_count_rows("counts", batch.canary, batch.control)
    if counts.shape != (2 * len(table.inside),):
        hint = "give a count on either arm for every weight"
        raise MillraceError("stats.shape", f"{len(table.inside)} weights, counts of {counts.shape}", hint)
    told = table.kept(counts).tolist()
    hit, new = sum(told[: len(table.inside)]), sum(told)
    if new == 0:
        return guard
    moved = counts @ table.moves
    before = min(guard.canary + guard.control, EVERY * LAST)
    log_s, log_e = started(guard.log_s + moved[:-2], np.asarray(before), np.asarray(new))
    return Guard(
        guard.r0,
        log_s,
        max(guard.peak, float(log_e)),
        guard.canary + hit,
        guard.control + new - hit,
        guard.canary_mass + float(moved[-2]),
        guard.control_mass + float(moved[-1]),
    )


class Factors(NamedTuple):
    """What errors at given weights do. `inside`: (b,) which of them compare the arms, 0 < w < 1.

    `moves`: (2b, 42), what one error adds, on the canary at each weight, then on control: to ln S_δ, to Σ (1−w) over
    canary errors and to Σ w over control's. Rows of weights that compare nothing are 0.
    """

    inside: NDArray[np.bool_]
    all_inside: bool
    moves: Floats

    def kept(self, counts: Ints) -> Ints:
        """`counts` (…, 2b) without those at weights that compare nothing."""
        return counts if self.all_inside else counts * np.concatenate((self.inside, self.inside))


def factors(r0: float, weights: ArrayLike) -> Factors:
    """The factors of weights (b,) against `r0`; remembered, since weights stay for long.

    Errors: stats.weight, stats.shape.
    """
    if type(weights) is np.ndarray and weights.dtype == np.float64 and weights.ndim == 1 and len(weights) <= _FEW:
        return _remembered(r0, weights.tobytes())
    return _factors(r0, check_shares(weights))


@lru_cache(maxsize=256)
def _remembered(r0: float, weights: bytes) -> Factors:
    return _factors(r0, check_shares(np.frombuffer(weights)))


def _factors(r0: float, weights: Floats) -> Factors:
    if weights.ndim != 1:
        raise MillraceError("stats.shape", f"weights of shape {weights.shape}", "give one dimension: a weight a row")
    inside = (weights > 0) & (weights < 1)
    w = np.where(inside, weights, 0.5)[:, None]
    miss, none = log_misses(r0, w[:, 0]), np.zeros_like(w)
    moves = np.concatenate([np.hstack([miss + LOG_RATIOS, 1 - w, none]), np.hstack([miss, none, w])])
    return Factors(inside, bool(inside.all()), moves * np.tile(inside, 2)[:, None])


def log_misses(r0: float, weights: Floats) -> Floats:
    """ln (1−θ_δ)/(1−θ_r0) for weights (…) in (0, 1), by ratio: (…, 40); ln θ_δ/θ_r0 is that and ln δ/r0."""
    base = r0 * (weights / (1 - weights))[..., None]
    return np.asarray(np.log1p(base) - np.log1p(base * RATIOS))


def advance(
    log_s: Floats, seen: ArrayLike, r0: float, weights: Floats, canary: Ints, control: Ints
) -> tuple[Floats, Floats]:
    """The recursion itself, over any leading axes (many simulated rollouts at once).

    `log_s`: (…, 40); `seen`: (…) errors before; `weights`, `canary`, `control`: (…, b), weights in (0, 1).
    Answers the new ln S (…, 40) and ln E (…).
    """
    errors = canary + control
    hits = canary.sum(axis=-1)[..., None] * LOG_RATIOS
    log_s = log_s + np.matmul(errors[..., None, :], log_misses(r0, weights))[..., 0, :] + hits
    return started(log_s, np.asarray(seen), errors.sum(axis=-1))


def started(log_s: Floats, before: Ints, new: Ints) -> tuple[Floats, Floats]:
    """ln S (…, 40) after the start times that `new` (…) errors bring, `before` (…) of them ago; and ln E (…)."""
    earlier, after = before // EVERY, (before + new) // EVERY
    reserve = unstarted(after)
    if (after > earlier).any():
        share = unstarted(earlier) - reserve
        with np.errstate(divide="ignore"):
            log_s = np.logaddexp(log_s, np.log(share)[..., None])
    top = np.maximum(np.maximum.reduce(log_s, axis=-1), 0.0)
    total = np.add.reduce(np.exp(log_s - top[..., None]), axis=-1)
    return log_s, np.asarray(top + np.log(total / len(RATIOS) + reserve * np.exp(-top)))


def unstarted(j: ArrayLike) -> Floats:
    """R after `j` start times: ½ − Σ_{i≤j} γ_i, in closed form; it tends to 0."""
    spell, within = np.divmod(np.minimum(j, LAST), SPELL)
    return np.asarray(np.ldexp(0.5 - within * (0.25 / SPELL), -spell))


def guard_verdict(guard: Guard, alpha: float, *, unit: Unit = "request", what: str = "errors") -> Verdict:
    """`ALARM` once E ≥ 1/α, and for ever after; `UNDECIDED` before the first error; else `QUIET`.

    Quiet is no proof of health: promotion asks `betting.py`. `effect` is the estimated rate ratio. Errors: stats.alpha.
    """
    alpha = check_alpha(alpha)
    bound = 1 / alpha
    n = guard.canary + guard.control
    alarm = guard.peak >= math.log(bound)
    value = evidence(guard.peak)
    ratio = guard.canary_mass / guard.control_mass if guard.control_mass > 0 else None
    counts = f"{guard.canary} of {n} {what} fell on the canary"
    if alarm:
        because = f"{counts}: more than {guard.r0:g} × control's rate"
    else:
        because = (
            f"{counts}: evidence {figure(value)} of {figure(bound)}" if n else f"not enough evidence yet: no {what}"
        )
    return Verdict(
        claim=f"the canary's rate of {what} is at most {guard.r0:g} × control's",
        unit=unit,
        n=n,
        statistic=value,
        bound=bound,
        alpha=alpha,
        decision=ALARM if alarm else (QUIET if n else UNDECIDED),
        because=because,
        effect=None if ratio is None else finite(ratio),
    )
