"""Metrics without labels: right and covered where only the mix of rows changes, and honest about its blindness."""

from __future__ import annotations

import math

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.stats import direct as d
from millrace.stats import estimation as e
from millrace.stats import metrics
from millrace.stats import reweigh as w
from millrace.stats.reliability import expit, logistic
from millrace.stats.student import satterthwaite, student_quantile


def learner(rows, labels):
    """A plain logistic regression: rows (n, p), a constant is added."""
    design = np.column_stack([np.ones(len(rows)), rows])
    found = logistic(design, labels, start=np.zeros(design.shape[1]), ridge=np.ones(design.shape[1]))
    return lambda more: expit(np.column_stack([np.ones(len(more)), more]) @ found)


def world(n, rng, shift=0.0):
    """A model that sees only the first of two features; `shift` moves the second, and with it the base rate."""
    x = rng.normal(size=(n, 2))
    x[:, 1] += shift
    p = expit(x @ [1.5, 1.0] - 0.5)
    return (rng.random(n) < p).astype(float), expit(1.4 * x[:, 0] - 0.4), x


def fitted(source=None, with_features=True, n=10_000, seed=0):
    y, s, x = world(n, np.random.default_rng(seed))
    extra = (x, learner) if with_features else (None, None)
    return e.estimator_fit(y, s, *extra, rows_a_window=500, source=source, names=tuple(e.EXPECTED))


def test_the_calibrated_source_is_isotonic_calibration_and_closed_forms():
    y, s, _ = world(4000, np.random.default_rng(1))
    own = e.estimator_fit(y, s, rows_a_window=500)
    assert own.source == "calibrated" and len(own.reference) == 8
    found = e.estimate(own, e.Window(s, None))
    for name in ("accuracy", "auc", "f1"):  # on its own rows the calibration is all but the labels themselves
        assert found[name].value == pytest.approx(metrics.value(name, y, s), abs=0.01)
        assert found[name].caveat == "blind to concept drift"
        assert found[name].doubt == 0


def test_bands_cover_when_nothing_changed():
    """100 windows of 500 rows, seven metrics: a 90 % band covers 630 of 700; the metrics hang together."""
    own, covered = fitted(), []
    for seed in range(100):
        y, s, x = world(500, np.random.default_rng(1000 + seed))
        found = e.estimate(own, e.Window(s, x))
        covered += [found[n].low <= metrics.value(n, y, s) <= found[n].high for n in own.names]
    assert 0.85 <= np.mean(covered) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("shock", [0.0, 0.3])
@pytest.mark.parametrize("source", ["calibrated", "blend"])
def test_bands_cover_where_few_windows_are_known_and_windows_share_shocks(source, shock):
    """100 worlds, five windows of reference, two ahead, three metrics: 85 to 95 %, ± 1.7 % (600 that hang together)."""
    covered = []
    for seed in range(100):
        rng = np.random.default_rng([seed, round(10 * shock)])
        x = rng.normal(size=(7 * 300, 2))
        p = expit(x @ [1.5, 1.0] - 0.5 + np.repeat(rng.normal(size=7) * shock, 300))
        y, s = (rng.random(2100) < p).astype(float), expit(1.4 * x[:, 0] - 0.4)
        extra = (x[:1500], learner) if source == "blend" else (None, None)
        own = e.estimator_fit(y[:1500], s[:1500], *extra, rows_a_window=300)
        for rows in (slice(1500, 1800), slice(1800, 2100)):
            found = e.estimate(own, e.Window(s[rows], x[rows]))
            covered += [found[n].low <= metrics.value(n, y[rows], s[rows]) <= found[n].high for n in own.names]
    assert 0.85 - 0.017 <= np.mean(covered) <= 0.95 + 0.017


def test_history_is_what_luck_and_doubt_do_not_tell():
    """Windows off by just luck and doubt leave no history; where there is some, it chooses Student's quantile."""
    own = fitted()
    even = own._replace(reference=tuple(r._replace(squares=r.lucks + r.doubts) for r in own.reference))
    worse = own._replace(reference=tuple(r._replace(squares=5 * (r.lucks + r.doubts)) for r in own.reference))
    _, s, x = world(500, np.random.default_rng(8))
    for name in own.names:
        calm, wide = (e.estimate(k, e.Window(s, x))[name] for k in (even, worse))
        assert calm.history == 0 < wide.history
        parts = math.sqrt(wide.luck**2 + wide.history**2 + wide.doubt**2)
        square = np.mean([r.squares for r in worse.reference], axis=0)[own.names.index(name)]
        half = parts * student_quantile(0.1, satterthwaite(parts**2, square, len(worse.reference)))
        assert wide.high == pytest.approx(min(wide.value + half, metrics.METRICS[name].high), rel=1e-9)


