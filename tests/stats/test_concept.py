"""Drift on a stream of losses: the promises computed, the batches free, river as the measure of behaviour."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from scipy import special

from millrace.base.errors import MillraceError
from millrace.stats import change_point as c
from millrace.stats import concept as d
from millrace.stats import moving_average as m
from millrace.stats.gamma import log_gamma
from millrace.stats.packing import pack, unpack

NULLS = [0.0, 0.02, 0.1, 0.3, 0.5, 0.9, 1.0]

losses = st.lists(st.floats(0, 1).map(lambda v: round(v, 2)), min_size=1, max_size=60)
cuts = st.lists(st.integers(0, 60), max_size=4)


def jump(seed, before=0.15, after=0.85, at=2000, rows=2400):
    rng = np.random.default_rng(seed)
    return (rng.random(rows) < np.where(np.arange(rows) < at, before, after)).astype(float)


def fed(start, update, x, cut, *more):
    state = start
    ends = [0, *sorted(min(i, len(x)) for i in cut), len(x)]
    for a, b in itertools.pairwise(ends):
        state = update(state, x[a:b], *(column[a:b] for column in more))
    return state


def same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@given(losses, cuts, st.randoms())
@settings(max_examples=40, deadline=None)
def test_how_rows_are_cut_into_calls_does_not_matter(x, cut, random):
    strata = [random.randrange(3) for _ in x]
    whole, parts = (fed(d.concept_start(50, 3), d.concept_update, x, k, strata) for k in ([], cut))
    same(whole._replace(start=0, lost_before=0), parts._replace(start=0, lost_before=0))  # ties may fall either way
    same(*(fed(c.change_start(0.1, "either"), c.change_update, x, k) for k in ([], cut)))
    same(*(fed(m.moving_start(), m.moving_update, x, k) for k in ([], cut)))


def test_log_gamma_is_scipys():
    x = np.concatenate([np.geomspace(1e-3, 1e9, 400), np.arange(1, 50) / 2])
    np.testing.assert_allclose(log_gamma(x), special.gammaln(x), rtol=1e-12, atol=1e-12)


def test_mixture_and_best_likelihood_are_scipys():
    total, n = np.array([0, 3, 7.5, 50, 0.0]), np.array([1, 10, 10, 50, 40])
    ours = c.log_mixture(total, n)
    np.testing.assert_allclose(ours, special.betaln(total + 0.5, n - total + 0.5) - math.log(math.pi), atol=1e-10)
    best = special.xlogy(total, total / n) + special.xlogy(n - total, 1 - total / n)
    np.testing.assert_allclose(c.log_best(total, n), best, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 1000, 30_000])
def test_the_mixture_costs_at_most_what_the_limit_reserves_for_it(n):
    """½ ln n + ln 2 beside the best likelihood, for whole and broken sums: what `upper_limit` rests on."""
    total = np.linspace(0, n, 401)
    assert float((c.log_best(total, n) - c.log_mixture(total, n)).max()) <= math.log(n) / 2 + math.log(2) + 1e-9


def test_shares_of_the_cuts_sum_to_less_than_one():
    s = np.arange(1, 3_000_001)
    rest = math.log(c.OFFSET) / math.log(s[-1] + c.OFFSET)  # the integral of what comes after
    assert float(np.exp(c.log_share(s)).sum()) + rest <= 1


@pytest.mark.slow
@pytest.mark.parametrize("side", ["rise", "either"])
def test_change_evidence_has_expectation_at_most_one_by_enumeration(side):
    """All 2^7 ways that seven losses can fall, and losses of three values, for every mean of a grid."""
    for values, chances in (
        ((0.0, 1.0), [(1 - p, p) for p in NULLS]),
        ((0.0, 0.5, 1.0), [((1 - p) ** 2, 2 * p * (1 - p), p**2) for p in NULLS]),
    ):
        rows = 7 if len(values) == 2 else 4
        paths = list(itertools.product(range(len(values)), repeat=rows))
        found = []
        for path in paths:
            state = c.change_update(c.change_start(0.1, side), [values[i] for i in path[:-1]])
            state = c.change_update(state._replace(peak=-math.inf), [values[path[-1]]])
            found.append(math.exp(state.peak))
        for chance in chances:
            weight = np.prod(np.array(chance)[np.array(paths)], axis=1)
            assert float(weight @ np.array(found)) <= 1 + 1e-12


def test_a_rows_factor_has_expectation_at_most_one():
    for limit in (0.01, 0.1, 0.5, 0.99):
        for p in [q for q in (*NULLS, limit) if q <= limit]:
            yes_no = d.factors(np.array([0.0, 1.0]), np.full(2, limit))
            assert bool((np.array([1 - p, p]) @ np.exp(yes_no) <= 1 + 1e-12).all())
            three = d.factors(np.array([0.0, 0.5, 1.0]), np.full(3, limit))
            assert bool((np.array([(1 - p) ** 2, 2 * p * (1 - p), p * p]) @ np.exp(three) <= 1 + 1e-12).all())


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.02, 0.15, 0.5, 0.9])
@pytest.mark.parametrize("delta", [0.1, 0.01])
def test_the_limit_lies_above_the_mean_at_all_times_by_dynamic_programming(p, delta):
    """The exact chance that the limit is below p at any of 600 rows: all counts of losses, no sampling."""
    alive, broken = np.array([1.0]), 0.0
    for n in range(1, 601):
        alive = np.append(alive * (1 - p), 0.0) + np.append(0.0, alive * p)
        below = d.upper_limit(np.full(n + 1, n), np.arange(n + 1), delta) < p
        broken += float(alive[below].sum())
        alive[below] = 0.0
    assert broken <= delta


def test_the_limit_is_no_wider_than_twice_what_is_needed():
    limit = d.upper_limit(1000, 150, 0.01)
    room = (math.log(200) + math.log(1000) / 2) / 1000
    entropy = 0.15 * math.log(0.15 / limit) + 0.85 * math.log(0.85 / (1 - limit))
    assert room - 1e-9 <= entropy <= 1.0001 * room


def test_false_alarms_are_rarer_than_promised():
    """`between` = 300, 200 streams of 900 rows: with one alarm in 300 rows at random 95 % of them would alarm."""
    rng = np.random.default_rng(3)
    ends = [d.concept_update(d.concept_start(300), rng.random(900) < 0.2).at for _ in range(200)]
    rows = np.array([at if at >= 0 else 900 for at in ends])
    assert rows.mean() >= 300 and np.mean(np.array(ends) >= 0) <= 0.5


@pytest.mark.slow
def test_change_point_keeps_its_rate_for_its_whole_life():
    """α = .1, 100 streams of 1,000 rows: 10 % and 2 binomial sd (6 %) at the most."""
    rng = np.random.default_rng(4)
    alarms = [c.change_update(c.change_start(0.1), rng.random(1000) < 0.1).at >= 0 for _ in range(100)]
    assert np.mean(alarms) <= 0.16


def test_detectors_find_a_jump_and_say_where_and_by_how_much():
    x = jump(0)
    for start, update, verdict, patience in (
        (d.concept_start(), d.concept_update, d.concept_verdict, 25),
        (c.change_start(), c.change_update, c.change_verdict, 40),
        (m.moving_start(), m.moving_update, m.moving_verdict, 30),
    ):
        state = update(start, x[: 2000 + patience])
        assert 2000 <= state.at < 2000 + patience
        found = verdict(state)
        assert (found.decision, found.unit, found.n) == ("alarm", "row", 2000 + patience)
        assert found.effect is not None and found.effect > 0.3
        later = update(state, np.zeros(500))
        assert verdict(later).decision == "alarm" and later.at == state.at
    assert abs(d.concept_update(d.concept_start(), x[:2025]).start - 2000).min() <= 3
    assert abs(c.change_update(c.change_start(), x[:2040]).cut - 2000) <= 3


def test_a_falling_loss_is_no_rise():
    x = 1 - jump(1)
    assert d.concept_update(d.concept_start(1000), x).at == -1
    assert c.change_update(c.change_start(0.1), x).at == -1
    assert c.change_update(c.change_start(0.1, "either"), x).at >= 2000


def test_strata_tell_an_error_where_the_model_was_sure():
    """The same number of errors: among sure rows they are news, among unsure ones they are usual."""
    rng = np.random.default_rng(5)
    sure = rng.random(4000) < 0.5
    x = (rng.random(4000) < np.where(sure, 0.02, 0.4)).astype(float)
    known = d.concept_update(d.concept_start(1000, 2), x, sure.astype(int))
    burst = np.array([1.0, 0.0] * 6)
    among_sure = d.concept_update(known, burst, np.ones(12, int))
    among_unsure = d.concept_update(known, burst, np.zeros(12, int))
    assert among_sure.log_m.max() > among_unsure.log_m.max() + 5
    assert d.concept_verdict(among_sure).decision == "alarm"


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_moving_average_alarms_at_rivers_row(seed):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.random(600) < 0.2, rng.random(200) < 0.2 + 0.06 * seed])
    theirs = drift.binary.HDDMW()
    row = -1
    for i, value in enumerate(x.tolist()):
        theirs.update(value)
        if theirs.drift_detected:
            row = i
            break
    assert m.moving_update(m.moving_start(), x.astype(float)).at == row


def test_beside_river_no_slower_than_adwin_and_silent_where_it_is_silent():
    """Four jumps: each detector's delay against ADWIN's; four steady streams: nobody alarms."""

    def adwin(x):
        theirs = drift.ADWIN()
        for i, value in enumerate(x.tolist()):
            theirs.update(value)
            if theirs.drift_detected and theirs.estimation > 0:
                return i
        return len(x)

    for seed in range(4):
        x = jump(seed)
        row = adwin(x)
        for found in (d.concept_update(d.concept_start(), x).at, c.change_update(c.change_start(), x).at):
            assert 2000 <= found <= row
        steady = jump(100 + seed, after=0.15)
        assert adwin(steady) == len(steady)
        assert d.concept_update(d.concept_start(), steady).at == c.change_update(c.change_start(), steady).at == -1


def test_states_survive_a_restart():
    for state in (
        d.concept_update(d.concept_start(100, 2), [0.5, 1.0], [0, 1]),
        c.change_update(c.change_start(), [0.5, 1.0]),
        m.moving_update(m.moving_start(), [0.5, 1.0]),
    ):
        same(unpack(type(state), pack(state)), state)


@pytest.mark.parametrize("x", [[], [0.0], [1.0], [0.0] * 500, [1.0] * 500, [0.3] * 500])
def test_few_and_constant_losses_are_neutral(x):
    for start, update, verdict in (
        (d.concept_start(), d.concept_update, d.concept_verdict),
        (c.change_start(), c.change_update, c.change_verdict),
        (m.moving_start(), m.moving_update, m.moving_verdict),
    ):
        found = verdict(update(start, x))
        assert found.decision == ("quiet" if x else "undecided")
        if not x:
            assert "not enough evidence yet" in found.because and found.effect is None


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: d.concept_start(0.05), "stats.alpha"),
        (lambda: d.concept_start(math.nan), "stats.alpha"),
        (lambda: d.concept_start(100, 0), "stats.shape"),
        (lambda: d.concept_update(d.concept_start(), [math.nan]), "stats.data"),
        (lambda: d.concept_update(d.concept_start(), [math.inf]), "stats.data"),
        (lambda: d.concept_update(d.concept_start(), [1.5]), "stats.data"),
        (lambda: d.concept_update(d.concept_start(), [[0.5]]), "stats.shape"),
        (lambda: d.concept_update(d.concept_start(), [0.5], [1]), "stats.data"),
        (lambda: d.concept_update(d.concept_start(), [0.5], [0, 0]), "stats.shape"),
        (lambda: c.change_start(0), "stats.alpha"),
        (lambda: c.change_update(c.change_start(), [-0.1]), "stats.data"),
        (lambda: m.moving_start(1.0), "stats.alpha"),
        (lambda: m.moving_start(0.01, 0.9), "stats.weight"),
        (lambda: m.moving_update(m.moving_start(), [math.nan]), "stats.data"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
