"""The past's model against statsmodels' regression, memory against its formula, and its type I error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from millrace.stats import past
from millrace.stats.past import memory, outlook, point, sampling_spread, unusual

FLOOR = np.full(1, 1e-9)


def autoregressive(random, rows, rho, columns=1):
    x = np.zeros((rows, columns))
    noise = random.normal(size=(rows, columns))
    for t in range(1, rows):
        x[t] = rho * x[t - 1] + noise[t]
    return x + 10


def test_expectation_is_the_ridge_regression(monkeypatch):
    """Without the ridge, ordinary least squares as statsmodels does it."""
    monkeypatch.setattr(past, "RIDGE", 0.0)
    series, lag = autoregressive(np.random.default_rng(1), 120, 0.6), 7
    y, one = series[lag:, 0], series[lag - 1 : -1, 0]
    mean = np.array([series[t - lag : t, 0].mean() for t in range(lag, len(series))])
    fit = OLS(y, np.column_stack([np.ones(len(y)), one, mean])).fit()
    recent = np.full((lag, 1), 9.5)
    found = outlook(series, recent, lag, FLOOR)
    assert found is not None
    np.testing.assert_allclose(found.expected, fit.predict([[1, 9.5, 9.5]]), rtol=1e-9)
    m, tau = len(y), max(float(found.memory[0]), 1.0)
    np.testing.assert_allclose(found.spread, np.sqrt(fit.scale * (1 + 3 * tau / m)), rtol=1e-9)


def test_memory_is_one_for_noise_and_grows_with_it():
    random = np.random.default_rng(2)
    own, pooled = memory(random.normal(size=(2000, 40)))
    assert pooled == 1 and np.median(own) == 1
    own, pooled = memory(autoregressive(random, 20_000, 0.8, 3))
    assert own == pytest.approx(np.full(3, 9.0), rel=0.15) and pooled == pytest.approx(9.0, rel=0.1)
    own, pooled = memory(np.ones((50, 2)))
    assert own.tolist() == [1, 1] and pooled == 1


def test_p_equals_scipys():
    series = autoregressive(np.random.default_rng(3), 80, 0.3, 4)
    found = outlook(series, series[-7:], 7, np.full(4, 1e-9))
    assert found is not None
    root = found.expected + np.array([-1.0, 0, 3, 9]) * found.spread
    np.testing.assert_allclose(unusual(root, found), stats.t.sf([-1, 0, 3, 9], found.degrees), rtol=1e-9)
    np.testing.assert_allclose(point(np.full(4, 1e-3), found.degrees), stats.t.isf(1e-3, found.degrees), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_type_one_error_of_the_next_window(rho):
    """P(p ≤ 0.05) ≤ 0.05 in 4,000 fresh windows of normal memory; four binomial standard errors of slack."""
    random = np.random.default_rng(4)
    series = autoregressive(random, 107, rho, 4000)
    found = outlook(series[:99], series[:-1][-7:], 7, np.full(4000, 1e-9))
    assert found is not None
    assert (unusual(series[-1], found) <= 0.05).mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 4000)


def test_neutral_without_a_past_and_finite_with_a_constant_one():
    assert outlook(np.ones((past.LEAST + 6, 1)), np.ones((7, 1)), 7, FLOOR) is None
    found = outlook(np.ones((40, 1)), np.ones((7, 1)), 7, sampling_spread(np.array([0])))
    assert found is not None and unusual(np.array([1e6]), found)[0] > 0
    assert unusual(np.array([1.0]), found)[0] == pytest.approx(0.5)


def test_a_drift_cannot_predict_itself():
    series = np.random.default_rng(5).normal(5, 1, size=(100, 1))
    calm, wild = (outlook(series, np.full((7, 1), level), 7, FLOOR) for level in (series.max(), 1e6))
    assert calm is not None and wild is not None
    np.testing.assert_allclose(wild.expected, calm.expected, atol=0.2)
    assert wild.expected[0] <= wild.worst[0] + 1e-9
