"""Burn rates: the workbook's own examples, additive over windows, and no page for one bad event in the night."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import burn as b

STEP = 5 * b.MINUTE_US
NOW = b.PERIOD_US


def steady(rate, per_window=1000, since=0, before=0.0):
    """Thirty days of base windows; bad at `rate` from `since` µs on, at `before` until then."""
    starts = np.arange(0, NOW, STEP)
    total = np.full(len(starts), per_window)
    return starts, total, np.round(total * np.where(starts >= since, rate, before)).astype(int)


@pytest.mark.parametrize(
    ("rate", "firing"),
    [(0.0, None), (0.0009, None), (0.001, "ticket"), (0.004, "ticket"), (0.006, "page"), (0.02, "page")],
)
def test_a_steady_burn_fires_what_the_workbook_says(rate, firing):
    budget = b.burn_rates(*steady(rate, 10_000), NOW, 0.999)
    assert budget.firing == firing
    assert all(rule.long == pytest.approx(rate / 0.001) for rule in budget.rules)
    assert budget.left == pytest.approx(1 - rate / 0.001, abs=1e-9)


def test_an_outage_pages_within_minutes_and_stops_when_it_is_over():
    hour = b.HOUR_US
    five = b.burn_rates(*steady(0.5, since=NOW - STEP), NOW, 0.999)
    assert five.firing == "page" and "burning" in five.because
    starts, total, bad = steady(0.5, since=NOW - hour)
    bad[starts >= NOW - 2 * STEP] = 0
    over = b.burn_rates(starts, total, bad, NOW, 0.999)
    fast = over.rules[0]
    assert fast.long > 14.4 and fast.short == 0 and not fast.fires


def test_low_traffic_needs_ten_events_or_proof():
    starts = np.arange(0, NOW, STEP)
    total = np.zeros(len(starts), int)
    total[-1] = 2
    bad = np.zeros(len(starts), int)
    bad[-1] = 1
    night = b.burn_rates(starts, total, bad, NOW, 0.99)
    assert night.rules[0].long == pytest.approx(50) and night.rules[0].at_least < 14.4
    assert not night.rules[0].fires and night.firing != "page"
    sure = b.burn_rates(starts, total, total, NOW, 0.999)  # two of two against one in a thousand: that is proof
    assert sure.rules[0].bad == 2 and sure.rules[0].fires


def test_windows_without_traffic_say_nothing():
    quiet = b.burn_rates([], [], [], NOW, 0.999)
    assert all(rule.long is None and rule.short is None for rule in quiet.rules)
    assert (quiet.firing, quiet.left, quiet.because) == (None, 1.0, "not enough evidence yet: no events")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60), st.integers(0, 400))
@settings(max_examples=50)
def test_burns_are_plain_sums_over_the_windows(counts, now_steps):
    starts = np.arange(len(counts)) * STEP
    total = np.array([max(c) for c in counts])
    bad = np.array([min(c) for c in counts])
    budget = b.burn_rates(starts, total, bad, now_steps * STEP, 0.99)
    for rule in budget.rules:
        inside = (starts >= now_steps * STEP - rule.long_us) & (starts < now_steps * STEP)
        if total[inside].sum():
            assert rule.long == pytest.approx(bad[inside].sum() / total[inside].sum() / 0.01)
            assert rule.at_least <= rule.long + 1e-12
        else:
            assert rule.long is None
        assert rule.bad == bad[inside].sum()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: b.burn_rates([0], [1], [2], NOW, 0.99), "stats.data"),
        (lambda: b.burn_rates([0], [1], [-1], NOW, 0.99), "stats.data"),
        (lambda: b.burn_rates([0], [1.5], [1], NOW, 0.99), "stats.data"),
        (lambda: b.burn_rates([0, 0], [1, 1], [0, 0], NOW, 0.99), "stats.time"),
        (lambda: b.burn_rates([-1], [1], [0], NOW, 0.99), "stats.time"),
        (lambda: b.burn_rates([0], [1, 1], [0], NOW, 0.99), "stats.shape"),
        (lambda: b.burn_rates([0], [1], [0], NOW, 1.0), "stats.weight"),
        (lambda: b.burn_rates([0], [1], [0], NOW, 0.99, 0.0), "stats.alpha"),
        (lambda: b.burn_rates([0], [1], [0], NOW, 0.99, pairs=()), "stats.time"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
