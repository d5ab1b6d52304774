"""The error guard equals formula by formula what it documents, and its expectation under the null is at most 1."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import guard as g
from millrace.stats.packing import pack, unpack

batch = st.lists(
    st.tuples(st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]), st.integers(0, 6), st.integers(0, 9)), max_size=5
).map(lambda rows: g.Errors(*(np.array(c) for c in zip(*rows, strict=True))) if rows else empty())


def empty():
    return g.Errors(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


def one(weight, canary):
    return g.Errors(np.array([weight]), np.array([int(canary)]), np.array([int(not canary)]))


def by_the_formula(errors, r0):
    """E after each error, straight from the module's text, in plain floats."""
    deltas = [r0 * r for r in g.RATIOS]
    s, r, j, out = [0.5] * 40, 0.5, 0, []

    def theta(w, ratio):
        return w * ratio / (w * ratio + 1 - w)

    for n, (w, canary) in enumerate(errors, start=1):
        base = theta(w, r0)
        s = [
            x * (theta(w, d) / base if canary else (1 - theta(w, d)) / (1 - base))
            for x, d in zip(s, deltas, strict=True)
        ]
        if n % 10 == 0:
            j += 1
            gamma = 2.0 ** -(2 + (j - 1) // 1000) / 1000
            s, r = [x + gamma for x in s], r - gamma
        out.append(sum(s) / 40 + r)
    return out


def test_one_by_one_it_is_the_formula():
    rng = np.random.default_rng(0)
    errors = [
        (float(w), bool(z)) for w, z in zip(rng.choice([0.05, 0.1, 0.5], 300), rng.random(300) < 0.2, strict=True)
    ]
    state, ours = g.guard_start(), []
    for weight, canary in errors:
        state = g.guard_update(state._replace(peak=-math.inf), one(weight, canary))
        ours.append(math.exp(state.peak))
    np.testing.assert_allclose(ours, by_the_formula(errors, 1.5), rtol=1e-9)


def test_start_times_run_out_slowly_and_never_overspend():
    gammas = [2.0 ** -(2 + (j - 1) // 1000) / 1000 for j in range(1, 3501)]
    for j in (0, 1, 999, 1000, 1001, 2500, 3500):
        assert float(g.unstarted(j)) == pytest.approx(0.5 - sum(gammas[:j]), abs=1e-12)
    assert float(g.unstarted(10**9)) >= 0


@pytest.mark.parametrize("weights", [[0.1] * 12, [0.01, 0.05, 0.25, 0.5] * 3])
@pytest.mark.parametrize("ratio", [1.5, 1.0, 0.2])
@pytest.mark.parametrize("size", [1, 4])
def test_expectation_is_at_most_one_by_enumeration(weights, ratio, size):
    """All 2^12 ways that 12 errors can fall, in batches of `size`, past a start time; equality at the null's edge."""
    z = np.array(list(itertools.product([0, 1], repeat=12)))
    w = np.array(weights)
    theta = w * ratio / (w * ratio + 1 - w)
    probability = np.prod(np.where(z == 1, theta, 1 - theta), axis=1)
    log_s, log_e = np.full((len(z), 40), math.log(0.5)), np.zeros(len(z))
    for at in range(0, 12, size):
        part = slice(at, at + size)
        log_s, log_e = g.advance(log_s, np.full(len(z), at), 1.5, w[part], z[:, part], 1 - z[:, part])
    whole = float(probability @ np.exp(log_e))
    assert whole <= 1 + 1e-12
    if ratio == 1.5:
        assert whole == pytest.approx(1, abs=1e-12)


@given(batch, batch, batch)
@settings(max_examples=30)
def test_merging_is_associative_and_commutative(a, b, c):
    left = g.merge_errors(g.merge_errors(a, b), c)
    right = g.merge_errors(c, g.merge_errors(b, a))
    assert all(np.array_equal(x, y) for x, y in zip(left, right, strict=True))
    state = g.guard_update(g.guard_start(), left)
    assert state.canary == sum(int(x.canary[(x.weights > 0) & (x.weights < 1)].sum()) for x in (a, b, c))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3]), st.booleans()), max_size=9))
def test_order_inside_a_batch_does_not_matter(errors):
    weights, arms = [w for w, _ in errors], [z for _, z in errors]
    forward = g.guard_update(g.guard_start(), g.errors_by_weight(weights, arms))
    back = g.guard_update(g.guard_start(), g.errors_by_weight(weights[::-1], arms[::-1]))
    single = g.guard_start()
    for w, z in errors:
        single = g.guard_update(single, one(w, z))
    np.testing.assert_allclose(forward.log_s, back.log_s, atol=1e-12)
    np.testing.assert_allclose(forward.log_s, single.log_s, atol=1e-9)


