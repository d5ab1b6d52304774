"""Betting: a supermartingale on the whole null by enumeration, additive over workers, and slow to believe."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import betting as b

outcomes = st.lists(st.tuples(st.sampled_from([0.01, 0.1, 0.5]), st.booleans(), st.booleans()), max_size=30)


def of(rows, margin=0.01):
    return b.bet_losses(
        b.bet_start(margin), [float(y) for *_, y in rows], [z for _, z, _ in rows], [w for w, *_ in rows]
    )


def close(one, two):
    assert (one.n, one.margin) == (two.n, two.margin)
    np.testing.assert_allclose(one.log_k, two.log_k, atol=1e-9)
    assert one.total == pytest.approx(two.total, abs=1e-9)


@pytest.mark.parametrize("margin", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("w", [0.01, 0.1, 0.5, 0.9])
def test_a_step_is_fair_at_the_margin_and_unfair_beyond(margin, w):
    """E[1 + λ(m − X)] ≤ 1 for every pair of rates with p₁ − p₀ ≥ m; computed, for all 30 stakes."""
    for p0 in np.linspace(0, 1 - margin, 7):
        for p1 in np.linspace(p0 + margin, 1, 5):
            x = np.array([1 / w, 0.0, -1 / (1 - w), 0.0])
            chance = np.array([w * p1, w * (1 - p1), (1 - w) * p0, (1 - w) * (1 - p0)])
            step = chance @ np.exp(b.log_wins(margin, np.full(4, w), x))
            assert bool((step <= 1 + 1e-12).all())
            if p1 == p0 + margin:
                np.testing.assert_allclose(step, 1, atol=1e-12)


def test_capital_after_five_requests_has_expectation_one_by_enumeration():
    """With weights that ramp and react, at the margin: all 4^5 paths."""
    w = np.array([0.1, 0.1, 0.3, 0.3, 0.5])
    p0, margin = 0.2, 0.1
    whole = 0.0
    for path in itertools.product(range(4), repeat=5):
        z, y = np.array(path) % 2 == 1, np.array(path) // 2
        rate = np.where(z, p0 + margin, p0)
        chance = np.prod(np.where(z, w, 1 - w) * np.where(y == 1, rate, 1 - rate))
        state = b.bet_losses(b.bet_start(margin), y, z, w)
        whole += chance * math.exp(float(b.log_capital(state.log_k)))
    assert whole == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.3])
def test_a_pair_is_fair_at_the_margin(margin):
    for spread in np.linspace(0.01, 1 - margin, 6):
        d = np.array([margin + spread, margin - spread])
        step = np.exp(b.log_wins(margin, np.ones(2), d)).mean(axis=0)
        np.testing.assert_allclose(step, 1, atol=1e-12)


@given(outcomes, outcomes)
@settings(max_examples=50)
def test_workers_add_up_and_counts_say_the_same(x, y):
    whole = of(x + y)
    close(b.merge_bets(of(x), of(y)), whole)
    close(b.merge_bets(of(y), of(x)), whole)
    weights = [0.01, 0.1, 0.5]
    rows = x + y
    counted = b.bet_counts(
        b.bet_start(0.01),
        weights,
        [sum(w == v for w, *_ in rows) for v in weights],
        [sum(w == v and z and bad for w, z, bad in rows) for v in weights],
        [sum(w == v and not z and bad for w, z, bad in rows) for v in weights],
    )
    close(counted, whole)


def test_many_weights_in_one_batch_say_what_they_say_one_by_one():
    rng = np.random.default_rng(4)
    weights = np.linspace(0, 1, 40)
    bad, miss = rng.integers(0, 5, 40), rng.integers(0, 5, 40)
    requests = bad + miss + rng.integers(0, 50, 40)
    single = b.bet_start(0.01)
    for row in zip(weights, requests, bad, miss, strict=True):
        single = b.bet_counts(single, *([x] for x in row))
    close(b.bet_counts(b.bet_start(0.01), weights, requests, bad, miss), single)


def test_promotes_the_equal_and_not_the_worse():
    n, w = 200_000, 0.25
    equal = b.bet_counts(b.bet_start(0.005), [w], [n], [250], [750])
    worse = b.bet_counts(b.bet_start(0.005), [w], [n], [750], [750])
    verdict = b.bet_verdict(equal, 0.05)
    assert (verdict.decision, verdict.n, verdict.effect) == ("proven", n, pytest.approx(0.0))
    assert b.bet_verdict(worse, 0.05).decision == "undecided"


def test_low_traffic_never_promotes_and_weights_of_one_say_nothing():
    few = b.bet_counts(b.bet_start(0.005), [0.1], [100], [0], [0])
    assert b.bet_verdict(few, 0.05).decision == "undecided"
    nothing = b.bet_counts(b.bet_start(0.005), [0.0, 1.0], [10, 10], [0, 3], [2, 0])
    assert (nothing.n, b.bet_verdict(nothing, 0.05).because) == (0, "not enough evidence yet: no requests")


def test_pairs_need_fewer_rows():
    rng = np.random.default_rng(5)
    d = np.clip(rng.normal(-0.01, 0.05, 3000), -1, 1)
    verdict = b.bet_verdict(b.bet_pairs(b.bet_start(0.005), d), 0.05, unit="row")
    assert verdict.decision == "proven"
    assert b.bet_verdict(b.bet_pairs(b.superiority_start(), -d), 0.05).decision == "undecided"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: b.bet_start(0), "stats.margin"),
        (lambda: b.bet_start(-0.1), "stats.margin"),
        (lambda: b.merge_bets(b.bet_start(0.1), b.bet_start(0.2)), "stats.margin"),
        (lambda: b.bet_losses(b.bet_start(0.1), [1.5], [True], [0.1]), "stats.data"),
        (lambda: b.bet_losses(b.bet_start(0.1), [np.nan], [True], [0.1]), "stats.data"),
        (lambda: b.bet_losses(b.bet_start(0.1), [0.5], [True], [-0.1]), "stats.weight"),
        (lambda: b.bet_pairs(b.bet_start(0.1), [-1.5]), "stats.data"),
        (lambda: b.bet_counts(b.bet_start(0.1), [0.1], [1], [1], [1]), "stats.data"),
        (lambda: b.bet_counts(b.bet_start(0.1), [0.1], [1], [1], []), "stats.shape"),
        (lambda: b.bet_counts(b.bet_start(0.1), [0.1, 0.2], [1], [1], [0]), "stats.shape"),
        (lambda: b.bet_verdict(b.bet_start(0.1), 1), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
