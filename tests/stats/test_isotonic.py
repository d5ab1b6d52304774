"""Isotonic regression equals scikit-learn's; beta calibration equals a logistic regression on its two logarithms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from statsmodels.discrete.discrete_model import Logit

from millrace.base.errors import MillraceError
from millrace.stats import isotonic as i

rows = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=50)


@given(rows)
@settings(max_examples=40)
def test_it_equals_scikit_learns_with_ties_and_weights(rows):
    s, y, w = (np.array(c, float) for c in zip(*rows, strict=True))
    y = y / 4
    asked = np.linspace(-1, 13, 57)
    if w.sum() > 0:
        used = w > 0
        want = IsotonicRegression(out_of_bounds="clip").fit(s[used], y[used], w[used]).predict(asked)
        np.testing.assert_allclose(i.isotonic_apply(i.isotonic_fit(s, y, w), asked), want, atol=1e-9)
    ours = i.isotonic_fit(s, y)
    want = IsotonicRegression(out_of_bounds="clip").fit(s, y).predict(asked)
    np.testing.assert_allclose(i.isotonic_apply(ours, asked), want, atol=1e-9)
    assert (np.diff(ours.values) >= 0).all() and (np.diff(ours.scores) > 0).all()


@pytest.mark.parametrize("shape", ["noise", "falling", "saw", "cascade"])
def test_large_and_hard_inputs_equal_scikit_learns(shape):
    n = 20_000
    rng = np.random.default_rng(0)
    x = np.arange(n, dtype=float)
    y = {
        "noise": (rng.random(n) < x / n).astype(float),
        "falling": 1 - x / n,
        "saw": (x % 7) / 7,
        "cascade": 1 / (1 + x) ** 0.3 * (x % 2) + (x % 3 == 0) * x / n,
    }[shape]
    y = y / y.max()
    want = IsotonicRegression().fit_transform(x, y)
    np.testing.assert_allclose(i.isotonic_apply(i.isotonic_fit(x, y), x), want, atol=1e-9)


def test_one_by_one_gives_what_passes_give():
    rng = np.random.default_rng(1)
    y, w = rng.random(500), rng.random(500) + 0.1
    start, level = i.pooled(y, w)
    start_1, level_1 = i._one_by_one(np.arange(500), y, w)
    np.testing.assert_array_equal(start, start_1)
    np.testing.assert_allclose(level, level_1, atol=1e-12)


def test_scores_and_weights_next_to_nothing_keep_it_finite():
    step = i.isotonic_fit([0.0, 1e-310], [0.0, 1.0])
    assert i.isotonic_apply(step, [-1.0, 0.0, 5e-311, 1e-310, 1.0]).tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]
    fit = i.isotonic_fit([0.0, 0.5, 1.0], [0.5, 0.5, 0.75], [1e-100, 1e-100, 1e100])
    assert fit.values.tolist() == [0.5, 0.5, 0.75]
    light = i.isotonic_fit([0.0, 0.5, 1.0], [0.5, 0.5, 0.25], [5e-324, 5e-324, 1.0])
    assert (light.scores.tolist(), light.values.tolist()) == ([1.0], [0.25])  # what weighs nothing is not there


def test_beta_equals_logistic_regression_on_two_logarithms():
    rng = np.random.default_rng(2)
    s = rng.beta(2, 3, 4000)
    y = (rng.random(4000) < s**2 / (s**2 + 0.5 * (1 - s))).astype(float)
    fit = i.beta_fit(s, y)
    design = np.column_stack([np.log(s), -np.log1p(-s), np.ones(4000)])
    want = Logit(y, design).fit(disp=0, tol=1e-12).params
    np.testing.assert_allclose(fit, want, rtol=1e-7)
    given_s = np.array([0.0, 0.2, 1.0])
    assert (np.diff(i.beta_apply(fit, given_s)) > 0).all()


def test_beta_holds_the_identity_and_refuses_falling_curves():
    s = np.linspace(0.01, 0.99, 99)
    assert i.beta_fit(s, s) == pytest.approx((1, 1, 0), abs=1e-8)
    np.testing.assert_allclose(i.beta_apply(i.Beta(1, 1, 0), s), s, rtol=1e-9)
    turned = i.beta_fit(s, (s < 0.5).astype(float) * 0.5 + 0.25)
    assert turned.a == turned.b == 0
    assert i.beta_fit([0.2, 0.8], [1, 1]) is None and i.beta_fit([0.5, 0.5], [0, 1]) is None
    assert i.beta_fit([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]) is None
    assert i.beta_fit([0.1, 0.9], [0, 1], ridge_rows=1e9) == pytest.approx((1, 1, 0), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: i.isotonic_fit([], []), "stats.data"),
        (lambda: i.isotonic_fit([0.1], [np.nan]), "stats.data"),
        (lambda: i.isotonic_fit([np.inf], [1.0]), "stats.data"),
        (lambda: i.isotonic_fit([0.1], [2.0]), "stats.data"),
        (lambda: i.isotonic_fit([0.1], [1.0, 0.0]), "stats.shape"),
        (lambda: i.isotonic_fit([0.1], [1.0], [0.0]), "stats.weight"),
        (lambda: i.isotonic_fit([0.1, 0.2], [1.0, 0.0], [2.0, -1.0]), "stats.weight"),
        (lambda: i.beta_fit([1.1], [1.0]), "stats.data"),
        (lambda: i.beta_fit([0.1, 0.9], [0.0, 1.0], ridge_rows=-1.0), "stats.data"),
        (lambda: i.beta_fit([0.1, 0.9], [0.0, 1.0], ridge_rows=float("nan")), "stats.data"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
