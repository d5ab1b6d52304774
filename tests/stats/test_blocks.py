"""Blocks add up whatever way rows are split; the design effect is the cluster-robust variance's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.regression.linear_model import OLS

from millrace.base.errors import MillraceError
from millrace.stats import blocks as b

rows = st.lists(st.tuples(st.integers(0, 5), st.floats(-1e3, 1e3, allow_subnormal=False)), min_size=0, max_size=40)


def of(part):
    return b.blocks_by_entity([v for _, v in part], np.array([k for k, _ in part], dtype=np.int64))


def same(one, two):
    assert one.keys.tolist() == two.keys.tolist()
    assert one.rows.tolist() == two.rows.tolist()
    np.testing.assert_allclose(one.means, two.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.squares, two.squares, rtol=1e-9, atol=1e-6)


@given(rows, rows, rows)
@settings(max_examples=60)
def test_merge_is_the_blocks_of_all_rows(x, y, z):
    whole = of(x + y + z)
    same(b.merge_blocks(b.merge_blocks(of(x), of(y)), of(z)), whole)
    same(b.merge_blocks(of(z), b.merge_blocks(of(y), of(x))), whole)


def test_days_are_cut_in_event_time():
    day = b.DAY_US
    blocks = b.blocks_by_time([1.0, 3.0, 5.0], [0, day - 1, day])
    assert blocks.keys.tolist() == [0, day]
    assert blocks.means.tolist() == [2.0, 5.0]
    assert blocks.squares.tolist() == [2.0, 0.0]


def test_design_effect_equals_the_cluster_robust_variance():
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 25, 600)
    x = rng.normal(size=600) + 0.4 * rng.normal(size=25)[groups]
    clustered = OLS(x, np.ones(600)).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    plain = OLS(x, np.ones(600)).fit()
    want = float(clustered.bse[0] ** 2 / plain.bse[0] ** 2) * 25 / 24
    assert b.design_effect(b.blocks_by_entity(x, groups)) == pytest.approx(want, rel=1e-9)


def test_design_effect_is_neutral_where_it_says_nothing():
    assert b.design_effect(of([])) is None
    assert b.design_effect(of([(1, 2.0), (1, 3.0)])) is None
    assert b.design_effect(of([(1, 2.0), (2, 3.0)])) is None
    assert b.design_effect(of([(1, 2.0), (1, 2.0), (2, 2.0)])) is None


@settings(max_examples=40)
@given(st.lists(st.floats(-100, 100), min_size=0, max_size=30))
def test_inflation_of_a_prefix_is_that_of_the_prefix(x):
    whole = b.inflation(x)
    assert len(whole) == len(x)
    assert bool((whole >= 1).all()) and bool((whole <= 39 + 1e-9).all())
    half = len(x) // 2
    np.testing.assert_allclose(b.inflation(x[:half]), whole[:half], rtol=1e-12)


def test_inflation_equals_its_definition():
    x = np.random.default_rng(0).normal(size=50).cumsum()
    c = x - x.mean()
    rho = (c[1:] @ c[:-1]) / (c @ c)
    rho = min(rho + (1 + 3 * rho) / 50, 0.95)
    assert b.inflation(x)[-1] == pytest.approx((1 + rho) / (1 - rho), rel=1e-9)


def test_memory_s_upper_limit_is_the_estimate_and_its_standard_errors():
    x = np.random.default_rng(1).normal(size=60)
    estimate, strict = b.inflation(x), b.inflation(x, b.STRICT)
    assert b.inflation(x, 0.5).tolist() == estimate.tolist() and (strict >= estimate).all()
    c = x - x.mean()
    rho = (c[1:] @ c[:-1]) / (c @ c)
    rho += (1 + 3 * rho) / 60
    rho = max(rho + norm.isf(0.3) * np.sqrt((1 - rho**2) / 60), 0)
    assert strict[-1] == pytest.approx((1 + rho) / (1 - rho), rel=1e-9)


def test_pairs_keep_common_blocks():
    pair = b.pairwise(of([(1, 2.0), (2, 4.0), (2, 6.0)]), of([(2, 1.0), (3, 9.0)]))
    assert (pair.keys.tolist(), pair.rows.tolist(), pair.means.tolist()) == ([2], [1], [4.0])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: b.blocks_by_time([1.0], [-1]), "stats.time"),
        (lambda: b.blocks_by_time([1.0], [1], 0), "stats.blocks"),
        (lambda: b.blocks_by_time([1.0], [1, 2]), "stats.shape"),
        (lambda: b.blocks_by_time([np.nan], [1]), "stats.data"),
        (lambda: b.blocks_by_entity([1.0], [0.5]), "stats.data"),
        (lambda: b.inflation([1.0], 0.6), "stats.alpha"),
        (lambda: b.inflation([1.0], 0.0), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
