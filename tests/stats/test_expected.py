"""Expected metrics against the enumeration of all labels: exact where the text says so, the noise to first order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import expected as e
from millrace.stats import metrics

RNG = np.random.default_rng(0)
P = np.array([0.1, 0.35, 0.5, 0.8, 0.95, 0.2, 0.6])
S = np.array([0.2, 0.3, 0.5, 0.5, 0.9, 0.1, 0.7])
Z = (S >= 0.5).astype(float)
LABELS = np.array(list(itertools.product([0.0, 1.0], repeat=len(P))))
CHANCE = np.prod(np.where(LABELS == 1, P, 1 - P), axis=1)


@pytest.mark.parametrize("name", ["accuracy", "brier", "log_loss", "precision"])
def test_means_are_exact_by_enumeration(name):
    given_ = Z if metrics.METRICS[name].hard else S
    value, gradient = e.EXPECTED[name](P, given_)
    each = np.array([metrics.value(name, y, S) for y in LABELS])
    assert value == pytest.approx(float(CHANCE @ each), rel=1e-9)
    variance = float(CHANCE @ each**2) - value**2
    assert e.label_noise(P, gradient) == pytest.approx(variance, rel=1e-9)


def test_cost_is_exact_by_enumeration():
    costs = np.array([[0.0, 1.0], [7.0, -2.0]])
    value, gradient = e.expected_cost(P, Z, costs)
    each = np.array([costs[y.astype(int), Z.astype(int)].mean() for y in LABELS])
    assert value == pytest.approx(float(CHANCE @ each), rel=1e-9)
    assert e.label_noise(P, gradient) == pytest.approx(float(CHANCE @ each**2) - value**2, rel=1e-9)


@pytest.mark.parametrize("name", ["auc", "f1", "recall"])
def test_ratios_hold_at_large_n(name):
    """By 300 seeded draws of 3,000 labels: the mean to 5 standard errors and O(1/n), the variance to a quarter."""
    rng = np.random.default_rng(1)
    p = rng.beta(1, 2, 3000)
    s = np.round(np.clip(p + 0.1 * rng.normal(size=3000), 0, 1), 2)
    value, gradient = e.EXPECTED[name](p, (s >= 0.4).astype(float) if name != "auc" else s)
    draws = [metrics.value(name, rng.random(3000) < p, s, threshold=0.4) for _ in range(300)]
    noise = e.label_noise(p, gradient)
    assert value == pytest.approx(np.mean(draws), abs=5 * (noise / 300) ** 0.5 + 2e-4)
    assert noise == pytest.approx(np.var(draws), rel=0.25)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6).map(lambda k: k / 6)), min_size=1, max_size=30))
@settings(max_examples=60)
def test_known_labels_give_the_metric_itself(rows):
    """Chances of 0 and 1 are labels: every expected metric is then the metric, and nothing is noise."""
    y, s = np.array([a for a, _ in rows], float), np.array([b for _, b in rows])
    for name, function in e.EXPECTED.items():
        want = metrics.value(name, y, s)
        found = function(y, (s >= 0.5).astype(float) if metrics.METRICS[name].hard else s)
        if want is None or found is None:
            assert want is None and found is None
        else:
            assert found[0] == pytest.approx(want, rel=1e-9, abs=1e-12)
            assert e.label_noise(y, found[1]) == 0


@pytest.mark.parametrize("name", sorted(e.EXPECTED))
def test_gradients_are_derivatives(name):
    given_ = Z if metrics.METRICS[name].hard else S
    value, gradient = e.EXPECTED[name](P, given_)
    for i in range(len(P)):
        moved = P.copy()
        moved[i] += 1e-6
        other = e.EXPECTED[name](moved, given_)[0]
        # the formula's own diagonal makes AUC slightly curved in one row; the others are linear or ratios
        assert (other - value) / 1e-6 == pytest.approx(gradient[i], rel=1e-4, abs=1e-7 if name != "auc" else 2e-2)


def test_classes_are_exact_by_enumeration():
    p, s = RNG.dirichlet([1, 1, 1], 5), RNG.dirichlet([2, 2, 2], 5)
    said = s.argmax(1)
    costs = RNG.normal(size=(3, 3))
    labels = np.array(list(itertools.product(range(3), repeat=5)))
    chance = np.prod(p[np.arange(5), labels], axis=1)
    for found, each in (
        (e.expected_accuracy_classes(p, said), [(y == said).mean() for y in labels]),
        (e.expected_cost_classes(p, said, costs), [costs[y, said].mean() for y in labels]),
        (e.expected_log_loss_classes(p, s), [sk.log_loss(y, s, labels=range(3)) for y in labels]),
        (e.expected_brier_classes(p, s), [metrics.value("brier_classes", y, s) for y in labels]),
    ):
        assert found[0] == pytest.approx(float(chance @ each), rel=1e-9)
        assert e.label_noise(p, found[1]) == pytest.approx(float(chance @ np.square(each)) - found[0] ** 2, rel=1e-7)
    known = np.eye(3)[labels[100]]
    want = sk.f1_score(labels[100], said, average="macro")
    assert e.expected_f1_macro(known, said)[0] == pytest.approx(want, rel=1e-9)


def test_two_classes_as_classes_agree():
    both = np.column_stack([1 - P, P])
    assert e.expected_accuracy_classes(both, Z)[0] == pytest.approx(e.expected_accuracy(P, Z)[0], rel=1e-12)
    one, two = e.expected_accuracy(P, Z)[1], e.expected_accuracy_classes(both, Z)[1]
    assert e.label_noise(P, one) == pytest.approx(e.label_noise(both, two), rel=1e-12)


def test_class_noise_keeps_its_digits_and_shares_that_sum_to_nearly_one_are_shares():
    """A gradient that is the same in all classes makes no noise, however large it is."""
    far = np.array([[1e9, 1e9 + 1]])
    assert e.label_noise([[0.3, 0.7]], far) == pytest.approx(0.21, rel=1e-6)
    assert e.label_noise([[0.3, 0.7]], np.full((1, 2), 36.04365338911715)) == 0
    nearly = np.array([[1.0000005, 0.0], [0.4999998, 0.5]])
    value, gradient = e.expected_accuracy_classes(nearly, [0, 0])
    assert value == pytest.approx(0.75, abs=1e-6) and e.expected_accuracy_classes(nearly[:1], [0])[0] == 1.0
    assert e.label_noise(nearly, gradient) == pytest.approx(1 / 16, rel=1e-5)


def test_undefined_is_none():
    assert e.expected_auc([1.0, 1.0], [0.1, 0.2]) is None
    assert e.expected_auc([0.5], [0.1]) is None
    assert e.expected_precision([0.5], [0]) is None
    assert e.expected_recall([0.0], [1]) is None
    assert all(function([], []) is None for function in e.EXPECTED.values())
    assert e.expected_f1_macro(np.zeros((0, 2)), []) is None


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: e.expected_accuracy([1.2], [1]), "stats.data"),
        (lambda: e.expected_accuracy([np.nan], [1]), "stats.data"),
        (lambda: e.expected_accuracy([0.5], [0.5]), "stats.data"),
        (lambda: e.expected_accuracy([0.5, 0.5], [1]), "stats.shape"),
        (lambda: e.expected_auc([0.5], [np.inf]), "stats.data"),
        (lambda: e.expected_cost([0.5], [1], [1, 2]), "stats.shape"),
        (lambda: e.expected_accuracy_classes([[0.5, 0.4]], [1]), "stats.data"),
        (lambda: e.expected_accuracy_classes([[0.5, 0.5]], [2]), "stats.data"),
        (lambda: e.expected_log_loss_classes([[0.5, 0.5]], [[0.2, 0.3, 0.5]]), "stats.shape"),
        (lambda: e.label_noise([0.5], np.zeros((1, 2))), "stats.shape"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
