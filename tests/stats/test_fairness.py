"""Gaps between groups: values by hand, bands that cover the widest gap though it was picked afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import fairness as f

ORACLE = {
    "recall": sk.recall_score,
    "accuracy": sk.accuracy_score,
    "selection_rate": lambda y, z: z.mean(),
}


def people(n=4000, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    sex, age = rng.choice(["f", "m"], n), rng.choice(["old", "young"], n, p=[0.3, 0.7])
    p = np.clip(rng.beta(2, 2, n) + shift * ((sex == "f") & (age == "old")), 0, 1)
    return (rng.random(n) < p).astype(float), p, {"sex": sex, "age": age}, rng


@pytest.mark.parametrize("name", ORACLE)
def test_groups_are_the_intersections_and_the_gap_is_theirs(name):
    y, p, groups, _ = people(shift=-0.3)
    z = (p >= 0.5).astype(float)
    gap = f.fairness_gap(name, y, p, groups)
    by_hand = {}
    for sex in "fm":
        for age in ("old", "young"):
            inside = (groups["sex"] == sex) & (groups["age"] == age)
            by_hand[sex, age] = ORACLE[name](y[inside], z[inside])
    found = {(g.where["sex"], g.where["age"]): g.band.value for g in gap.groups}
    assert found == pytest.approx(by_hand, rel=1e-9)
    assert gap.value == pytest.approx(max(by_hand.values()) - min(by_hand.values()), rel=1e-9)
    assert gap.ratio == pytest.approx(min(by_hand.values()) / max(by_hand.values()), rel=1e-9)
    assert gap.low <= gap.value <= gap.high


def test_a_gap_hidden_in_an_intersection_is_found():
    y, p, groups, _ = people(shift=-0.3)
    both = f.fairness_gap("selection_rate", y, p, groups)
    assert both.lowest == {"sex": "f", "age": "old"}
    verdict = f.fairness_verdict(both, 0.2)
    assert verdict.decision == "alarm" and "sex f and age old" in verdict.because
    alone = f.fairness_gap("selection_rate", y, p, {"sex": groups["sex"]})
    assert alone.value < both.value / 2


@pytest.mark.slow
def test_the_band_covers_a_gap_of_zero_though_the_widest_pair_is_picked():
    """Eight equal groups, 200 seeded draws: at 90 % at most 20 ± 8 miss; a single pair's band would miss far more."""
    missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, p = (rng.random(800) < 0.4).astype(float), np.full(800, 0.4)
        gap = f.fairness_gap("calibration_residual", y, p, {"g": rng.integers(0, 8, 800)}, 0.1)
        missed += gap.low > 0
    assert missed <= 28


def test_groups_that_share_units_are_differenced_unit_by_unit():
    """A weather of the day that both groups share cancels in their gap."""
    rng = np.random.default_rng(4)
    day = np.repeat(np.arange(60), 100)
    group = rng.integers(0, 2, 6000)
    truth = rng.normal(size=60)[day] + 0.1 * rng.normal(size=6000) + 0.2 * group
    gap = f.fairness_gap("bias", np.zeros(6000), truth, {"g": group}, units=day)
    assert gap.unit == "block" and gap.units == 60
    assert gap.high - gap.low < 0.25 * (gap.groups[0].band.high - gap.groups[0].band.low)
    assert f.fairness_verdict(gap, 0.1).decision == "alarm"
    assert f.fairness_verdict(gap, 0.3).decision == "proven"
    assert f.fairness_verdict(gap, 0.2).decision == "undecided"


@given(st.integers(1, 120), st.integers(1, 120), st.booleans())
@settings(max_examples=40)
def test_small_groups_are_listed_never_compared_and_nothing_is_nan(a, b, positive):
    y = np.full(a + b, float(positive))
    group = ["a"] * a + ["b"] * b
    gap = f.fairness_gap("recall", y, y, {"g": group})
    compared = sum(n >= 50 for n in (a, b)) if positive else 0
    assert len(gap.groups) == compared and len(gap.left_out) == 2 - compared
    verdict = f.fairness_verdict(gap, 0.05)
    if compared < 2:
        assert gap.value is None and verdict.decision == "undecided" and "not enough evidence yet" in verdict.because
    else:
        assert gap.value == 0 and gap.high > 0.01  # all right in both groups is no certainty


def test_bad_input():
    gap = f.fairness_gap("recall", [], [], {"g": []})
    assert gap.groups == () and f.fairness_verdict(gap, 0.1).decision == "undecided"
    for call, code in (
        (lambda: f.fairness_verdict(gap, -0.1), "stats.margin"),
        (lambda: f.fairness_verdict(gap, 0.0), "stats.margin"),
        (lambda: f.fairness_gap("reall", [], [], {"g": []}), "metric.unknown"),
        (lambda: f.fairness_gap("recall", [1.0], [0.5], {"g": ["a"]}, 0.0), "stats.alpha"),
        (lambda: f.fairness_gap("recall", [1.0], [0.5], {}), "stats.shape"),
        (lambda: f.fairness_gap("recall", [1.0], [0.5], {"g": ["a", "b"]}), "stats.shape"),
        (lambda: f.fairness_gap("recall", [1.0], [np.nan], {"g": ["a"]}), "stats.data"),
    ):
        with pytest.raises(MillraceError) as caught:
            call()
        assert caught.value.code == code and caught.value.hint
