"""The demo's flights: a year of real days without a false alarm, and seven faults found with the right name."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bench.drift_series import FAULTS, Series, flights
from millrace.stats import ALARM, QUIET, Drift, drift_start, drift_update, profile

DAY = 195  # of the year at which faults begin: mid-July


@cache
def series() -> Series:
    return flights()


@cache
def year() -> tuple[Drift, list[str]]:
    """The watch just before `DAY`, and every day's decision."""
    watch, kept, decisions = drift_start(series().cells), None, []
    for i, (start, window) in enumerate(series().windows()):
        kept = watch if i == DAY else kept
        watch, report = drift_update(watch, series().cells, start, window, quick=True)
        decisions.append(report.verdict.decision)
    assert kept is not None
    return kept, decisions


@pytest.mark.slow
def test_a_year_of_flights_raises_no_alarm():
    _, decisions = year()
    assert decisions.count(QUIET) > 300 and ALARM not in decisions


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_is_found_within_days_and_named_first(fault):
    column, change = FAULTS[fault]
    watch, _ = year()
    random = np.random.default_rng(DAY)
    named: tuple[str, ...] = ()
    for i in range(DAY, DAY + 7):
        rows = series().rows(i)
        change(rows, random)
        watch, report = drift_update(watch, series().cells, int(series().starts[i]), profile(rows, series().cells))
        if report.verdict.decision == ALARM:
            named = report.named
            break
    assert named[:1] == (column,)
