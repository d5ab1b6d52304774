"""Sequences of calls with everything that is extreme and allowed: weights next to 0 and 1, counts of 2^59, subnormal
losses, α from 1e-300 to next to 1. The answer is sound, or an error with a code and a hint, and no operation overflows
on the way. What was drawn is fixed by the seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from millrace import stats
from millrace.base.errors import MillraceError
from tests.stats.test_bad_input import DAY_US, sound

WEIGHTS = (0.0, 5e-324, 1e-300, 1e-9, 0.1, 0.5, 0.9, 1 - 1e-9, np.nextafter(1, 0), 1.0)
COUNTS = (0, 1, 2, 10, 1000, 2**31, 2**40, 2**53, 2**56)
LOSSES = (0.0, 5e-324, 1e-160, 1e-16, 0.1, 0.5, 1 - 1e-16, 1.0)
VALUES = (0.0, -0.0, 5e-324, 1e-160, -1e-160, 1e-8, 1.0, -1.0, 1e8, 1e99, -1e99, 1e100, -1e100)
ALPHAS = (1e-300, 1e-100, 1e-12, 0.05, 0.5, 1 - 1e-12)


class Draw:
    """What is drawn next."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def of(self, known: tuple[Any, ...], n: int) -> np.ndarray:
        return np.array(known)[self.rng.integers(0, len(known), n)]

    def one(self, *known: Any) -> Any:
        return known[int(self.rng.integers(0, len(known)))]

    def size(self, most: int = 5) -> int:
        return int(self.rng.integers(0, most))

    def yes(self, n: int) -> np.ndarray:
        return self.rng.random(n) < 0.5

    def alpha(self) -> float:
        return float(self.one(*ALPHAS))


def guard(d: Draw) -> Any:
    state = stats.guard_start(d.one(1e-300, 1e-9, 0.1, 1.0, 999.0))
    for n in (d.size(), d.size(), d.size()):
        state = stats.guard_update(state, stats.Errors(d.of(WEIGHTS, n), d.of(COUNTS, n), d.of(COUNTS, n)))
    return stats.guard_verdict(state, d.alpha())


def latency(d: Draw) -> Any:
    limits = np.sort(d.rng.random(3) * 10 + 0.1)
    state = stats.latency_start(limits)
    for n in (d.size(), d.size()):
        took = d.of((0.0, 5e-324, 1.0, 1e99, 1e100), n)
        state = stats.latency_update(state, stats.slow_by_weight(took, d.yes(n), d.of(WEIGHTS, n), limits))
    return stats.latency_verdict(state, d.alpha())


def assignment(d: Draw) -> Any:
    state = stats.assignment_start(3)
    for n in (d.size(), d.size()):
        weights = d.one(d.rng.dirichlet(np.ones(3), n), np.eye(3)[d.rng.integers(0, 3, n)])
        state = stats.assignment_update(state, weights.reshape(n, 3), d.of(COUNTS, 3 * n).reshape(n, 3))
    return stats.assignment_verdict(stats.merge_assignments(state, state), d.alpha())


def bet(d: Draw) -> Any:
    state = stats.bet_start(d.one(1e-300, 1e-9, 0.1, 0.5, 1 - 1e-12))
    n = d.size()
    bad, miss = d.of(COUNTS, n), d.of(COUNTS, n)
    state = stats.bet_counts(state, d.of(WEIGHTS, n), bad + miss + d.of(COUNTS, n), bad, miss)
    state = stats.bet_losses(state, d.of(LOSSES, n), d.yes(n), d.of(WEIGHTS, n))
    state = stats.bet_pairs(state, d.of(LOSSES, n) * d.one(-1, 1))
    return stats.bet_verdict(stats.merge_bets(state, state), d.alpha())


def rate(d: Draw) -> Any:
    state = stats.rate_start(d.one(5e-324, 1e-300, 1e-9, 0.1, 0.5, 1 - 1e-12))
    n = int(d.of(COUNTS, 1)[0])
    state = stats.rate_update(state, n, int(d.rng.integers(0, n + 1)))
    return stats.rate_verdict(state, d.alpha()), stats.rate_interval(state, d.alpha())


