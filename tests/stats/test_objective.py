"""The absolute bound: expectation 1 by enumeration, SciPy's beta-binomial, and coverage computed exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from millrace.base.errors import MillraceError
from millrace.stats import objective as o


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("n", [1, 7, 200])
def test_expectation_is_one_by_enumeration(rate, n):
    k = np.arange(n + 1)
    log_e = np.array([o.log_rate_evidence(n, int(bad), rate, 0.01) for bad in k])
    assert float(np.exp(stats.binom.logpmf(k, n, rate) + log_e).sum()) == pytest.approx(1, rel=1e-9)


def test_evidence_is_scipys_beta_binomial_ratio():
    want = stats.betabinom.logpmf(7, 300, 1, 99) - stats.binom.logpmf(7, 300, 0.02)
    assert o.log_rate_evidence(300, 7, 0.02, 0.01) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("objective", [1e-3, 1e-6, 1e-12, 1e-15, 1e-300])
def test_small_objectives_keep_their_digits(objective):
    """One request: the mixture gives it the objective's own chance. Three bad ones of three: Π i/(b + i)."""
    assert o.log_rate_evidence(1, 1, objective, objective) == pytest.approx(0, abs=1e-9)
    assert o.log_rate_evidence(1, 0, objective, objective) == pytest.approx(0, abs=1e-9)
    b = (1 - objective) / objective
    want = sum(math.log(i) - math.log(b + i) - math.log(objective) for i in (1, 2, 3))
    assert o.log_rate_evidence(3, 3, objective, objective) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_never_crosses_more_often_than_alpha_computed_exactly(rate):
    """P(the sequence ever excludes the true rate within 400 looks), by dynamic programming over all paths."""
    alpha, alive, crossed = 0.05, np.array([1.0]), 0.0
    for n in range(1, 401):
        step = np.zeros(n + 1)
        step[:-1] += alive * (1 - rate)
        step[1:] += alive * rate
        out = np.array([o.log_rate_evidence(n, k, rate, 0.01) >= math.log(1 / alpha) for k in range(n + 1)])
        crossed += float(step[out].sum())
        alive = np.where(out, 0.0, step)
    assert 0 < crossed <= alpha


def test_interval_is_where_the_evidence_is_small():
    rate = o.rate_update(o.rate_start(0.01), 500, 12)
    low, high = o.rate_interval(rate, 0.05)
    assert 0 < low < 0.024 < high < 1
    for edge in (low, high):
        assert o.log_rate_evidence(500, 12, edge, 0.01) == pytest.approx(math.log(20), abs=1e-6)
    assert o.rate_interval(o.rate_update(o.rate_start(0.01), 50, 0), 0.05)[0] == 0.0
    assert o.rate_interval(o.rate_update(o.rate_start(0.01), 50, 50), 0.05)[1] == 1.0
    assert o.rate_interval(o.rate_start(0.01), 0.05) == (0.0, 1.0)


def test_verdicts():
    start = o.rate_start(0.01)
    assert o.rate_verdict(start, 0.05).decision == "undecided"
    assert o.rate_verdict(o.rate_update(start, 1000, 50), 0.05).decision == "alarm"
    assert o.rate_verdict(o.rate_update(start, 5000, 2), 0.05).decision == "proven"
    verdict = o.rate_verdict(o.rate_update(start, 1000, 10), 0.05)
    assert verdict.decision == "undecided" and verdict.effect == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: o.rate_start(0), "stats.weight"),
        (lambda: o.rate_update(o.rate_start(0.1), 1, 2), "stats.data"),
        (lambda: o.rate_update(o.rate_start(0.1), 1, -1), "stats.data"),
        (lambda: o.rate_verdict(o.rate_start(0.1), 1), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