def test_weights_of_zero_and_one_compare_nothing():
    state = g.guard_start()
    assert g.guard_update(state, g.errors_by_weight([0.0, 1.0, 1.0], [False, True, True])) is state
    assert g.guard_verdict(state, 0.05).decision == "undecided"


@pytest.mark.parametrize("weights", [[0.0, 0.1, 0.5, 1.0], np.linspace(0, 1, 40).tolist()])
def test_a_batch_is_the_recursion_over_what_compares(weights):
    """Few weights, whose factors are remembered, and many; those of 0 and 1 beside the others."""
    rng = np.random.default_rng(3)
    state, inside = g.guard_start(), (np.array(weights) > 0) & (np.array(weights) < 1)
    for _ in range(3):
        canary, control = rng.integers(0, 4, len(weights)), rng.integers(0, 9, len(weights))
        arrays = np.array(weights)[inside], canary[inside], control[inside]
        log_s, log_e = g.advance(state.log_s, state.canary + state.control, 1.5, *arrays)
        state = g.guard_update(state._replace(peak=-math.inf), g.Errors(np.array(weights), canary, control))
        np.testing.assert_allclose(state.log_s, log_s, atol=1e-12)
        assert state.peak == pytest.approx(float(log_e), abs=1e-12)


def test_a_bad_canary_alarms_for_ever_and_a_common_incident_does_not():
    state = g.guard_start()
    state = g.guard_update(state, g.Errors(np.array([0.1]), np.array([12]), np.array([1])))
    healthy = g.guard_update(state, g.Errors(np.array([0.1]), np.array([0]), np.array([5000])))
    verdict = g.guard_verdict(healthy, 0.025)
    assert (verdict.decision, verdict.n) == ("alarm", 5013)
    common = g.guard_update(g.guard_start(), g.Errors(np.array([0.1]), np.array([1000]), np.array([9000])))
    assert g.guard_verdict(common, 0.025).decision == "quiet"
    assert g.guard_verdict(common, 0.025).effect == pytest.approx(1.0)


def test_huge_evidence_stays_finite():
    state = g.guard_update(g.guard_start(), g.Errors(np.array([0.01]), np.array([10**6]), np.array([0])))
    verdict = g.guard_verdict(state, 0.01)
    assert verdict.statistic == 1e300 and verdict.effect is None


def test_state_survives_a_restart():
    state = g.guard_update(g.guard_start(0.5), g.errors_by_weight([0.1, 0.2], [True, False]))
    back = unpack(g.Guard, pack(state))
    assert all(np.array_equal(x, y) for x, y in zip(back, state, strict=True))
    assert len(pack(state)) < 500
    for data in (b"", b"\x00", pack(g.errors_by_weight([0.1], [True]))):
        with pytest.raises(MillraceError) as caught:
            unpack(g.Guard, data)
        assert caught.value.code == "stats.state"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: g.guard_start(-1), "stats.margin"),
        (lambda: g.errors_by_weight([1.2], [True]), "stats.weight"),
        (lambda: g.errors_by_weight([0.2], [True, False]), "stats.shape"),
        (lambda: g.guard_update(g.guard_start(), g.Errors([0.1], [-1], [0])), "stats.data"),
        (lambda: g.guard_update(g.guard_start(), g.Errors(np.array([0.1]), np.ones(2, int), [0])), "stats.shape"),
        (lambda: g.guard_update(g.guard_start(), g.Errors(np.array([np.nan]), [1], [0])), "stats.weight"),
        (lambda: g.guard_verdict(g.guard_start(), 0), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint


def falsely(weights, rate_ratio, rng, paths=2000, alpha=0.025):
    """The share of paths on which a canary with `rate_ratio` × control's rate ever alarms, one error at a time."""
    log_s, alarmed = np.full((paths, 40), math.log(0.5)), np.zeros(paths, bool)
    for n, w in enumerate(weights):
        theta = w * rate_ratio / (w * rate_ratio + 1 - w)
        z = (rng.random(paths) < theta).astype(np.int64)[:, None]
        log_s, log_e = g.advance(log_s, n, 1.5, np.array([w]), z, 1 - z)
        alarmed |= log_e >= math.log(1 / alpha)
    return float(alarmed.mean())


@pytest.mark.slow
def test_false_alarms_flat_and_ramped():
    """α = .025, 2,000 paths: 2.5 % + 2 binomial sd = 3.2 %, at the null's edge and under a ramp 1 → 50 %."""
    rng = np.random.default_rng(11)
    assert falsely([0.1] * 400, 1.5, rng) <= 0.032
    assert falsely(np.repeat([0.01, 0.05, 0.25, 0.5], 100), 1.5, rng) <= 0.032
    assert falsely([0.1] * 400, 1.0, rng) <= 0.005
