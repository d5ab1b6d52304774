"""The simulated world is what it says it is, and the promises of `stats` hold in it."""

from __future__ import annotations

import numpy as np
import pytest

from millrace import stats
from millrace.base.errors import MillraceError
from millrace.testing.world import DAY_US, Incident, World, between, errors_of, failures_of, known, simulate


def made(seed=1, **changes):
    return simulate(World(**changes), np.random.default_rng(seed))


def test_the_same_seed_makes_the_same_world():
    one, two, other = made(3, users=50), made(3, users=50), made(4, users=50)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert len(one.event_us) != len(other.event_us) or not np.array_equal(one.event_us, other.event_us)


@pytest.mark.parametrize(
    "odd", [{"errors": -1}, {"season": 2}, {"season": 1}, {"ramp": ((0.0, 1.5),)}, {"rate_s": -1.0}, {"turned": np.nan}]
)
def test_a_world_that_cannot_be_is_refused(odd):
    with pytest.raises(MillraceError) as fault:
        made(**odd)
    assert fault.value.code == "stats.data" and next(iter(odd)) in fault.value.message and fault.value.hint


def test_rates_season_and_rest():
    t = made(days=28, rate_s=0.05, season=0.5, rest=0.4, errors=0.2)
    assert bool((np.diff(t.event_us) >= 0).all())
    day = (t.event_us - World().start_us) // DAY_US
    weekend = day % 7 >= 5
    ratio = weekend.mean() / 2 / ((~weekend).mean() / 5)
    assert ratio == pytest.approx(0.6, abs=0.03)
    hour = t.event_us // 3_600_000_000 % 24
    assert (hour == 12).sum() > 2.5 * (hour == 0).sum()
    assert t.failed.mean() == pytest.approx(t.chance.mean(), abs=0.01)
    assert t.chance.mean() == pytest.approx(0.2 * (1 + 0.5**2 / 2), abs=0.005)  # errors are worst when traffic is


def test_an_incident_is_common_to_both_arms():
    t = made(incidents=(Incident(0.5, 0.6, 10.0),), errors=0.01, ramp=((0.0, 0.5),), canary_ratio=2.0)
    inside = between(t, int(World().start_us + 0.5 * DAY_US), int(World().start_us + 0.6 * DAY_US))
    assert set(np.round(inside.chance, 9)) == {0.1, 0.2}
    assert set(np.round(t.chance, 9)) == {0.01, 0.02, 0.1, 0.2}


def test_sticky_users_keep_their_arm_while_the_weight_ramps():
    t = made(users=200, ramp=((0.0, 0.05), (0.3, 0.25), (0.6, 0.5)), rate_s=0.1)
    for user in range(200):
        arm = t.canary[t.user == user]
        assert bool((np.diff(arm.astype(int)) >= 0).all())  # onto the canary once, never back
    assert set(t.weight) == {0.05, 0.25, 0.5}


def test_labels_come_late_and_some_never():
    t = made(days=5, rate_s=0.05, label_h=24.0, unlabelled=0.2)
    never = t.arrived_us < 0
    assert never.mean() == pytest.approx(0.2, abs=0.02)
    hours = (t.arrived_us - t.event_us)[~never] / 3_600_000_000
    assert np.median(hours) == pytest.approx(24, rel=0.05)
    now = int(World().start_us + 2 * DAY_US)
    assert bool((known(t, now).arrived_us <= now).all()) and len(known(t, now).label) < len(t.label)


def test_a_days_shock_is_shared_and_a_drift_turns_labels():
    calm, shaken = (made(days=30, rate_s=0.02, shock=s) for s in (0.0, 0.6))
    effect = [stats.design_effect(stats.blocks_by_time(t.label - t.score, t.event_us)) for t in (calm, shaken)]
    assert effect[0] < 2 < 10 < effect[1]
    turned = made(days=2, rate_s=0.05, drift_day=1.0, turned=1.0)
    late = turned.event_us >= World().start_us + DAY_US
    wrong = (turned.score > 0.5) != turned.label
    assert wrong[late].mean() > 1.5 * wrong[~late].mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"incidents": (Incident(0.2, 0.3, 10.0),)},
        {"season": 0.8},
        {"ramp": ((0.0, 0.01), (0.25, 0.05), (0.5, 0.25), (0.75, 0.5))},
    ],
    ids=["flat", "incident", "season", "ramp"],
)
def test_the_guard_stays_silent_on_an_equal_canary(changes):
    """α = .025, 60 worlds of a day, a look a tenth: none expected at r0 = 1.5; 2 are 2.5 % and 2 binomial sd (4 %)."""
    alarms = 0
    for seed in range(60):
        t, guard = made(seed, rate_s=0.1, errors=0.02, **changes), stats.guard_start()
        for tenth in range(10):
            part = between(t, *(int(World().start_us + k * DAY_US / 10) for k in (tenth, tenth + 1)))
            guard = stats.guard_update(guard, errors_of(part))
        alarms += stats.guard_verdict(guard, 0.025).decision == stats.ALARM
    assert alarms <= 2


def test_counting_a_sticky_users_every_error_breaks_the_promise_and_first_errors_keep_it():
    """Users that fail very unevenly on an equal canary: 60 worlds, ten looks; 2 alarms are within the slack."""
    every, first = 0, 0
    for seed in range(60):
        t = made(seed, users=60, uneven=2.0, errors=0.05, rate_s=0.1, ramp=((0.0, 0.2),))
        by_request, by_unit, counted = stats.guard_start(), stats.guard_start(), {}
        for tenth in range(10):
            part = between(t, *(int(World().start_us + k * DAY_US / 10) for k in (tenth, tenth + 1)))
            by_request = stats.guard_update(by_request, errors_of(part))
            batch, entries = stats.first_errors(counted, failures_of(part))
            by_unit, counted = stats.guard_update(by_unit, batch), counted | entries
        every += stats.guard_verdict(by_request, 0.025).decision == stats.ALARM
        first += stats.guard_verdict(by_unit, 0.025, unit="unit").decision == stats.ALARM
    assert every >= 8 and first <= 2


def test_a_row_wise_sequence_alarms_on_shared_weather_and_blocks_do_not():
    """40 worlds of 30 days whose days have shocks of mean 0 on the residual: by rows most alarm, by days hardly any.

    α = .05: 2 of 40, and 2 binomial sd are 2.8; the shock's mean shift of the residual is within its tolerance.
    """
    by_rows, by_days = 0, 0
    for seed in range(40):
        t = made(seed, days=30, rate_s=0.01, shock=0.5)
        residual = t.label - t.score
        _, low, high = stats.asymptotic_sequence(residual, 0.05)
        by_rows += bool((low > 0).any() or (high < 0).any())
        by_days += stats.biased_by_blocks(stats.blocks_by_time(residual, t.event_us), 0.05).decision == stats.ALARM
    assert by_rows >= 20 and by_days <= 4