def blocks(d: Draw) -> Any:
    n = d.size(40)
    own = stats.blocks_by_time(d.of(VALUES, n), d.rng.integers(0, 9, n) * DAY_US)
    limit, more = d.of(VALUES, 2)
    return (
        stats.better_by_blocks(own, d.alpha()), stats.biased_by_blocks(stats.merge_blocks(own, own), d.alpha()),
        stats.worse_by_blocks(own, limit, more, d.alpha(), starts_every=d.one(0, 7)), stats.design_effect(own),
        stats.block_interval(own.means, d.alpha()),
    )  # fmt: skip


def streams(d: Draw) -> Any:
    between, alpha, weight = d.one(2, 100, 1e15), d.alpha(), d.one(1e-300, 1e-9, 0.05, 0.5)
    concept, moving = stats.concept_start(between, 3), stats.moving_start(alpha, weight)
    change = stats.change_start(alpha, d.one("rise", "either"))
    for n in (d.size(60), d.size(60)):
        losses = d.of(LOSSES, n)
        concept = stats.concept_update(concept, losses, d.rng.integers(0, 3, n))
        change, moving = stats.change_update(change, losses), stats.moving_update(moving, losses)
    return stats.concept_verdict(concept), stats.change_verdict(change), stats.moving_verdict(moving)


def sequences(d: Draw) -> Any:
    n = d.size(60)
    a, b = stats.arm(d.of(VALUES, n)), stats.arm(d.of(VALUES, d.size(60)))
    return (
        stats.difference_verdict(a, b, d.one(1e-300, 0.1, 1e99), d.alpha()),
        stats.bernstein_sequence(d.of(LOSSES, n), d.alpha()), stats.asymptotic_sequence(d.of(VALUES, n), d.alpha()),
        stats.ratio_influence(d.of(VALUES, n), d.of(VALUES, n)), stats.auc_influence(d.yes(n), d.of(VALUES, n)),
        stats.inverse_propensity(d.of(VALUES, n), d.yes(n), d.of((1e-9, 0.1, 1.0), n)),
    )  # fmt: skip


def metrics(d: Draw) -> Any:
    n, name = d.size(60), d.one(*sorted(stats.METRICS))
    y, p, groups = d.yes(n), d.of(LOSSES, n), {"g": d.rng.integers(0, 3, n)}
    gap = stats.fairness_gap(name, y, p, groups, d.alpha(), least_rows=2)
    slices = stats.by_slice(name, y, p, groups, d.alpha(), least_rows=1, units=d.rng.integers(0, 4, n))
    total = d.of(COUNTS, n)
    burn = stats.burn_rates(
        np.arange(n) * 300_000_000, total, total // 2, d.one(0, 10**10, 2**62), d.one(1e-300, 0.5, 1 - 1e-16), d.alpha()
    )
    return stats.fairness_verdict(gap, 0.1), slices, burn


def estimates(d: Draw) -> Any:
    n = 20 + d.size(40)
    y, s = d.one(d.yes(n), np.zeros(n), np.ones(n)).astype(float), d.of(LOSSES, n)
    names = sorted(stats.EXPECTED)
    fitted = stats.estimator_fit(y, s, folds=2, rows_a_window=1 + d.size(60), names=names)
    window = stats.Window(d.of(LOSSES, d.size(30)), None)
    fitted = stats.estimator_learn(fitted, window, d.yes(len(window.scores)).astype(float))
    return stats.estimate(fitted, window, d.alpha()), stats.beta_fit(s, y), stats.recalibration(y, s)


def drift(d: Draw) -> Any:
    def rows(n: int) -> dict[str, np.ndarray]:
        return {"x": d.of(VALUES, n), "c": d.of(("a", "b", None), n).astype(object)}

    cells = stats.layout(rows(1 + d.size(60)))
    watch, season, verdicts = stats.drift_start(cells), stats.season_start(window_us=DAY_US), []
    for day in range(30):
        watch, report = stats.drift_update(watch, cells, day * DAY_US, stats.profile(rows(d.size(60)), cells))
        season, usual = stats.season_update(season, day * DAY_US, d.of(VALUES, 1)[0], abs(d.of(VALUES, 1)[0]))
        verdicts += [report.verdict, usual]
    return verdicts


WAYS: tuple[Callable[[Draw], Any], ...] = (
    guard, latency, assignment, bet, rate, blocks, streams, sequences, metrics, estimates, drift,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_extremes_are_answered_or_refused(way: Callable[[Draw], Any]) -> None:
    for seed in range(4 if way is drift else 40):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                sound(way(Draw(seed)), f"{way.__name__}, seed {seed}")
            except MillraceError as error:
                assert error.code.split(".")[0] in ("stats", "metric") and error.hint
