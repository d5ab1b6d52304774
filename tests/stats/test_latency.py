"""The latency guard is the error guard on counts, averaged over fixed thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.stats import guard as g
from millrace.stats import latency as lat
from millrace.stats.packing import pack, unpack


def traffic(rng, n, canary_factor, w=0.1):
    z = rng.random(n) < w
    return rng.lognormal(3, 0.5, n) * np.where(z, canary_factor, 1.0), z, np.full(n, w)


def test_thresholds_are_the_windows_quantiles_and_the_objective():
    assert lat.latency_thresholds(np.arange(101.0), 80.0).tolist() == [50.0, 80.0, 95.0, 99.0]
    assert lat.latency_thresholds([5.0]).tolist() == [5.0]


def test_it_is_the_mean_of_the_guards():
    rng = np.random.default_rng(0)
    thresholds = np.array([20.0, 45.0])
    state = lat.latency_start(thresholds)
    singles = [g.guard_start(), g.guard_start()]
    for _ in range(5):
        ms, z, w = traffic(rng, 60, 2.0)
        batch = lat.slow_by_weight(ms, z, w, thresholds)
        state = lat.latency_update(state._replace(peak=-math.inf), batch)
        singles = [
            g.guard_update(s._replace(peak=-math.inf), g.errors_by_weight(w[ms > t], z[ms > t]))
            for s, t in zip(singles, thresholds, strict=True)
        ]
    assert math.exp(state.peak) == pytest.approx(sum(math.exp(s.peak) for s in singles) / 2, rel=1e-9)
    np.testing.assert_allclose(state.log_s, [s.log_s for s in singles], atol=1e-9)


def test_a_slow_canary_alarms_and_a_slow_hour_does_not():
    rng = np.random.default_rng(1)
    first, _, _ = traffic(rng, 2000, 1.0)
    state = common = lat.latency_start(lat.latency_thresholds(first, 100.0))
    for _ in range(20):
        ms, z, w = traffic(rng, 500, 2.5)
        state = lat.latency_update(state, lat.slow_by_weight(ms, z, w, state.thresholds_ms))
        ms, z, w = traffic(rng, 500, 1.0)
        common = lat.latency_update(common, lat.slow_by_weight(3 * ms, z, w, common.thresholds_ms))
    verdict = lat.latency_verdict(state, 0.0125)
    assert verdict.decision == "alarm" and "slower than" in verdict.because
    assert lat.latency_verdict(common, 0.0125).decision == "quiet"
    assert all(np.array_equal(a, b) for a, b in zip(unpack(lat.LatencyGuard, pack(state)), state, strict=True))


def test_neutral_answers():
    state = lat.latency_start([10.0])
    assert lat.latency_verdict(state, 0.05).decision == "undecided"
    only_canary = lat.slow_by_weight([50.0], [True], [1.0], state.thresholds_ms)
    assert lat.latency_update(state, only_canary) is state


def test_requests_at_weights_of_zero_and_one_change_nothing():
    rng = np.random.default_rng(2)
    state = lat.latency_start([10.0, 30.0])
    ms, z, w = traffic(rng, 300, 2.0)
    lone = rng.choice([0.0, 1.0], 300)
    both = lat.slow_by_weight(np.append(ms, ms), np.append(z, lone == 1), np.append(w, lone), state.thresholds_ms)
    alone = lat.slow_by_weight(ms, z, w, state.thresholds_ms)
    for a, b in zip(lat.latency_update(state, both), lat.latency_update(state, alone), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: lat.latency_thresholds([]), "stats.data"),
        (lambda: lat.latency_thresholds([1.0], np.nan), "stats.data"),
        (lambda: lat.latency_start([]), "stats.data"),
        (lambda: lat.latency_start([1.0], -1), "stats.margin"),
        (lambda: lat.slow_by_weight([np.inf], [True], [0.1], np.ones(1)), "stats.data"),
        (lambda: lat.slow_by_weight([1.0], [True], [2], np.ones(1)), "stats.weight"),
        (
            lambda: lat.latency_update(
                lat.latency_start([1.0]), lat.slow_by_weight([2.0], [True], [0.1], np.array([1.0, 3.0]))
            ),
            "stats.shape",
        ),
        (
            lambda: lat.latency_update(lat.latency_start([1.0]), lat.Slow(np.array([0.1]), [[1]], [[-1]])),
            "stats.data",
        ),
        (lambda: lat.latency_verdict(lat.latency_start([1.0]), 0), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
