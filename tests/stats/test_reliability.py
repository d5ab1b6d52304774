"""Calibration: the curve equals scikit-learn's, slope and intercept statsmodels'."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.calibration as sk
from statsmodels.discrete.discrete_model import Logit

from millrace.base.errors import MillraceError
from millrace.stats import reliability as r


def rows(n=3000, seed=0, slope=1.0):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 2, n)
    return (rng.random(n) < r.expit(slope * r.logit(p))).astype(float), p


def test_the_curve_equals_scikit_learns():
    y, p = rows()
    shares, given = sk.calibration_curve(y, p, n_bins=10)
    found = r.calibration_curve(y, p)
    np.testing.assert_allclose([b.share.value for b in found.bins], shares, rtol=1e-9)
    np.testing.assert_allclose([b.probability for b in found.bins], given, rtol=1e-9)
    n = np.array([b.rows for b in found.bins])
    assert found.error.value == pytest.approx(float(n @ np.abs(shares - given)) / 3000, rel=1e-9)


def test_honest_probabilities_show_the_errors_bias():
    errors = [r.calibration_curve(*rows(1000, seed)) for seed in range(40)]
    assert np.mean([e.error.value for e in errors]) == pytest.approx(errors[0].expected_error, rel=0.15)
    crooked = r.calibration_curve(*rows(3000, 0, slope=0.4))
    assert crooked.error.low > 2 * crooked.expected_error


def test_slope_and_intercept_equal_statsmodels():
    y, p = rows(slope=0.6)
    want = Logit(y, np.column_stack([np.ones(3000), r.logit(p)])).fit(disp=0, tol=1e-12).params
    np.testing.assert_allclose(r.recalibration(y, p), want, rtol=1e-8)
    ridged = r.recalibration(y[:20], p[:20], ridge_rows=1e9)
    assert ridged == pytest.approx((0, 1), abs=1e-6)


def test_undefined_slopes_are_none():
    assert r.recalibration([1, 1], [0.2, 0.7]) is None
    assert r.recalibration([0, 1], [0.5, 0.5]) is None
    assert r.recalibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]) is None
    assert r.recalibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], ridge_rows=1) is not None
    assert r.calibration_error([], []) is None
    assert r.calibration_curve([], []).bins == ()
    assert r.calibration_curve([1.0], [1.0]).bins[0].share.value == 1


@pytest.mark.parametrize("p", [[np.nan], [1.2], [0.1, 0.2]])
def test_bad_input(p):
    with pytest.raises(MillraceError) as caught:
        r.calibration_curve([1], p)
    assert caught.value.hint
    with pytest.raises(MillraceError):
        r.calibration_error([1], [0.5], bins=0)
    with pytest.raises(MillraceError, match="ridge"):
        r.recalibration([0, 1], [0.2, 0.7], ridge_rows=-1)
