"""Every metric equals scikit-learn's to 1e-9, its influence predicts what leaving a row out does, its band covers."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from millrace import stats
from millrace.base.errors import MillraceError
from millrace.stats import bands, classification, metrics, regression
from millrace.stats.student import normal_quantile, poisson_lower, student_quantile

TIGHT = {"rel": 1e-9, "abs": 1e-12}
scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda i: i / 8)), min_size=1, max_size=40)
valued = st.lists(st.tuples(st.integers(-9, 9).map(float), st.integers(-9, 9).map(float)), min_size=2, max_size=30)


def rows(n=500, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, n)
    return (rng.random(n) < p).astype(float), p, rng


SOFT = {
    "auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "brier": sk.brier_score_loss,
    "log_loss": lambda y, p: sk.log_loss(y, p, labels=[0, 1]),
}
HARD = {
    "accuracy": sk.accuracy_score,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f1": sk.f1_score,
    "false_positive_rate": lambda y, z: 1 - sk.recall_score(y, z, pos_label=0),
    "selection_rate": lambda y, z: z.mean(),
}
NUMBERS = {
    "absolute_error": sk.mean_absolute_error,
    "squared_error": sk.mean_squared_error,
    "rmse": sk.root_mean_squared_error,
    "relative_error": sk.mean_absolute_percentage_error,
    "r2": sk.r2_score,
    "median_pinball": sk.mean_pinball_loss,
    "bias": lambda y, p: (p - y).mean(),
}


@given(scored)
@settings(max_examples=25)
def test_two_classes_equal_scikit_learns(pairs):
    y, p = np.array([a for a, _ in pairs], float), np.array([b for _, b in pairs])
    for name, oracle in SOFT.items():
        ours = metrics.value(name, y, p)
        if ours is not None:
            assert ours == pytest.approx(oracle(y, p), **TIGHT), name
    z = (p >= 0.5).astype(float)
    for name, oracle in HARD.items():
        ours = metrics.value(name, y, p)
        if ours is not None:
            assert ours == pytest.approx(oracle(y, z), **TIGHT), name
    assert (metrics.value("auc", y, p) is None) == (len(set(y)) < 2)
    assert (metrics.value("precision", y, p) is None) == (z.sum() == 0)
    assert (metrics.value("recall", y, p) is None) == (y.sum() == 0)


@given(valued)
@settings(max_examples=30)
def test_numbers_equal_scikit_learns(pairs):
    y, p = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    for name, oracle in NUMBERS.items():
        ours = metrics.value(name, y, p)
        if name == "r2" and float(np.ptp(y)) == 0:
            assert ours is None
        else:
            assert ours == pytest.approx(oracle(y, p), **TIGHT), name
    ours = metrics.value("log_rmse", abs(y), abs(p))
    assert ours == pytest.approx(sk.root_mean_squared_log_error(abs(y), abs(p)), **TIGHT)
    for at in (0.1, 0.5, 0.9):
        assert regression.pinball(y, p, at)[0] == pytest.approx(sk.mean_pinball_loss(y, p, alpha=at), **TIGHT)


def test_many_classes_equal_scikit_learns():
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1, 2, 3, 0.5], 300)
    y = np.array([rng.choice(4, p=row) for row in p])
    said = p.argmax(1)
    assert metrics.value("log_loss_classes", y, p) == pytest.approx(sk.log_loss(y, p, labels=range(4)), **TIGHT)
    assert metrics.value("accuracy_classes", y, p) == pytest.approx(sk.accuracy_score(y, said), **TIGHT)
    assert metrics.value("f1_macro", y, p) == pytest.approx(sk.f1_score(y, said, average="macro"), **TIGHT)
    ours = metrics.value("brier_classes", y, p)
    assert ours == pytest.approx(sk.brier_score_loss(y, p, labels=range(4), scale_by_half=False), **TIGHT)
    two = np.column_stack([1 - p[:, 0], p[:, 0]])
    assert metrics.value("brier_classes", y == 0, two) == pytest.approx(2 * metrics.value("brier", y == 0, p[:, 0]))


def test_intervals_are_scored_as_two_quantiles():
    rng = np.random.default_rng(2)
    y = rng.normal(size=200)
    low, high = -1 + 0.1 * rng.normal(size=200), 1 + 0.1 * rng.normal(size=200)
    both = sk.mean_pinball_loss(y, low, alpha=0.05) + sk.mean_pinball_loss(y, high, alpha=0.95)
    assert regression.interval_score(y, low, high, 0.1)[0] == pytest.approx(both * 2 / 0.1, **TIGHT)
    inside = regression.coverage(y, low, high)[0]
    below = regression.quantile_rate(y, low)[0]
    assert inside == pytest.approx(((low <= y) & (y <= high)).mean(), **TIGHT)
    assert below == pytest.approx((y <= low).mean(), **TIGHT)


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_influence_sums_to_zero_and_predicts_a_row_left_out(name):
    which = metrics.METRICS[name]
    y, p, rng = rows(2000)
    if which.kind == "classes":
        p = np.column_stack([1 - p, 0.4 * p, 0.6 * p])
        y = y * (1 + (rng.random(2000) < 0.5))
    elif which.kind == "regression":
        y, p = y + p + 1, y + 1 + 0.3 * rng.normal(size=2000) ** 2
    value, influence = metrics.influenced(name, y, p)
    assert abs(influence.sum()) < 1e-9 * max(1.0, float(np.abs(influence).sum()))
    picked = np.argsort(-np.abs(influence))[[0, 3, 40]]
    for i in picked:
        without = metrics.value(name, np.delete(y, i), np.delete(p, i, axis=0))
        assert without - value == pytest.approx(-influence[i] / 1999, rel=0.1, abs=1e-7)


def test_row_bands_of_shares_are_wilsons():
    y, p, _ = rows()
    z = p >= 0.5
    for name, hits, of in (
        ("accuracy", (y == z).sum(), len(y)),
        ("recall", (y * z).sum(), y.sum()),
        ("precision", (y * z).sum(), z.sum()),
    ):
        band = metrics.measure(name, y, p, 0.05)
        assert (band.low, band.high) == pytest.approx(proportion_confint(hits, of, 0.05, "wilson"), **TIGHT)
        assert (band.unit, band.units, band.rows, band.design_effect) == ("row", 500, 500, None)
    none = metrics.measure("recall", [1.0] * 20, [0.0] * 20)
    assert none.value == 0 and none.high == pytest.approx(proportion_confint(0, 20, 0.05, "wilson")[1], **TIGHT)


def test_entity_bands_are_cluster_robust_as_statsmodels_has_them():
    y, p, rng = rows()
    users = rng.integers(0, 40, 500)
    loss = (p - y) ** 2
    fit = OLS(loss, np.ones(500)).fit(cov_type="cluster", cov_kwds={"groups": users})
    half = scipy_stats.t.ppf(0.975, 39) * fit.bse[0]
    band = metrics.measure("brier", y, p, 0.05, units=users, unit="entity")
    mean = loss.mean()
    assert (band.value, band.low, band.high) == pytest.approx((mean, mean - half, mean + half), **TIGHT)
    assert (band.unit, band.units) == ("entity", 40)
    plain = metrics.measure("brier", y, p, 0.05)
    assert plain.high - plain.value == pytest.approx(scipy_stats.t.ppf(0.975, 499) * loss.std(ddof=1) / 500**0.5)


def test_units_may_be_named_by_text_and_in_any_order():
    y, p, rng = rows(60)
    users = rng.integers(0, 7, 60)
    by_number = metrics.measure("auc", y, p, units=users, unit="entity")
    by_text = metrics.measure("auc", y, p, units=[f"u{u}" for u in users], unit="entity")
    shuffled = rng.permutation(60)
    again = metrics.measure("auc", y[shuffled], p[shuffled], units=users[shuffled], unit="entity")
    assert by_number == by_text
    assert (again.low, again.high) == pytest.approx((by_number.low, by_number.high), **TIGHT)


def test_bands_by_block_cover_where_bands_by_row_do_not():
    """Days share their weather: over 200 seeded months the row-wise 90 % band of a loss covers about a third."""
    rng = np.random.default_rng(3)
    covered = np.zeros(2)
    days = np.repeat(np.arange(30), 100)
    for _ in range(200):
        loss = 1 + 0.3 * rng.normal(size=30)[days] + rng.normal(size=3000)
        influenced = (loss.mean(), loss - loss.mean())
        for i, units in enumerate((None, days)):
            band = bands.band("loss", influenced, 0.1, units=units)
            covered[i] += band.low <= 1 <= band.high
    assert covered[0] < 140 and covered[1] > 170  # 180 ± 2 · 4.2 is exact cover


def test_slices_are_the_metric_on_their_rows():
    y, p, rng = rows(600)
    where = {"port": rng.choice(["EWR", "JFK"], 600), "peak": rng.random(600) < 0.1}
    table = metrics.by_slice("brier", y, p, where, depth=2, least_rows=40, units=rng.integers(0, 20, 600))
    assert table[0].where == {} and table[0].band.rows == 600
    for entry in table[1:]:
        inside = np.all([np.asarray(where[k]).astype(str) == v for k, v in entry.where.items()], axis=0)
        assert entry.band.rows == inside.sum() >= 40
        assert entry.band.value == pytest.approx(sk.brier_score_loss(y[inside], p[inside]), **TIGHT)
        assert entry.band.unit == "block"
    assert {len(entry.where) for entry in table} == {0, 1, 2}
    wide = metrics.by_slice("brier", y, p, where, together=True)
    narrow = metrics.by_slice("brier", y, p, where)
    assert all(w.band.low < n.band.low for w, n in zip(wide[1:], narrow[1:], strict=True))


def test_all_metrics_of_a_kind_at_once():
    y, p, _ = rows()
    assert set(metrics.measure_all("binary", y, p)) == {m.name for m in metrics.METRICS.values() if m.kind == "binary"}
    negative = metrics.measure_all("regression", -y - 2, p)
    assert "log_rmse" not in negative and negative["rmse"].value > 0


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_and_few_and_constant_rows_give_no_nan(name, n):
    which = metrics.METRICS[name]
    p = np.full((n, 2), 0.5) if which.kind == "classes" else np.full(n, 0.5)
    for units in (None, np.zeros(n, np.int64)):
        band = metrics.measure(name, np.ones(n), p, units=units)
        assert all(x is None or math.isfinite(x) for x in (band.value, band.low, band.high, band.design_effect))
        assert band.rows == n
        if n < 2 and which.share_of is None:
            assert not band.known


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: metrics.measure("acuracy", [1], [0.5]), "metric.unknown"),
        (lambda: metrics.measure("brier", [1, 0], [0.5]), "stats.shape"),
        (lambda: metrics.measure("brier", [1, 2], [0.5, 0.5]), "stats.data"),
        (lambda: metrics.measure("brier", [1, 0], [0.5, 1.5]), "stats.data"),
        (lambda: metrics.measure("brier", [1, 0], [0.5, np.nan]), "stats.data"),
        (lambda: metrics.measure("brier", [1, 0], [0.5, 0.5], 1.0), "stats.alpha"),
        (lambda: metrics.measure("brier", [1, 0], [0.5, 0.5], np.nan), "stats.alpha"),
        (lambda: metrics.measure("recall", [1, 0], [0.5, 0.5], threshold=2.0), "stats.weight"),
        (lambda: metrics.measure("brier", [1, 0], [0.5, 0.5], units=[1]), "stats.shape"),
        (lambda: metrics.measure("brier", [1, 0], [0.5, 0.5], units=[0.5, np.nan]), "stats.data"),
        (lambda: metrics.measure("rmse", [1, np.inf], [0.5, 0.5]), "stats.data"),
        (lambda: metrics.measure("log_rmse", [-1.0], [0.5]), "stats.data"),
        (lambda: metrics.measure("accuracy_classes", [2], [[0.5, 0.5]]), "stats.data"),
        (lambda: metrics.measure("accuracy_classes", [1], [[0.5, 0.6]]), "stats.data"),
        (lambda: metrics.measure("accuracy_classes", [1], [0.5]), "stats.shape"),
        (lambda: metrics.by_slice("brier", [1], [0.5], {"a": ["x", "y"]}), "stats.shape"),
        (lambda: regression.pinball([1.0], [1.0], 1.0), "stats.weight"),
        (lambda: regression.coverage([1.0], [2.0], [1.0]), "stats.data"),
        (lambda: classification.predicted([[0.5]]), "stats.shape"),
        (lambda: student_quantile(0.05, 0), "stats.data"),
        (lambda: student_quantile(0, 5), "stats.alpha"),
        (lambda: poisson_lower(-1, 0.05), "stats.data"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint


@given(st.floats(1e-9, 0.99), st.sampled_from([0.7, 1, 2, 3.5, 11, 40, 500, 20_000]))
@settings(max_examples=60)
def test_quantiles_equal_scipys(alpha, degrees):
    assert student_quantile(alpha, degrees) == pytest.approx(-scipy_stats.t.ppf(alpha / 2, degrees), **TIGHT)
    assert normal_quantile(alpha) == pytest.approx(-scipy_stats.norm.ppf(alpha / 2), **TIGHT)


@pytest.mark.parametrize("count", [0, 1, 2, 10, 137, 5000])
def test_the_bound_of_a_count_equals_scipys(count):
    for alpha in (0.001, 0.05, 0.5):
        want = scipy_stats.chi2.ppf(alpha, 2 * count) / 2 if count else 0.0
        assert poisson_lower(count, alpha) == pytest.approx(want, **TIGHT)


def test_the_package_lists_them():
    assert inspect.unwrap(stats.measure) is metrics.measure and inspect.unwrap(stats.band) is bands.band


@pytest.mark.parametrize("name", ["accuracy", "recall", "precision", "selection_rate"])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_a_shares_band_holds_its_own_value_at_the_ends(name, alpha):
    for n in range(2, 400, 3):
        for truth in (np.ones(n), np.zeros(n)):
            for said in (np.ones(n), np.zeros(n)):
                found = stats.measure(name, truth, said, alpha)
                assert found.value is None or found.low <= found.value <= found.high
    assert stats.measure("accuracy", np.ones(5), np.zeros(5)).low == 0
    assert stats.measure("recall", np.ones(90), np.ones(90), 0.1).high == 1


@pytest.mark.parametrize(("alpha", "degrees"), [(0.05, 5e-324), (0.05, 1e-7), (1e-300, 1.0)])
def test_a_quantile_of_students_t_beyond_all_numbers_is_a_large_one(alpha, degrees):
    assert 1e153 < student_quantile(alpha, degrees) < 1e155
