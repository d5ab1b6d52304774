"""One number a window against its own season: seasons are no alarm, changes are, and nothing is decided too early."""

from __future__ import annotations

import math

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.stats import ALARM, QUIET, UNDECIDED, rate_of, season_start, season_update, volume_of
from millrace.stats.reference import DAY_US, HOUR_US


def expected(hour: int) -> float:
    return 1000 * (1.2 + math.sin(hour * math.tau / 24)) * (0.6 if hour // 24 % 7 > 4 else 1.0)


def hours(count: int, change: float = 1.0, since: int = 10**9):
    random, watch, verdicts = np.random.default_rng(1), season_start(HOUR_US), []
    for hour in range(count):
        rows = int(random.poisson(expected(hour) * (change if hour >= since else 1)))
        watch, verdict = season_update(watch, hour * HOUR_US, *volume_of(rows))
        verdicts.append(verdict)
    return watch, verdicts


def test_day_and_week_are_no_alarm():
    _, verdicts = hours(24 * 70)
    assert {v.decision for v in verdicts[: 24 * 21]} == {UNDECIDED}
    assert {v.decision for v in verdicts[24 * 22 :]} == {QUIET}
    z = np.array([v.effect for v in verdicts[24 * 30 :]])
    assert abs(z.mean()) < 0.2 and 0.5 < z.std() < 1.2


@pytest.mark.parametrize(("change", "within"), [(0.7, 4), (1.5, 3), (0.0, 2)])
def test_a_change_is_found_within_hours(change, within):
    since = 24 * 40
    _, verdicts = hours(since + 12, change, since)
    first = next(i for i, v in enumerate(verdicts) if v.decision == ALARM)
    assert since <= first < since + within
    assert np.sign(verdicts[first].effect) == np.sign(change - 1)
    assert {v.decision for v in verdicts[first + 1 :]} == {UNDECIDED}  # what follows belongs to the same alarm


def test_the_null_rate_of_a_column_that_never_had_any():
    watch = season_start()
    decisions = []
    for day in range(60):
        watch, verdict = season_update(watch, day * DAY_US, *rate_of(20 if day >= 55 else 0, 1000), what="null rate")
        decisions.append(verdict.decision)
    assert ALARM not in decisions[:55] and ALARM in decisions[55:58]


def test_bad_input_has_a_code_and_a_hint():
    watch, _ = hours(30)
    last = 29 * HOUR_US
    for code, call in (
        ("stats.time", lambda: season_update(watch, last, 1.0)),
        ("stats.time", lambda: season_update(watch, last + HOUR_US // 2, 1.0)),
        ("stats.time", lambda: season_start(HOUR_US // 12)),
        ("stats.data", lambda: season_update(watch, last + HOUR_US, math.nan)),
        ("stats.data", lambda: season_update(watch, last + HOUR_US, 1.0, -1.0)),
        ("stats.data", lambda: volume_of(-1)),
        ("stats.data", lambda: rate_of(3, 2)),
        ("stats.data", lambda: season_start(DAY_US, fleet=0)),
    ):
        with pytest.raises(MillraceError) as caught:
            call()
        assert caught.value.code == code and caught.value.hint
