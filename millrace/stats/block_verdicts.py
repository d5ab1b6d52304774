"""A t-test on block means that may be looked at after every block, and the confidence sequence that belongs to it.

Claim: about the mean of the blocks to come (days like these), not about the rows seen. Unit of evidence: the block.
The evidence is a mixture over effect sizes 0.1 … 2 (mean over standard deviation of blocks) of the noncentral-t
likelihood ratio: scale-free, so no variance need be known, and an e-process under independent normal blocks of mean 0,
hence P(ever ≥ 1/α) ≤ α. Memory from block to block shrinks the number of blocks by `inflation`.

The widening does not weaken that: what alarms with fewer blocks would have done so with all (computed, by test).

Measured, one side, 120 blocks with a look after each, α = .05, 4,000 series: false in 1.9 % with independent blocks,
4.3 % with lag-one autocorrelation .2, 6.6 % with .4, 10 % with .6 (without the widening two-sided 9, 19 and 34 %). With
`memory=STRICT`, an upper limit instead of the estimate, 1.6, 3.3, 4.8 and 7.2 %, and a lasting effect of 0.8 to 2
standard deviations is shown 1 to 2 blocks later where there is no memory, 2 to 6 where it is .3.
What breaks it: strong memory, blocks with very heavy tails (clip losses first), a trend read as a constant effect, and
skew: with 120 independent exponential blocks the side away from the long tail is false in 13 % where 5 % are promised,
with lognormal ones in 25 % (8,000 series). Then take a bounded loss, or the betting test (`betting.py`), or more rows a
block, whose means are less skew.
A change after long calm has the calm's debt to work off first. With `starts_every` the evidence is a mixture over first
blocks as well, at the price of a factor 2 for what is there from the start.
Sources: Lai 1976; Pérez-Ortiz et al. 2024; Wang & Ramdas, "Anytime-valid t-tests and confidence sequences for
Gaussian means with unknown variance" (Sequential Analysis 2025).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.blocks import ESTIMATED, Blocks, design_effect, inflation
from millrace.stats.noncentral import log_ratio
from millrace.stats.verdict import (
    ALARM,
    PROVEN,
    UNDECIDED,
    Floats,
    Verdict,
    check_alpha,
    check_choice,
    check_whole,
    column,
    evidence,
    figure,
    finite,
    scalar,
)

Side = Literal["above", "below", "either"]

EFFECTS: Floats = np.geomspace(0.1, 2.0, 20)
LEAST_BLOCKS = 3


def block_evidence(
    means: ArrayLike, reference: float = 0.0, side: Side = "either", memory: float = ESTIMATED
) -> Floats:
    """ln of the evidence, after each block, that blocks lie `side` of `reference`; (k,) in, (k,) out.

    0 (no evidence) before `LEAST_BLOCKS` blocks' worth of information and where all blocks equal the reference.
    `memory`: see `inflation`. Errors: stats.data, stats.shape, stats.alpha.
    """
    check_choice(side, "side", get_args(Side))
    x = column(means, "block means") - scalar(reference, "reference")
    path = np.zeros(len(x))
    size, fit = _shrunk(x, memory)
    enough = size >= LEAST_BLOCKS - 1e-9
    if enough.any():
        path[enough] = _mixture(fit[enough], size[enough], side)
    return path


def block_interval(means: ArrayLike, alpha: float, memory: float = ESTIMATED) -> tuple[float, float] | None:
    """The confidence sequence at the last block: it covers the mean of blocks after every block with P ≥ 1 − α.

    None while even a perfect fit would not exclude anything (the first few blocks). `memory`: see `inflation`.
    Errors: stats.alpha, stats.data.
    """
    x = column(means, "block means")
    target, wider = math.log(1 / check_alpha(alpha)), inflation(x, memory)
    if len(x) < LEAST_BLOCKS:
        return None
    size = float(len(x) / wider[-1])
    one = np.array([size])
    if size < LEAST_BLOCKS - 1e-9 or float(_mixture(np.ones(1), one, "either")[0]) < target:
        return None
    high = _fit_at(target, one)
    t = high * math.sqrt((size - 1) / max(1 - high * high, 1e-15))
    half = t * float(x.std(ddof=1)) / math.sqrt(size)
    centre = float(x.mean())
    return finite(centre - half), finite(centre + half)


def started_evidence(
    means: ArrayLike, every: int, reference: float = 0.0, side: Side = "either", memory: float = ESTIMATED
) -> Floats:
    """`block_evidence` of a change that may begin at block 0, `every`, 2·`every` …: (k,) in, ln of evidence (k,) out.

    A start that has not come yet counts with evidence 1, and start j weighs w_j = 1/((j+1)(j+2)), which sums to 1.
    Proven, over independent normal blocks of mean 0 and any variance: with probability 1 − α no start by itself, with
    its weight, ever reaches 1/α (Ville for each, then all together); and the sum, which crosses up to two blocks
    sooner, ever does so with probability at most α·(2 + Σ w·ln 1/w + ln 1/α), 7α at 5 %, whatever the starts share
    (cut start j at 1/(α·w_j), then Markov). That the sum keeps α itself is measured (`bench/calm.py`), on the one
    distribution there is, as evidence is free of scale: 1.7 % in 120 blocks at α = 5 %. Where neighbouring blocks
    correlate by .2 and .4 it is 5 and 13 %. The sum is no martingale: a start is one in what its own blocks tell up to
    scale, and the starts before know more. With one scale from all blocks it would be, and would need 29 blocks
    instead of 12 to see 2.3 standard deviations after 28 calm ones.
    Errors: stats.data, stats.shape, stats.blocks for `every` < 1.
    """
    check_choice(side, "side", get_args(Side))
    every = check_whole(every, "blocks from start to start", least=1, most=2**31, code="stats.blocks")
    x = column(means, "block means")
    starts = np.arange(0, len(x), every)
    weights = 1.0 / ((np.arange(len(starts)) + 1) * (np.arange(len(starts)) + 2))
    paths = np.zeros((len(starts), len(x)))
    for path, start in zip(paths, starts, strict=True):
        path[start:] = block_evidence(x[start:], reference, side, memory)
    if not len(starts):
        return np.zeros(0)
    top = np.maximum(paths.max(axis=0), 0.0)
    ahead = 1.0 - weights.sum()
    return np.asarray(top + np.log(weights @ np.exp(paths - top) + ahead * np.exp(-top)))


def block_test(
    blocks: Blocks, alpha: float, *, side: Side, reference: float = 0.0, shown: str = PROVEN, claim: str,
    starts_every: int = 0, memory: float = ESTIMATED,
) -> Verdict:  # fmt: skip
    """The verdict on "block means lie `side` of `reference`"; `shown` is the decision once it is shown.

    `statistic` is the largest evidence so far (a look missed loses nothing), `bound` 1/α; `effect` the mean of block
    means less the reference; `interval` the confidence sequence around that. With `starts_every` > 0 the change may
    have begun at any of those blocks; effect and interval stay those of all blocks. `memory`: see `inflation`; where
    neighbouring blocks may correlate by .4, `STRICT` of `blocks.py` holds what the estimate does not.
    Errors: stats.alpha, stats.data.
    """
    alpha = check_alpha(alpha)
    if starts_every:
        path = started_evidence(blocks.means, starts_every, reference, side, memory)
    else:
        path = block_evidence(blocks.means, reference, side, memory)
    k = len(path)
    peak = float(path.max()) if k else 0.0
    decided = peak >= math.log(1 / alpha)
    effect = finite(float(blocks.means.mean()) - reference) if k else None
    interval = block_interval(blocks.means - reference, alpha, memory) if k else None
    if decided:
        first = int(np.argmax(path >= math.log(1 / alpha))) + 1
        because = f"block means lie {_words(side)} {reference:g}: shown after {first} of {k} blocks"
    elif k < LEAST_BLOCKS:
        because = f"not enough evidence yet: {k} of at least {LEAST_BLOCKS} blocks"
    else:
        because = f"not enough evidence yet: {figure(evidence(peak))} of {figure(1 / alpha)} after {k} blocks"
    return Verdict(
        claim=claim,
        unit="block",
        n=k,
        statistic=evidence(peak),
        bound=1 / alpha,
        alpha=alpha,
        decision=shown if decided else UNDECIDED,
        because=because,
        effect=effect,
        interval=interval,
        design_effect=design_effect(blocks),
    )


def better_by_blocks(differences: Blocks, alpha: float, *, memory: float = ESTIMATED) -> Verdict:
    """Is the candidate better on days like these? `differences`: blocks of loss(candidate) − loss(champion).

    `PROVEN` when the mean lies below 0. For rows that both scored (a shadow, or a held-out period). `memory`: see
    `block_test`.
    """
    return block_test(
        differences, alpha, side="below", claim="the candidate loses less than the champion", memory=memory
    )


def worse_by_blocks(
    losses: Blocks, reference: float, tolerance: float, alpha: float, *, starts_every: int = 0,
    memory: float = ESTIMATED,
) -> Verdict:  # fmt: skip
    """Concept drift: `ALARM` when the mean loss of blocks lies above `reference` + `tolerance` (tolerance ≥ 0).

    A rise of loss alone may be a harder month: `biased_by_blocks` and a standing challenger tell the two apart.
    `starts_every`: for a watch that may be calm for long, and `memory`, see `block_test`. Errors: stats.alpha,
    stats.data; stats.margin for a tolerance below 0.
    """
    more = scalar(tolerance, "tolerance", code="stats.margin")
    if more < 0:
        raise MillraceError(
            "stats.margin", f"the tolerance is {tolerance!r}", "say how much more is no harm: 0 or above"
        )
    bound = scalar(reference, "reference") + more
    return block_test(
        losses, alpha, side="above", reference=bound, shown=ALARM, claim=f"the loss stays ≤ {bound:g}",
        starts_every=starts_every, memory=memory,
    )  # fmt: skip


def biased_by_blocks(residuals: Blocks, alpha: float, *, starts_every: int = 0, memory: float = ESTIMATED) -> Verdict:
    """Calibration in time: `ALARM` when block means of y − p lie away from 0, on either side.

    A calibrated model cannot be beaten at this game, however hard the month. `starts_every`, `memory`: see
    `block_test`.
    """
    return block_test(
        residuals, alpha, side="either", shown=ALARM, claim="the predictions stay calibrated",
        starts_every=starts_every, memory=memory,
    )  # fmt: skip


def _fit_at(target: float, size: Floats) -> float:
    """The fit in [0, 1] at which the evidence for "either" is `target`, to 1e-10 of it.

    Evidence rises almost evenly in −ln(1 − fit²), so regula falsi there, with the Illinois rule (Dowell & Jarratt
    1971), needs about eight evaluations.
    """

    def over(place: float) -> float:
        return float(_mixture(np.array([math.sqrt(-math.expm1(-place))]), size, "either")[0]) - target

    low, high = 0.0, 28.0  # there the fit is 1 to the last digit
    below, above = over(low), over(high)
    side = 0
    for _ in range(60):
        middle = high - above * (high - low) / (above - below)
        if not low < middle < high:
            middle = (low + high) / 2
        now = over(middle)
        if abs(now) <= 1e-10 * target or high - low <= 1e-12:
            return math.sqrt(-math.expm1(-middle))
        if now < 0:
            low, below = middle, now
            above = above / 2 if side < 0 else above
            side = -1
        else:
            high, above = middle, now
            below = below / 2 if side > 0 else below
            side = 1
    return math.sqrt(-math.expm1(-high))


def _words(side: Side) -> str:
    return "away from" if side == "either" else side


def _shrunk(x: Floats, memory: float) -> tuple[Floats, Floats]:
    """For each prefix: the number of independent blocks it is worth, and t/√(t²+ν) at that number."""
    k = np.arange(1, len(x) + 1)
    size = k / inflation(x, memory)
    shift = x[0] if len(x) else 0.0  # sums about the first value keep the variance's digits
    total, square = np.cumsum(x - shift), np.cumsum((x - shift) ** 2)
    mean = shift + total / k
    variance = np.maximum(square - total**2 / k, 0.0) / np.maximum(k - 1, 1)
    scale = np.sqrt(size * mean**2 + np.maximum(size - 1, 0) * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = np.where(scale > 0, np.sqrt(size) * mean / scale, 0.0)
    size = np.where(scale > 0, size, 0.0)
    return size, np.clip(fit, -1.0, 1.0)


def _mixture(fit: Floats, size: Floats, side: Side) -> Floats:
    """ln of the mean ratio over effects. Who looks after each block asks for the same prefixes again: they are kept."""
    asked = [(side, *pair) for pair in zip(fit.tolist(), size.tolist(), strict=True)]
    found = [_KNOWN.get(pair) for pair in asked]
    new = [place for place, value in enumerate(found) if value is None]
    if new:
        for place, value in zip(new, _mixed(fit[new], size[new], side).tolist(), strict=True):
            found[place] = value
        if len(_KNOWN) + len(new) > _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN.update((asked[place], found[place]) for place in new)
    return np.array(found, np.float64)


_KNOWN: dict[tuple[Side, float, float], float | None] = {}
_MOST_KNOWN = 1 << 14


def _mixed(fit: Floats, size: Floats, side: Side) -> Floats:
    effects = {"above": EFFECTS, "below": -EFFECTS, "either": np.concatenate([-EFFECTS, EFFECTS])}[side]
    ratios = log_ratio(fit[:, None], size[:, None], effects)
    top = ratios.max(axis=1)
    return np.asarray(top + np.log(np.exp(ratios - top[:, None]).mean(axis=1)))
