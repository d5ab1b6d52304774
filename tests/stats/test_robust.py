"""Whatever comes in, a verdict is finite or an error has a code and a hint; and stats stands on NumPy alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as scipy_stats

from millrace import stats
from millrace.base.errors import MillraceError
from millrace.stats import block_verdicts
from millrace.stats.verdict import LARGEST

ROOT = Path(__file__).parents[2]

odd = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 0.1, 0.5, 1.0, 1.5, 1e20, 1e90, 1e300, -1e300])
usual = st.floats(0, 1)
column = st.one_of(
    st.lists(usual, max_size=6),
    st.lists(st.sampled_from([0.0, 1.0]), max_size=40),
    st.lists(odd, max_size=4),
    st.tuples(odd, st.integers(0, 40)).map(lambda p: [p[0]] * p[1]),
)
counts = st.one_of(st.lists(st.integers(0, 10**6), max_size=3), st.lists(st.integers(-2, 3), max_size=3))
alpha = st.one_of(st.sampled_from([0.05, 0.001, 0.999]), odd)


def refused_or(call):
    """The answer, or None after an error that says its code and what to do."""
    try:
        return call()
    except MillraceError as error:
        assert error.code.split(".")[0] in ("stats", "metric") and error.message and error.hint
        return None


def sound(verdict):
    if verdict is None:
        return
    numbers = [verdict.statistic, verdict.bound, verdict.alpha, verdict.effect, verdict.design_effect]
    numbers += list(verdict.interval or ())
    assert all(v is None or (math.isfinite(v) and abs(v) <= LARGEST) for v in numbers)
    assert verdict.decision in (stats.ALARM, stats.PROVEN, stats.QUIET, stats.UNDECIDED)
    assert verdict.claim and verdict.because and "nan" not in verdict.because
    if verdict.n == 0:
        assert verdict.decision == stats.UNDECIDED and "not enough evidence yet" in verdict.because


@given(column, column, counts, counts, counts, alpha, odd)
@settings(max_examples=80, deadline=None)
def test_sequential_verdicts(x, w, n, a, b, rate, margin):
    arms = [value > 0.5 for value in x]
    for first, then in (
        (lambda: stats.guard_start(margin), lambda s: stats.guard_update(s, stats.errors_by_weight(w, arms))),
        (lambda: stats.guard_start(), lambda s: stats.guard_update(s, stats.errors_by_weight(w, arms))),
        (lambda: stats.guard_start(), lambda s: stats.guard_update(s, stats.Errors(w, n, a))),
    ):
        sound(refused_or(lambda first=first, then=then: stats.guard_verdict(then(first()), rate)))
    for start in (lambda: stats.bet_start(margin), lambda: stats.bet_start(0.01)):
        sound(refused_or(lambda s=start: stats.bet_verdict(stats.bet_losses(s(), x, arms, w), rate)))
        sound(refused_or(lambda s=start: stats.bet_verdict(stats.bet_counts(s(), w, n, a, b), rate)))
        sound(refused_or(lambda s=start: stats.bet_verdict(stats.bet_pairs(s(), x), rate)))
    pair = [[1 - v, v] for v in w[: len(n)]]
    many = [[i, j] for i, j in zip(n, a, strict=False)]
    check = stats.assignment_start()
    sound(refused_or(lambda: stats.assignment_verdict(stats.assignment_update(check, pair, many), rate)))
    for i, j in zip(n, a, strict=False):
        sound(refused_or(lambda i=i, j=j: stats.rate_verdict(stats.rate_update(stats.rate_start(margin), i, j), rate)))
        sound(refused_or(lambda i=i, j=j: stats.rate_verdict(stats.rate_update(stats.rate_start(0.01), i, j), rate)))

    def slow():
        guard = stats.latency_start(stats.latency_thresholds(x, margin))
        batch = stats.slow_by_weight(x, arms, w, guard.thresholds_ms)
        return stats.latency_verdict(stats.latency_update(guard, batch), rate)

    sound(refused_or(slow))
    sound(refused_or(lambda: stats.difference_verdict(stats.arm(x), stats.arm(w), margin, rate)))


@given(column, st.lists(st.integers(-2, 5), max_size=40), alpha, odd)
@settings(max_examples=80, deadline=None)
def test_block_and_stream_verdicts(x, days, rate, margin):
    times = [d * 86_400_000_000 for d in days][: len(x)]
    for gather in (lambda: stats.blocks_by_time(x, times), lambda: stats.blocks_by_entity(x, np.arange(len(x)))):
        sound(refused_or(lambda g=gather: stats.better_by_blocks(g(), rate)))
        sound(refused_or(lambda g=gather: stats.biased_by_blocks(g(), rate)))
        sound(refused_or(lambda g=gather: stats.worse_by_blocks(g(), margin, margin, rate)))
    sound(refused_or(lambda: stats.concept_verdict(stats.concept_update(stats.concept_start(margin), x))))
    sound(refused_or(lambda: stats.concept_verdict(stats.concept_update(stats.concept_start(), x))))
    sound(refused_or(lambda: stats.change_verdict(stats.change_update(stats.change_start(rate), x))))
    sound(refused_or(lambda: stats.moving_verdict(stats.moving_update(stats.moving_start(), x))))


@given(column, column, alpha)
@settings(max_examples=80, deadline=None)
def test_numbers_that_are_no_verdicts(x, w, rate):
    """Sequences, bands, influences, adjustments: finite, or ±inf where a bound says that nothing is known yet."""
    for sequence in (stats.bernstein_sequence, stats.asymptotic_sequence):
        found = refused_or(lambda s=sequence: s(x, rate))
        assert found is None or not any(np.isnan(part).any() for part in found)
    arms = [value > 0.5 for value in w]
    weighed = refused_or(lambda: stats.inverse_propensity(x, arms, w))
    assert weighed is None or np.isfinite(weighed.influence).all()
    for found in (
        refused_or(lambda: stats.mean_influence(x)),
        refused_or(lambda: stats.ratio_influence(x, w)),
        refused_or(lambda: stats.auc_influence(arms, x)),
    ):
        assert found is None or (math.isfinite(found[0]) and np.isfinite(found[1]).all())
    fitted = refused_or(lambda: stats.cuped_fit(x, w))
    assert fitted is None or (np.isfinite(fitted.slopes).all() and math.isfinite(fitted.saving))
    curve = refused_or(lambda: stats.isotonic_fit(x, [float(v) for v in arms]))
    if curve is not None:
        applied = refused_or(lambda: stats.isotonic_apply(curve, x))
        assert applied is None or bool(((applied >= 0) & (applied <= 1)).all())


@given(column, column, st.lists(st.integers(0, 2), max_size=40), alpha, odd)
@settings(max_examples=60, deadline=None)
def test_metrics_gaps_and_burns(x, w, groups, rate, limit):
    labels = [float(value > 0.5) for value in w]
    for name in ("auc", "f1", "brier", "rmse", "precision"):
        found = refused_or(lambda name=name: stats.measure(name, labels, x, alpha=rate))
        if found is not None:
            assert all(v is None or not math.isnan(v) for v in (found.value, found.low, found.high))

    def gap():
        found = stats.fairness_gap("accuracy", labels, x, {"group": np.array(groups)}, rate, least_rows=2)
        return stats.fairness_verdict(found, limit)

    sound(refused_or(gap))
    starts = np.arange(len(groups)) * 300_000_000
    budget = refused_or(lambda: stats.burn_rates(starts, groups, groups[::-1], 10**10, 0.999, rate))
    assert budget is None or all(v is None or math.isfinite(v) for b in budget.rules for v in (b.long, b.short))


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4, 10, 60])
@pytest.mark.parametrize("side", ["above", "below", "either"])
def test_block_evidence_has_expectation_one_by_quadrature(n, side):
    """Over Student's t of n normal blocks of mean 0: the integral of the evidence is 1, whatever the variance."""

    def inside(angle):
        t = math.tan(angle)
        fit = t / math.sqrt(t * t + n - 1)
        log_e = block_verdicts._mixture(np.array([fit]), np.array([float(n)]), side)[0]
        return math.exp(log_e) * scipy_stats.t.pdf(t, n - 1) / math.cos(angle) ** 2

    whole, _ = integrate.quad(inside, -math.pi / 2, math.pi / 2, epsabs=1e-9, limit=300)
    assert whole == pytest.approx(1, abs=1e-6)


def test_one_row_a_block_and_one_block_are_answered():
    one = stats.better_by_blocks(stats.blocks_by_time([0.3], [5]), 0.05)
    assert (one.decision, one.n, one.effect) == ("undecided", 1, 0.3)
    for times in ([-1], [[0]]):
        with pytest.raises(MillraceError) as caught:
            stats.blocks_by_time([0.3], times)
        assert caught.value.code in ("stats.time", "stats.shape")


def test_stats_stands_on_numpy_alone():
    names = "sorted({m.split('.')[0] for m in sys.modules})"
    program = f"import sys, json; from millrace import stats; print(json.dumps({names}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(json.loads(done.stdout)) - set(sys.stdlib_module_names)
    outside = {name for name in loaded if not name.startswith("_")} - {"millrace", "numpy", "msgspec"}
    assert outside <= {"typing_extensions"}, f"`from millrace import stats` loads {sorted(outside)}"
