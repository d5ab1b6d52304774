"""The assignment check: expectation 1 by enumeration, additive, blind to ramps, sharp on lost requests."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import assignment as a

counts = st.tuples(st.integers(0, 50), st.integers(0, 20))


def evidence(state):
    return math.exp(float(a._log_mean(state.log_e)))


@pytest.mark.parametrize("weights", [[[0.9, 0.1]] * 6, [[0.99, 0.01], [0.9, 0.1], [0.5, 0.5]] * 2])
def test_expectation_is_one_by_enumeration(weights):
    whole = 0.0
    for path in itertools.product([0, 1], repeat=6):
        one_hot = np.eye(2)[list(path)]
        chance = math.prod(w[arm] for w, arm in zip(weights, path, strict=True))
        whole += chance * evidence(a.assignment_update(a.assignment_start(), weights, one_hot))
    assert whole == pytest.approx(1, abs=1e-12)


def test_expectation_is_one_for_three_arms():
    weights = [[0.7, 0.2, 0.1]] * 4
    whole = 0.0
    for path in itertools.product(range(3), repeat=4):
        state = a.assignment_update(a.assignment_start(3), weights, np.eye(3)[list(path)])
        whole += math.prod(weights[0][arm] for arm in path) * evidence(state)
    assert whole == pytest.approx(1, abs=1e-12)


@given(counts, counts)
def test_workers_add_up(x, y):
    w = [0.9, 0.1]
    one = a.assignment_update(a.assignment_start(), w, x)
    two = a.assignment_update(a.assignment_start(), w, y)
    whole = a.assignment_update(a.assignment_start(), [w, w], [x, y])
    np.testing.assert_allclose(a.merge_assignments(one, two).log_e, whole.log_e, atol=1e-9)
    np.testing.assert_allclose(a.merge_assignments(two, one).counts, whole.counts)


def test_lost_canary_requests_are_seen_and_a_fair_ramp_is_not():
    fair = a.assignment_update(a.assignment_start(), [[0.99, 0.01], [0.5, 0.5]], [[9900, 100], [5010, 4990]])
    assert a.assignment_verdict(fair).decision == "quiet"
    lost = a.assignment_update(a.assignment_start(), [0.9, 0.1], [90_000, 9_500])
    verdict = a.assignment_verdict(lost)
    assert verdict.decision == "alarm" and verdict.effect == pytest.approx(-0.045, abs=0.01)


def test_a_request_on_an_arm_without_weight_is_impossible():
    state = a.assignment_update(a.assignment_start(), [1.0, 0.0], [100, 1])
    assert a.assignment_verdict(state).decision == "alarm"
    assert a.assignment_verdict(a.merge_assignments(state, a.assignment_start())).decision == "alarm"
    assert a.assignment_verdict(a.assignment_start()).decision == "undecided"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: a.assignment_start(1), "stats.shape"),
        (lambda: a.assignment_update(a.assignment_start(), [0.5, 0.6], [1, 1]), "stats.weight"),
        (lambda: a.assignment_update(a.assignment_start(), [0.5, 0.5], [1, -1]), "stats.data"),
        (lambda: a.assignment_update(a.assignment_start(), [0.5, 0.5], [1, 1, 1]), "stats.shape"),
        (lambda: a.merge_assignments(a.assignment_start(), a.assignment_start(3)), "stats.shape"),
        (lambda: a.assignment_verdict(a.assignment_start(), 2), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