def test_degrees_of_freedom_are_satterthwaites():
    assert satterthwaite(3.0, 3.0, 10) == 10  # all of it was estimated
    assert satterthwaite(4.0, 1.0, 10) == 160  # a quarter
    assert satterthwaite(1.0, 0.0, 10) == satterthwaite(1.0, 1e-320, 10) == 10 * 1e8  # nothing to speak of
    assert satterthwaite(1e-9, 1.0, 10) == 1 == satterthwaite(0.0, 0.0, 0)


def test_the_blend_follows_a_changed_mix_that_calibration_cannot_see():
    own = fitted()
    y, s, x = world(20_000, np.random.default_rng(2), shift=1.0)
    window = e.Window(s, x)
    real = metrics.value("accuracy", y, s)
    errors = {
        source: abs(e.estimate(own._replace(source=source), window)["accuracy"].value - real)
        for source in ("calibrated", "blend", "stack")
    }
    assert errors["stack"] < errors["blend"] < errors["calibrated"]
    found = e.estimate(own, window)["accuracy"]
    assert found.doubt > found.luck and found.low <= real <= found.high


def test_late_labels_widen_the_band_and_recalibrate_only_when_needed():
    own = fitted(with_features=False)
    y, s, _ = world(2000, np.random.default_rng(3))
    same = e.estimator_learn(own, e.Window(s, None), y)
    assert len(same.late) == 1 and abs(same.shift) < 0.1
    turned, before = own, e.estimate(own, e.Window(s, None))["accuracy"]
    rng = np.random.default_rng(4)
    for _ in range(3):  # concept drift: half the labels are drawn anew
        drifted = np.where(rng.random(2000) < 0.5, rng.random(2000) < 0.5, y).astype(float)
        turned = e.estimator_learn(turned, e.Window(s, None), drifted)
    after = e.estimate(turned, e.Window(s, None))["accuracy"]
    assert after.history > 5 * before.history  # no shift can mend that, so the band says it
    assert after.low < metrics.value("accuracy", drifted, s) < before.low


def test_late_labels_move_the_chances_when_the_rate_moved_and_not_else():
    """Labels that are likelier by one on the logit: the shift is found; where nothing moves it stays near 0."""
    rng = np.random.default_rng(6)
    s = rng.beta(2, 2, 4000)
    own = e.estimator_fit((rng.random(4000) < s).astype(float), s, rows_a_window=500)
    calm = moved = own
    for _ in range(4):
        calm = e.estimator_learn(calm, e.Window(s, None), (rng.random(4000) < s).astype(float))
        odds = np.exp(1) * s / (1 - s)
        labels = (rng.random(4000) < odds / (1 + odds)).astype(float)
        moved = e.estimator_learn(moved, e.Window(s, None), labels)
    assert abs(calm.shift) < 0.05 and moved.shift == pytest.approx(1, abs=0.15)
    found = e.estimate(moved, e.Window(s, None))["f1"]
    assert abs(found.value - metrics.value("f1", labels, s)) < 0.02
    assert found.value - e.estimate(own, e.Window(s, None))["f1"].value > 0.02


def test_even_weights_are_used_and_uneven_ones_are_not():
    rng = np.random.default_rng(5)
    y, s, x = world(8000, rng)
    own = e.estimator_fit(y, s, x, learner, rows_a_window=1000)
    for shift, even in ((0.0, True), (0.2, True), (1.5, False)):
        more, s2, x2 = world(8000, rng, shift=shift)
        chosen, share = w.estimator_weighted(own, y, s, x, e.Window(s2, x2), learner)
        assert (chosen.source == "weighted") == even == (share >= w.EVEN)
        if even:
            found = e.estimate(chosen, e.Window(s2, x2))["accuracy"]
            assert found.value == pytest.approx(metrics.value("accuracy", more, s2), abs=0.015)
        else:
            assert chosen is own
    ratio, share = w.density_ratio(x, x, learner)
    assert ratio.mean() == pytest.approx(1) and share > 0.99
    assert w.density_ratio(x, x[:0], learner)[1] == 1.0


