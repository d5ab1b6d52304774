"""Evidence window by window: expectations computed exactly over grids of nulls, e-BH by its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from millrace.base.errors import MillraceError
from millrace.stats.chi_square import chi_square_tail
from millrace.stats.detector import (
    combined,
    detector_start,
    detector_update,
    e_bh,
    e_values,
    evidence_by_column,
    threshold,
)
from millrace.stats.student import student_tail


def test_expectation_is_one_under_uniform_p():
    found, _ = integrate.quad(lambda u: float(e_values([np.exp(-u)])[0]) * np.exp(-u), 0, 200)
    assert found == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("degrees", [1, 2, 15, 60])
@pytest.mark.parametrize("noncentrality", [0.0, 1.0, 9.0])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_expectation_is_at_most_one_for_every_immaterial_change(degrees, noncentrality, share):
    """The p at a tolerance, under every change up to it, by quadrature over the truth's density."""
    truth = stats.ncx2(degrees, noncentrality * share) if noncentrality * share else stats.chi2(degrees)
    u = np.concatenate([np.geomspace(1e-14, 0.1, 2000), np.linspace(0.1, 1, 1001)[1:]])  # of the truth's upper tail
    x = truth.isf((u[1:] + u[:-1]) / 2)
    e = e_values(chi_square_tail(x, degrees, noncentrality))
    # the missing tail: e ≤ 0.45·u^−½ + 0.03·u^−0.7 there, whose integral up to 1e-14 is below 1e-4
    assert float(e @ np.diff(u)) <= 1 + 1e-3
    assert float(e @ np.diff(u)) >= 0.999 or share < 1


@pytest.mark.parametrize("degrees", [3, 12])
@pytest.mark.parametrize("shift", [0.0, -0.5, -2.0])
def test_expectation_is_at_most_one_for_every_usual_window(degrees, shift):
    u = np.concatenate([np.geomspace(1e-12, 0.1, 2000), np.linspace(0.1, 1, 1001)[1:]])
    t = stats.t.isf((u[1:] + u[:-1]) / 2, degrees) + shift
    p = np.array([student_tail(float(v), degrees) for v in t])
    np.testing.assert_allclose(p, stats.t.sf(t, degrees), rtol=1e-9)
    assert float(e_values(p) @ np.diff(u)) <= 1 + 1e-3


P_GRID = np.array([1e-4, 0.2, 1.0])
MASS = np.array([1e-4, 0.1999, 0.8])  # super-uniform: P(p ≤ u) ≤ u on the grid


@pytest.mark.parametrize("tau", [[1.0, 1.0], [1.0, 4.0], [2.5, 4.0]])
@pytest.mark.parametrize("together", [False, True])
def test_expected_evidence_never_exceeds_the_number_of_windows(tau, together):
    """Every path of three windows of two columns, independent or the same, weighed by its probability."""
    assert (np.cumsum(MASS) <= P_GRID + 1e-12).all() and MASS.sum() == pytest.approx(1)
    pairs = [(i, i) for i in range(3)] if together else list(itertools.product(range(3), repeat=2))
    weight = {pair: MASS[pair[0]] * (1 if together else MASS[pair[1]]) for pair in pairs}
    paths = [(detector_start(2), 1.0)]
    for windows in (1, 2, 3):
        paths = [
            (detector_update(state, e_values(P_GRID[list(pair)]), tau), chance * weight[pair])
            for state, chance in paths
            for pair in pairs
        ]
        assert sum(combined(state) * chance for state, chance in paths) <= windows + 1e-9
        own = sum(np.asarray(state.own) * chance for state, chance in paths)
        assert (own <= windows + 1e-9).all()


@pytest.mark.parametrize("tau", [2, 3, 5])
def test_tempered_evidence_holds_when_a_block_repeats_one_window(tau):
    """The worst memory: τ windows that are copies. The product of e^(1/τ) is then e itself, expectation ≤ 1."""
    product = np.prod([e_values(P_GRID) ** (1 / tau)] * tau, axis=0)
    assert float(product @ MASS) <= 1


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_e_bh_is_its_definition(values, alpha):
    e = np.array(values)
    k = len(e)
    largest = max((r for r in range(1, k + 1) if (e >= k / (alpha * r)).sum() >= r), default=0)
    assert e_bh(e, alpha).sum() == largest
    assert largest == 0 or e[e_bh(e, alpha)].min() >= k / (alpha * largest) * (1 - 1e-12)


@given(st.lists(st.floats(1e-300, 1), min_size=1, max_size=40))
def test_evidence_stays_finite(values):
    state = detector_start(1)
    for p in values:
        state = detector_update(state, e_values([p]), [1.0])
    assert np.isfinite(combined(state)) and np.isfinite(evidence_by_column(state, [1.0])).all()


def test_columns_without_memory_are_shiryaev_roberts():
    state, by_hand = detector_start(3), np.zeros(3)
    for p in ([0.5, 0.01, 1], [0.2, 0.03, 1], [0.9, 0.001, 0.7]):
        state = detector_update(state, e_values(p), [1, 1.2, 1])
        by_hand = e_values(p) * (1 + by_hand)
    np.testing.assert_allclose(state.own, by_hand)
    np.testing.assert_allclose(combined(state), by_hand.mean())


def test_what_has_passed_names_nobody():
    state = detector_start(2)
    for e in ([300.0, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 400.0]):
        state = detector_update(state, e, [5.0, 5.0])
    old, new = evidence_by_column(state, [5.0, 5.0])
    assert new > 50 * old


@pytest.mark.parametrize(
    "call",
    [
        lambda: e_values([0.0]),
        lambda: e_values([1.5]),
        lambda: e_values([np.nan]),
        lambda: e_bh([1.0], 1.0),
        lambda: threshold(0),
        lambda: threshold(365, 0),
        lambda: detector_update(detector_start(2), [1.0], [1.0]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(MillraceError):
        call()
