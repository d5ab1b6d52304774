"""CUPED, influence values, inverse propensities and the bandit, each against its oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score
from statsmodels.regression.linear_model import OLS

from millrace.base.errors import MillraceError
from millrace.stats import bandit as b
from millrace.stats import cuped as c
from millrace.stats import influence as i
from millrace.stats import propensity as p

scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6).map(float)), min_size=2, max_size=40)


def test_cuped_equals_least_squares_and_keeps_the_mean():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 1, (400, 2))
    y = x @ [0.7, -0.2] + rng.normal(size=400)
    fit = c.cuped_fit(y, x)
    want = OLS(y, np.column_stack([np.ones(400), x])).fit()
    np.testing.assert_allclose(fit.slopes, want.params[1:], rtol=1e-9)
    assert fit.saving == pytest.approx(want.rsquared, rel=1e-9)
    adjusted = c.cuped_apply(fit, y, x)
    assert adjusted.mean() == pytest.approx(y.mean(), rel=1e-9)
    assert adjusted.var() / y.var() == pytest.approx(1 - fit.saving, rel=1e-9)


def test_cuped_leaves_alone_what_it_cannot_explain():
    assert c.cuped_fit([1.0, 2.0], [1.0, 2.0]).slopes.tolist() == [0.0]
    assert c.cuped_fit([3.0] * 9, np.arange(9.0)).saving == 0.0
    assert c.cuped_fit(np.arange(9.0), np.ones(9)).slopes.tolist() == [0.0]
    assert c.cuped_apply(c.cuped_fit([], np.zeros((0, 1))), [1.0], [5.0]).tolist() == [1.0]


@given(scored)
@settings(max_examples=30)
def test_auc_and_f1_equal_scikit_learns(rows):
    y, s = [label for label, _ in rows], [score for _, score in rows]
    auc = i.auc_influence(y, s)
    if len(set(y)) == 2:
        assert auc and auc[0] == pytest.approx(roc_auc_score(y, s), rel=1e-9)
        assert abs(auc[1].sum()) < 1e-9
    else:
        assert auc is None
    predicted = [float(score > 3) for score in s]
    f1 = i.f1_influence(y, predicted)
    if sum(y) + sum(predicted) > 0:
        assert f1 and f1[0] == pytest.approx(f1_score(y, predicted), rel=1e-9, abs=1e-12)
        assert abs(f1[1].sum()) < 1e-9
    else:
        assert f1 is None


def test_aucs_influence_has_delongs_variance():
    rng = np.random.default_rng(1)
    y = (rng.random(300) < 0.3).astype(float)
    s = np.round(rng.normal(y, 1), 1)
    auc = i.auc_influence(y, s)
    assert auc
    pos, neg = s[y == 1], s[y == 0]
    kernel = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
    delong = kernel.mean(1).var() / len(pos) + kernel.mean(0).var() / len(neg)
    assert float((auc[1] ** 2).mean()) / 300 == pytest.approx(delong, rel=1e-9)


def test_influence_predicts_what_leaving_rows_out_does():
    rng = np.random.default_rng(2)
    top, bottom = rng.random(2000), rng.random(2000) + 0.5
    value, influence = i.ratio_influence(top, bottom)
    without = i.ratio_influence(top[1:], bottom[1:])[0]
    assert without - value == pytest.approx(-influence[0] / 1999, rel=1e-2)
    assert i.mean_influence([]) is None
    assert i.ratio_influence([1.0], [0.0]) is None


def test_inverse_propensity_is_unbiased_by_enumeration():
    """All 2^6 ways that six requests can be routed: the total's expectation is the mean over all of them."""
    y, chance = np.array([1.0, 0.0, 3.0, 2.0, 5.0, 1.0]), np.array([0.1, 0.9, 0.3, 0.5, 0.2, 0.7])
    whole = 0.0
    for code in range(64):
        served = (code >> np.arange(6)) & 1 == 1
        weighed = p.inverse_propensity(np.where(served, y, np.nan), served, chance)
        whole += float(np.prod(np.where(served, chance, 1 - chance))) * (weighed.total if weighed else 0.0)
    assert whole == pytest.approx(y.mean(), rel=1e-9)


def test_even_propensities_are_a_plain_mean():
    weighed = p.inverse_propensity([1.0, 3.0, 9.0], [True, True, False], [0.5] * 3)
    assert weighed and (weighed.mean, weighed.effective) == (2.0, 2.0)
    assert weighed.influence.tolist() == pytest.approx([-1.5, 1.5, 0.0])
    assert p.inverse_propensity([1.0], [False], [0.5]) is None
    assert p.inverse_propensity([], [], []) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), min_size=2, max_size=5), st.integers(0, 9))
@settings(max_examples=30)
def test_bandit_weights_keep_the_floor_and_sum_to_one(arms, seed):
    n = [served for served, _ in arms]
    rewards = [served * share for served, share in arms]
    state = b.bandit_update(b.bandit_start(len(arms)), n, rewards, np.random.default_rng(seed), draws=200)
    assert state.weights.sum() == pytest.approx(1)
    assert state.weights.min() >= 0.03 - 1e-12
    frozen = b.bandit_update(state, n, rewards, np.random.default_rng(seed), frozen=True)
    assert frozen.weights is state.weights and frozen.good.sum() == pytest.approx(2 * sum(rewards))


def test_bandit_finds_the_better_arm_and_repeats_by_seed():
    def run():
        rng, state = np.random.default_rng(4), b.bandit_start(2)
        for _ in range(30):
            served = rng.multinomial(200, state.weights)
            state = b.bandit_update(state, served, rng.binomial(served, [0.10, 0.15]), rng)
        return state.weights

    assert run()[1] > 0.9
    assert run().tolist() == run().tolist()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: c.cuped_fit([1.0], [[1.0], [2.0]]), "stats.shape"),
        (lambda: c.cuped_apply(c.cuped_fit([1.0], [1.0]), [1.0], [[1.0, 2.0]]), "stats.shape"),
        (lambda: i.auc_influence([0, 2], [1, 2]), "stats.data"),
        (lambda: i.auc_influence([0, 1], [1, np.nan]), "stats.data"),
        (lambda: i.f1_influence([0.5], [1]), "stats.data"),
        (lambda: i.ratio_influence([1.0], [1.0, 2.0]), "stats.shape"),
        (lambda: p.inverse_propensity([1.0], [True], [0.0]), "stats.weight"),
        (lambda: p.inverse_propensity([1.0], [True], [1.5]), "stats.weight"),
        (lambda: p.inverse_propensity([np.nan], [True], [0.5]), "stats.data"),
        (lambda: b.bandit_start(1), "stats.shape"),
        (lambda: b.bandit_update(b.bandit_start(2), [1], [1], np.random.default_rng()), "stats.shape"),
        (lambda: b.bandit_update(b.bandit_start(2), [1, 1], [2, 0], np.random.default_rng()), "stats.data"),
        (
            lambda: b.bandit_update(b.bandit_start(2), [1, 1], [1, 0], np.random.default_rng(), floor=0.6),
            "stats.weight",
        ),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