def test_windows_that_do_not_show_a_metric_are_no_evidence_about_it():
    """AUC needs both classes: windows of one class neither thin the history nor count as degrees of freedom."""
    y, s, _ = world(2000, np.random.default_rng(10))
    own = e.estimator_fit(y, s, rows_a_window=250, names=("auc", "accuracy"))
    shown = [r._replace(squares=5 * r.lucks) for r in own.reference]
    nothing = e.Record(*(np.array([0.0, part[1]]) for part in shown[0]))
    few = own._replace(reference=tuple(shown))
    more = own._replace(reference=tuple(shown + [nothing] * 20))
    a, b = (e.estimate(k, e.Window(s[:250], None)) for k in (few, more))
    assert b["auc"] == a["auc"] and b["accuracy"] != a["accuracy"]
    never = own._replace(reference=(nothing,) * 8)
    found = e.estimate(never, e.Window(s[:250], None))["auc"]
    assert (found.low, found.high) == (0.0, 1.0) and 0 < found.value < 1
    late = e.estimator_learn(own, e.Window(s[:50], None), np.zeros(50))
    assert late.late[0].shown.tolist() == [0.0, 1.0]


def test_a_rate_that_was_never_seen_is_not_zero():
    """200 rows without a positive are followed by 200 with one, and the bands hold that."""
    s = np.random.default_rng(11).random(200)
    own = e.estimator_fit(np.zeros(200), s, rows_a_window=50, names=("accuracy", "brier", "f1"))
    found, y = e.estimate(own, e.Window(s, None)), np.arange(200) == 50
    for name in own.names:
        assert found[name].low <= metrics.value(name, y, s) <= found[name].high


def test_a_learner_is_not_asked_about_one_class():
    _, s, x = world(200, np.random.default_rng(12))

    def two(rows, labels):
        assert len(np.unique(labels)) == 2
        return learner(rows, labels)

    for labels in (np.arange(200) < 10, np.zeros(200), np.ones(200)):
        own = e.estimator_fit(labels.astype(float), s, x, two, rows_a_window=50)
        assert e.estimate(own, e.Window(s, x))["accuracy"].value is not None


def test_a_weighted_band_counts_what_the_blend_called_doubt_as_history():
    """The blend's errors are split into doubt and history; where the band has no doubt, history is all beyond luck."""
    y, s, x = world(8000, np.random.default_rng(13))
    own = e.estimator_fit(y, s, x, learner, rows_a_window=1000, names=("accuracy",))
    big = own._replace(reference=tuple(r._replace(squares=9 * r.lucks, doubts=8 * r.lucks) for r in own.reference))
    window = e.Window(s[:4000], x[:4000])
    chosen, _ = w.estimator_weighted(big, y, s, x, window, learner)
    assert chosen.source == "weighted"
    assert e.estimate(big, window)["accuracy"].history == 0
    luck = np.mean([r.lucks for r in big.reference])
    assert e.estimate(chosen, window)["accuracy"].history == pytest.approx(math.sqrt(8 * luck), rel=1e-9)
    assert w.estimator_weighted(own, y, s, x, e.Window(s[:4], x[:4]), learner) == (own, 1.0)


def test_degrees_of_freedom_count_only_windows_that_are_looked_at():
    own = fitted(with_features=False, n=2000)
    y, s, _ = world(500, np.random.default_rng(14))
    many = own
    for _ in range(20):
        many = e.estimator_learn(many, e.Window(s, None), y)
    same = many._replace(shift=own.shift, late=many.late[-e.RECENT :])
    window = e.Window(s, None)
    assert e.estimate(many._replace(shift=own.shift), window) == e.estimate(same, window)


def regress(rows, targets):
    design = np.column_stack([np.ones(len(rows)), rows, rows**2])
    found = np.linalg.lstsq(design, targets, rcond=None)[0]
    return lambda more: np.column_stack([np.ones(len(more)), more, more**2]) @ found


@pytest.mark.parametrize("root", [False, True])
def test_a_regressors_loss_is_estimated_and_covered(root):
    def rows(n, seed, shift=0.0):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 1)) + shift
        error = rng.normal(size=n) * (1 + 0.5 * np.abs(x[:, 0]))
        return x, error**2 if root else np.abs(error)

    x, loss = rows(10_000, 0)
    own = d.loss_fit("rmse" if root else "absolute_error", loss, x, regress, root=root, rows_a_window=500)
    covered = 0
    for seed in range(60):
        more, real = rows(500, 100 + seed)
        found = d.loss_estimate(own, more)
        covered += found.low <= (real.mean() ** 0.5 if root else real.mean()) <= found.high
    assert 48 <= covered <= 60
    more, real = rows(20_000, 7, shift=1.0)
    want = real.mean() ** 0.5 if root else real.mean()
    assert d.loss_estimate(own, more).value == pytest.approx(want, rel=0.06)
    wide = d.loss_learn(own, more, real * 9)
    assert d.loss_estimate(wide, more).history > 5 * d.loss_estimate(own, more).history
    for _ in range(100):
        wide = d.loss_learn(wide, more[:50], real[:50])
    assert len(wide.squares) == len(wide.lucks) == own.of_reference + e.MOST_LATE
    assert wide.squares[: own.of_reference].tolist() == own.squares.tolist()
    newest = wide._replace(
        squares=np.append(own.squares, wide.squares[-e.RECENT :]), lucks=np.append(own.lucks, wide.lucks[-e.RECENT :])
    )
    assert d.loss_estimate(wide, more) == d.loss_estimate(newest, more)


