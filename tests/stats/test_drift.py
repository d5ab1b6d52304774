"""The watch for drift: what it finds, when it is neutral, what it refuses, and that it survives being stored."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.stats import ALARM, QUIET, UNDECIDED, drift_pack, drift_start, drift_unpack, drift_update, layout, profile
from millrace.stats.detector import e_values
from millrace.stats.drift import DAY_US, HOUR_US, Drift

NAMES = ("a", "b", "c", "d")


def day(random, rows=400, shift=0.0, nulls=0.0, unseen=0.0):
    columns = {name: random.normal(size=rows) for name in NAMES}
    columns["b"] += shift
    columns["c"][random.random(rows) < nulls] = np.nan
    carrier = np.array(["aa", "bb", "cc"], object)[random.integers(0, 3, rows)]
    carrier[random.random(rows) < unseen] = "zz"
    return {**columns, "carrier": carrier}


@cache
def cells():
    return layout(day(np.random.default_rng(1), 20_000))


@cache
def seasoned(days: int = 70) -> Drift:
    random = np.random.default_rng(2)
    return drift_start(cells(), history=[(i * DAY_US, profile(day(random), cells())) for i in range(days)])


def follow(watch, days, **change):
    random = np.random.default_rng(3)
    reports = []
    first = watch.last_us // DAY_US + 1
    for i in range(days):
        watch, report = drift_update(watch, cells(), (first + i) * DAY_US, profile(day(random, **change), cells()))
        reports.append(report)
    return watch, reports


@pytest.mark.parametrize(
    ("change", "column", "within"),
    [({"shift": 0.6}, "b", 3), ({"nulls": 0.06}, "c", 3), ({"unseen": 0.06}, "carrier", 3), ({"rows": 400}, None, 0)],
)
def test_a_change_is_found_and_named_and_no_other(change, column, within):
    _, reports = follow(seasoned(), 10, **change)
    alarms = [(i, r) for i, r in enumerate(reports) if r.verdict.decision == ALARM]
    assert [r.named for _, r in alarms[:1]] == ([(column,)] if column else [])
    assert not alarms or alarms[0][0] < within
    assert all(r.verdict.decision in (ALARM, QUIET, UNDECIDED) and r.verdict.unit == "window" for r in reports)


def test_the_report_tells_effect_direction_and_what_could_be_seen():
    _, [report] = follow(seasoned(), 1, shift=-0.6, nulls=0.2)
    by = {c.name: c for c in report.columns}
    assert by["b"].direction == pytest.approx(-0.6, abs=0.15)
    assert by["b"].psi == pytest.approx(0.36, abs=0.12)
    assert by["carrier"].direction is None
    assert by["c"].moved.startswith("missing 0 % → 2")
    for column in report.columns:
        whole, ranks, odd = e_values([column.p_immaterial, column.p_trend, column.p_unusual])
        assert column.e == pytest.approx(min((whole + ranks) / 2, odd), rel=1e-12)
        assert column.visible_sd is not None and 0.15 < column.visible_sd < 1
    assert by["b"].p_trend < by["b"].p_immaterial and by["carrier"].p_trend == by["carrier"].p_immaterial
    assert report.rows == 400 and report.reference_rows == pytest.approx(7 * 400)


def test_storing_changes_nothing():
    kept, straight = seasoned(), seasoned()
    for step in range(3):
        kept, mine = follow(drift_unpack(drift_pack(kept)), 1, shift=step / 4)
        straight, other = follow(straight, 1, shift=step / 4)
        assert mine == other
    assert drift_pack(kept) == drift_pack(straight)


def test_neutral_while_evidence_is_missing():
    watch = drift_start(cells())
    random = np.random.default_rng(4)
    for i in range(49):
        watch, report = drift_update(watch, cells(), i * DAY_US, profile(day(random, 100 if i % 9 else 0), cells()))
        assert report.verdict.decision in (UNDECIDED, QUIET)
        if report.rows == 0 or i < 14:
            assert report.verdict.decision == UNDECIDED and not report.columns


def test_wrong_input_has_a_code_and_a_hint():
    other = layout({"x": [1.0, 2.0]})
    some = profile(day(np.random.default_rng(5)), cells())
    watch = seasoned()
    cases = [
        ("stats.time", lambda: drift_update(watch, cells(), watch.last_us, some)),
        ("stats.time", lambda: drift_update(watch, cells(), watch.last_us + HOUR_US, some)),
        ("stats.time", lambda: drift_start(cells(), window_us=HOUR_US // 2)),
        ("stats.time", lambda: drift_start(cells(), window_us=5 * HOUR_US)),
        ("stats.time", lambda: drift_start(cells(), window_us=HOUR_US, against="year")),
        ("stats.shape", lambda: drift_update(watch, other, watch.last_us + DAY_US, some)),
        ("stats.shape", lambda: drift_update(watch, cells(), watch.last_us + DAY_US, profile({"x": [1.0]}, other))),
        ("stats.data", lambda: drift_start(cells(), against="usully")),
        ("stats.data", lambda: drift_start(cells(), against="training")),
        ("stats.data", lambda: drift_start(cells(), tolerance=float("nan"))),
        ("stats.data", lambda: drift_start(cells(), importance={"aa": 1.0})),
        ("stats.data", lambda: drift_start(cells(), fleet=0)),
        ("stats.state", lambda: drift_unpack(b"MRDR" + bytes(20))),
        ("stats.state", lambda: drift_unpack(drift_pack(watch)[:-9])),
    ]
    for code, call in cases:
        with pytest.raises(MillraceError) as caught:
            call()
        assert caught.value.code == code and caught.value.hint


def test_last_year_shows_growth_and_not_the_season():
    """Weeks whose mean swings by 1 sd over the year; the second year is like the first, the third lies higher."""
    random = np.random.default_rng(6)
    named = []
    with_season = layout({"x": random.normal(0, 1.5, 5000)})
    watch = drift_start(with_season, window_us=7 * DAY_US, against="year")
    for week in range(3 * 52):
        mean = np.sin(week * np.pi / 26) + 0.4 * (week >= 104)
        window = profile({"x": random.normal(mean, 1, 500)}, with_season)
        watch, report = drift_update(watch, with_season, week * 7 * DAY_US, window)
        if week < 52:
            assert report.verdict.decision == UNDECIDED
        if report.verdict.decision == ALARM:
            named.append(week)
    assert named and 104 <= named[0] <= 112


def test_training_data_never_forget():
    """A change that has become usual is still a difference from training."""
    random = np.random.default_rng(7)
    history = [(i * DAY_US, profile(day(random), cells())) for i in range(60)]
    watch, alarms = drift_start(cells(), against="training", history=history), 0
    assert watch.fixed == 60
    for i in range(80):
        watch, report = drift_update(watch, cells(), (100 + i) * DAY_US, profile(day(random, shift=0.5), cells()))
        alarms += report.verdict.decision == ALARM
        assert report.verdict.decision != ALARM or report.named == ("b",)
    assert alarms >= 8 and len(watch.starts) == 0


def test_a_tolerated_change_is_no_alarm():
    """0.04 in population stability: seen at 0.01, immaterial at 0.2, and scaled by importance."""
    for tolerance, importance, found in ((0.01, 1.0, True), (0.2, 1.0, False), (0.2, 10.0, True)):
        random = np.random.default_rng(8)
        watch = drift_start(cells(), tolerance=tolerance, importance={"b": importance}, history=[
            (i * DAY_US, profile(day(random, 3000), cells())) for i in range(60)
        ])  # fmt: skip
        _, reports = follow(watch, 6, shift=0.2, rows=3000)
        assert any(r.verdict.decision == ALARM for r in reports) is found


def test_odd_tables_never_break_a_verdict():
    """Constant, empty and infinite columns, a million categories, one row: finite numbers, and no alarm."""
    random = np.random.default_rng(9)

    def table(rows: int) -> dict[str, object]:
        return {
            "constant": np.full(rows, 3.0),
            "nothing": np.full(rows, np.nan),
            "infinite": np.where(random.random(rows) < 0.3, -np.inf, random.normal(size=rows)),
            "identity": np.array([f"u{i}" for i in random.integers(0, 1_000_000, rows)], object),
            "none": np.array([None] * rows, object),
            "words": np.array(["to be", "or not"], object)[random.integers(0, 2, rows)],
        }

    odd = layout(table(3000), {"words": "text"})
    watch = drift_start(odd)
    for i in range(60):
        rows = 1 if i == 55 else 300
        watch, report = drift_update(watch, odd, i * DAY_US, profile(table(rows), odd))
        assert report.verdict.decision != ALARM
        for column in report.columns:
            numbers = [column.statistic, column.psi, column.direction or 0, column.e, column.evidence]
            assert np.isfinite(numbers).all() and column.e > 0
            assert all(0 < p <= 1 for p in (column.p_immaterial, column.p_trend, column.p_unusual))
    empty = layout({})
    _, report = drift_update(drift_start(empty), empty, 0, profile({}, empty))
    assert report.verdict.decision == UNDECIDED


def test_missing_windows_are_no_error():
    watch = seasoned()
    for gap in (1, 3, 20, 60):
        watch, report = drift_update(watch, cells(), watch.last_us + gap * DAY_US, profile({}, cells()))
        assert report.verdict.decision == UNDECIDED
    assert drift_unpack(drift_pack(watch)).last_us == watch.last_us
