"""Comparisons of counts against SciPy's, and the algebra they keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from millrace.stats import layout, profile
from millrace.stats.contrast import contrast, directions, grid, grouped, trend

ONE = np.array([0])
NUMBER = grid(layout({"x": np.arange(1000.0)}))
GROUPS = NUMBER.groups


def counts_of(groups):
    return arrays.arrays(np.int64, groups, elements=st.integers(0, 400))


@pytest.mark.parametrize("seed", range(5))
def test_statistic_equals_scipys_contingency_table(seed):
    """With no group under the floor it is Pearson's statistic of the two-row table."""
    random = np.random.default_rng(seed)
    a, b = random.integers(5, 400, 9), random.integers(5, 4000, 9)
    found = contrast(a, b, ONE)
    theirs = stats.chi2_contingency(np.array([a, b]), correction=False)
    np.testing.assert_allclose(found.statistic[0], theirs.statistic, rtol=1e-9)
    assert found.degrees[0] == theirs.dof


@pytest.mark.parametrize("seed", range(5))
def test_psi_is_its_definition_less_its_bias(seed):
    random = np.random.default_rng(seed)
    a, b = random.integers(1, 400, 9), random.integers(1, 4000, 9)
    p, q = a / a.sum(), b / b.sum()
    theirs = stats.entropy(p, q) + stats.entropy(q, p) - 8 * (1 / a.sum() + 1 / b.sum())
    np.testing.assert_allclose(contrast(a, b, ONE).psi[0], theirs, rtol=1e-9, atol=1e-12)


def test_psi_has_no_bias_where_nothing_changed():
    random = np.random.default_rng(1)
    share = random.dirichlet(np.full(200, 4))
    a, b = random.multinomial(20_000, share, 300), random.multinomial(50_000, share, 300)
    psi = contrast(a, b, ONE).psi
    raw = 199 * (1 / 20_000 + 1 / 50_000)
    assert abs(psi.mean()) < 0.05 * raw  # the bias alone would be 0.014


@pytest.mark.parametrize("seed", range(5))
def test_direction_equals_scipys_wasserstein_distance(seed):
    random = np.random.default_rng(seed)
    reference = random.normal(size=4000)
    cells = grid(layout({"x": reference}))
    shifted = random.normal(0.3 * (-1) ** seed, 1.2, size=900)
    window, old = (profile({"x": v}, layout({"x": reference})) for v in (shifted, reference))
    now, then = grouped(window, cells), grouped(old, cells).astype(float)
    summary = window.parts["x"]
    [ours] = directions(now, then, cells, np.array([[summary.minimum, summary.maximum]]))
    place = cells.places[:-1].copy()
    place[0] = (cells.edges[0, 0] + summary.minimum) / 2 if summary.minimum < cells.edges[0, 0] else cells.edges[0, 0]
    place[-1] = (cells.edges[0, 1] + summary.maximum) / 2 if summary.maximum > cells.edges[0, 1] else cells.edges[0, 1]
    sd = np.sqrt(np.average((place - np.average(place, weights=then[:-1])) ** 2, weights=then[:-1]))
    theirs = stats.wasserstein_distance(place, place, now[:-1], then[:-1]) / sd
    np.testing.assert_allclose(abs(ours), theirs, rtol=1e-9)
    assert np.sign(ours) == (-1) ** seed


counts = arrays.arrays(np.int64, 8, elements=st.integers(0, 10**9))


@given(counts, counts)
def test_swapping_the_sides_keeps_degrees_and_effect_and_nothing_is_ever_not_finite(a, b):
    one, two = contrast(a, b, ONE), contrast(b, a, ONE)
    for found in (one, two):
        assert all(np.isfinite(np.asarray(x)).all() for x in found)
        assert found.statistic[0] >= 0
    assert one.degrees[0] == two.degrees[0] and one.rows[0] == pytest.approx(two.rows[0])
    np.testing.assert_allclose(one.psi, two.psi, rtol=1e-9, atol=1e-9)