def test_no_rows_and_undefined_metrics_are_none_never_nan():
    own = fitted(n=400)
    nothing = e.estimate(own, e.Window(np.zeros(0), np.zeros((0, 2))))
    one = e.estimate(own, e.Window(np.array([0.2]), np.zeros((1, 2))))
    assert all(v.value is None and v.low is None for v in nothing.values())
    assert one["auc"].value is None and one["precision"].value is None
    assert all(v.value is None or math.isfinite(v.value) for v in one.values())
    assert e.estimator_learn(own, e.Window(np.zeros(0), np.zeros((0, 2))), []) is own
    constant = e.estimator_fit([0.0] * 40, [0.5] * 40, rows_a_window=10)
    assert e.estimate(constant, e.Window(np.full(5, 0.5), None))["f1"].value is not None
    x = np.zeros((40, 1))
    flat = d.loss_fit("absolute_error", np.ones(40), x, lambda a, b: lambda c: np.ones(len(c)), rows_a_window=10)
    assert (d.loss_estimate(flat, x).value, d.loss_estimate(flat, x).low) == (1.0, 1.0)
    assert d.loss_estimate(flat, x[:0]).value is None and d.loss_learn(flat, x[:0], []) is flat


Y, S, X = world(60, np.random.default_rng(9))
OWN = e.estimator_fit(Y, S, X, learner, rows_a_window=10)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: e.estimator_fit([], []), "stats.data"),
        (lambda: e.estimator_fit([1.0], [0.5]), "stats.data"),
        (lambda: e.estimator_fit(Y, S, rows_a_window=0), "stats.data"),
        (lambda: e.estimator_fit(Y, S, folds=1), "stats.data"),
        (lambda: e.estimator_fit(Y, S, X), "stats.data"),
        (lambda: e.estimator_fit(Y, S, source="stack"), "stats.data"),
        (lambda: e.estimator_fit(Y, S, source="weighted"), "stats.data"),
        (lambda: e.estimator_fit(Y, S, X, learner, source="blended"), "stats.data"),
        (lambda: e.estimator_fit(Y, S * np.nan), "stats.data"),
        (lambda: e.estimator_fit(Y, S + 1), "stats.data"),
        (lambda: e.estimator_fit(Y * 2, S), "stats.data"),
        (lambda: e.estimator_fit(Y, S, X * np.inf, learner), "stats.data"),
        (lambda: e.estimator_fit(Y, S, X[:5], learner), "stats.shape"),
        (lambda: e.estimator_fit(Y, S, X[:, 0], learner), "stats.shape"),
        (lambda: e.estimator_fit(Y, S, X, lambda a, b: lambda c: c[:, 0] * 5), "stats.data"),
        (lambda: e.estimator_fit(Y, S, X, lambda a, b: lambda c: np.zeros(1)), "stats.shape"),
        (lambda: e.estimator_fit(Y, S, threshold=1.5), "stats.weight"),
        (lambda: e.estimator_fit(Y, S, names=["aucc"]), "metric.unknown"),
        (lambda: e.estimator_fit(Y, S, names=["rmse"]), "metric.unknown"),
        (lambda: e.estimate(OWN, e.Window(S, None)), "stats.data"),
        (lambda: e.estimate(OWN, e.Window(S, X[:3])), "stats.shape"),
        (lambda: e.estimate(OWN, e.Window(S, X), 0), "stats.alpha"),
        (lambda: e.estimator_learn(OWN, e.Window(S, X), Y[:3]), "stats.shape"),
        (lambda: w.estimator_weighted(OWN, Y, S, X, e.Window(S, None), learner), "stats.data"),
        (lambda: w.estimator_weighted(OWN, Y, S, X, e.Window(S, X), learner, even=1.0), "stats.weight"),
        (lambda: w.density_ratio(X, X[:, :1], learner), "stats.shape"),
        (lambda: w.density_ratio(X, X, learner, folds=1), "stats.data"),
        (lambda: d.loss_fit("mae", [-1.0] * 60, X, regress), "stats.data"),
        (lambda: d.loss_fit("mae", [np.nan] * 60, X, regress), "stats.data"),
        (lambda: d.loss_fit("mae", [1.0], X, regress), "stats.shape"),
        (lambda: d.loss_fit("mae", [1.0], [[1.0]], regress), "stats.data"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
