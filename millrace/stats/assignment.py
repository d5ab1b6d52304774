"""The assignment check (sample-ratio mismatch): does traffic fall on the arms as the weights say?

Claim: "each request is assigned to arm a with the logged probability w_a". Unit of evidence: the request; with sticky
assignment the unit, counted at its first request. Evidence: the likelihood ratio of "the odds of arm a are r times
what they should be", mixed evenly over the arms and 48 ratios r from 1/4 to 4. It is a multinomial likelihood ratio,
additive over counts by weights, so weights may ramp and workers merge by adding. P(ever E ≥ 1/α) ≤ α; α = .01 by
default, and a failure blocks every other verdict: whatever loses requests of one arm also loses its errors.
What breaks it: counting a sticky unit's every request; counting after a filter that the arm can influence (then the
alarm is the point).
Source: Lindon & Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022); a grid of multipliers in
place of their Dirichlet, so that it stays exact while weights change.
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
    Unit,
    Verdict,
    check_alpha,
    check_counts,
    check_shares,
    check_whole,
    evidence,
    finite,
    same_rows,
)

_HALF: Floats = np.geomspace(1.005, 4.0, 24)
MULTIPLES: Floats = np.concatenate([1 / _HALF[::-1], _HALF])
_LOG_MULTIPLES: Floats = np.log(MULTIPLES)


class Assignment(NamedTuple):
    """The check's state: a value. `log_e`: (arms, 48); `counts`: (arms,); `expected`: (arms,) Σ of weights."""

    log_e: Floats
    counts: Floats
    expected: Floats
    peak: float

    def fits(self) -> None:
        """Whether the parts speak of the same arms. Errors: stats.shape."""
        arms = same_rows("counts and expected counts", self.counts, self.expected)
        if np.shape(self.log_e) != (arms, len(MULTIPLES)):
            raise MillraceError("stats.shape", f"evidence {np.shape(self.log_e)} for {arms} arms", "start a new check")


def assignment_start(arms: int = 2) -> Assignment:
    """A new check over `arms` ≥ 2 arms. Errors: stats.shape."""
    arms = check_whole(arms, "number of arms", least=2, most=10_000, code="stats.shape")
    return Assignment(np.zeros((arms, len(MULTIPLES))), np.zeros(arms), np.zeros(arms), 0.0)


def assignment_update(check: Assignment, weights: ArrayLike, counts: ArrayLike) -> Assignment:
    """The check after a batch. `weights`: (b, arms), each row sums to 1; `counts`: (b, arms) assignments at them.

    A request on an arm of weight 0 is impossible under the claim: the evidence becomes overwhelming at once.
    Errors: stats.weight, stats.data, stats.shape.
    """
    w, n = np.atleast_2d(check_shares(weights)), np.atleast_2d(check_counts(counts))
    if w.shape != n.shape or w.shape[1] != len(check.counts):
        hint = f"give (batches, {len(check.counts)}) weights and counts"
        raise MillraceError("stats.shape", f"weights {w.shape} and counts {n.shape}", hint)
    if w.size and float(np.abs(w.sum(axis=1) - 1).max()) > 1e-9:
        raise MillraceError("stats.weight", "the weights of a row do not sum to 1", "give every arm's weight")
    total = n.sum(axis=1)
    norm = np.log1p(w[:, :, None] * (MULTIPLES - 1))  # ln Σ of the moved shares, by batch, arm and multiple
    gain = n.sum(axis=0)[:, None] * _LOG_MULTIPLES - np.einsum("b,bam->am", total.astype(np.float64), norm)
    log_e = check.log_e + gain
    peak = max(check.peak, float(_log_mean(log_e)))
    if bool(n[w == 0].any()):
        peak = max(peak, math.log(1e300))
    return Assignment(log_e, check.counts + n.sum(axis=0), check.expected + total @ w, peak)


def merge_assignments(a: Assignment, b: Assignment) -> Assignment:
    """The check on the requests of both; the merged peak is that of the whole as it is now. Errors: stats.shape."""
    if a.log_e.shape != b.log_e.shape:
        raise MillraceError("stats.shape", "the checks have different arms", "merge checks of the same arms")
    log_e = a.log_e + b.log_e
    impossible = max(a.peak, b.peak) if max(a.peak, b.peak) >= math.log(1e300) else 0.0
    peak = max(0.0, float(_log_mean(log_e)), impossible)
    return Assignment(log_e, a.counts + b.counts, a.expected + b.expected, peak)


def assignment_verdict(check: Assignment, alpha: float = 0.01, *, unit: Unit = "request") -> Verdict:
    """`ALARM` when assignment does not follow the weights, and for ever after. Errors: stats.alpha.

    `effect` is the share of the second arm (the canary) over what the weights promise, less 1.
    """
    alpha = check_alpha(alpha)
    bound = 1 / alpha
    n = int(check.counts.sum())
    alarm = check.peak >= math.log(bound)
    got = ", ".join(f"{c:.0f} for {e:.0f}" for c, e in zip(check.counts, check.expected, strict=True))
    because = f"assigned {got} expected" if n else f"not enough evidence yet: no {unit}s"
    expected = float(check.expected[1])
    return Verdict(
        claim="assignment follows the weights",
        unit=unit,
        n=n,
        statistic=evidence(check.peak),
        bound=bound,
        alpha=alpha,
        decision=ALARM if alarm else (QUIET if n else UNDECIDED),
        because=because,
        effect=finite(float(check.counts[1]) / expected - 1) if expected > 0 else None,
    )


def _log_mean(log_e: Floats) -> Floats:
    top = log_e.max()
    return np.asarray(top + np.log(np.add.reduce(np.exp(log_e - top), axis=None) / log_e.size))