@given(counts)
@settings(max_examples=40)
def test_a_window_like_its_reference_shows_nothing(a):
    assert contrast(a, a * 3, ONE).statistic[0] == pytest.approx(0, abs=1e-6)


def test_one_row_with_a_new_value_is_no_alarm():
    a, b = np.array([999, 0, 1]), np.array([50_000, 50_000 - 1, 0])
    floor = contrast(np.array([500, 499, 1]), b, ONE)
    assert floor.statistic[0] < 2  # without the floor it would be about 100
    assert contrast(a, b, ONE).statistic[0] > 500


def test_parts_are_compared_each_by_itself():
    random = np.random.default_rng(3)
    a, b = random.integers(0, 50, (2, 12))
    whole = contrast(a, b, np.array([0, 5, 9]))
    for k, span in enumerate((slice(0, 5), slice(5, 9), slice(9, 12))):
        alone = contrast(a[span], b[span], ONE)
        assert [float(x[k]) for x in whole] == pytest.approx([float(x[0]) for x in alone])


def test_odd_columns_are_told_in_words_and_stay_finite():
    columns = {
        "constant": np.full(50, 7.0),
        "nothing": np.full(50, np.nan),
        "infinite": np.where(np.arange(50) % 2 == 0, np.inf, 1.0),
        "kind": np.array(["a", "b"] * 25, object),
        "none": np.array([None] * 50, object),
    }
    cells = layout(columns)
    table = grid(cells)
    assert "7" in table.words and "unseen values" in table.words
    for rows in (columns, {k: v[:1] for k, v in columns.items()}, {"constant": [1.0, np.inf, -np.inf]}):
        window = profile(rows, cells)
        now, then = grouped(window, table), grouped(profile(columns, cells), table).astype(float)
        assert all(np.isfinite(np.asarray(x)).all() for x in contrast(now, then, table.starts))
        ends = np.array([(s.minimum, s.maximum) if s.finite else (np.nan, np.nan) for s in window.parts.values()])
        found = directions(now, then, table, ends)
        assert not np.isinf(found).any()


@pytest.mark.parametrize("seed", range(5))
def test_trend_equals_scipys_kruskal_wallis_by_group(seed):
    """Midranks with the correction for ties; SciPy divides by n − 1 where Cochran and Armitage divide by n."""
    random = np.random.default_rng(seed)
    cells = layout({"c": np.array(["a", "b"] * 1500, object), "x": random.normal(size=3000), "same": np.ones(3000)})
    table, old, new = grid(cells), random.normal(size=1500), random.normal(0.2, 1, 400)
    counts = [
        grouped(profile({"c": np.array(["a"] * len(v), object), "x": v, "same": np.ones(len(v))}, cells), table)
        for v in (new, old)
    ]
    at = table.names.index("x")
    groups = [np.repeat(np.arange(c[table.part == at].size), c[table.part == at]) for c in counts]
    total = len(old) + len(new)
    ours = trend(counts[0], counts[1], table)
    np.testing.assert_allclose(ours[at], stats.kruskal(*groups).statistic * total / (total - 1), rtol=1e-9)
    assert np.delete(ours, at).tolist() == [0, 0]


@given(counts_of(GROUPS), counts_of(GROUPS))
@settings(max_examples=100)
def test_trend_is_part_of_the_distance_over_all_groups(a, b):
    """By Cauchy and Schwarz, so a shift of some population stability moves it by no more; missing values included."""
    found = float(trend(a, b, NUMBER)[0])
    both = a.sum() and b.sum()
    pool = (a + b) / max(a.sum() + b.sum(), 1)
    apart = (a / a.sum() - b / b.sum()) ** 2 if both else 0 * pool
    whole = a.sum() * b.sum() / (a.sum() + b.sum()) * (apart[pool > 0] / pool[pool > 0]).sum() if both else 0.0
    assert 0 <= found <= whole * (1 + 1e-9) + 1e-9
