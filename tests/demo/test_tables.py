"""The streams of the demo: complete, in order, and never known before they could be."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from millrace.base.clock import HOUR, MINUTE, from_iso
from millrace.demo import tables

NEW_YORK = ZoneInfo("America/New_York")


def test_every_flight_is_one_question_and_has_one_outcome() -> None:
    flights, landings, departures = tables.flights(), tables.landings(), tables.departures()
    assert len(flights["id"]) == len(landings["id"]) == 336_776
    assert np.array_equal(np.sort(landings["id"]), flights["id"])
    states, counts = np.unique(landings["state"].astype(str), return_counts=True)
    assert dict(zip(states.tolist(), counts.tolist(), strict=True)) == {
        "cancelled": 8_255, "diverted": 1_175, "flown": 327_346,
    }  # fmt: skip
    assert np.array_equal(np.isnan(landings["late"]), landings["state"] != "flown")
    assert len(departures["id"]) == 336_776 - 8_255
    assert sum(tail is None for tail in flights["tailnum"]) == 2_512


def test_streams_are_in_the_order_in_which_they_are_known() -> None:
    for table, column in (
        (tables.flights(), "asked_at"), (tables.departures(), "departed"), (tables.landings(), "known_at"),
        (tables.weather(), "known_at"),
    ):  # fmt: skip
        assert table[column].dtype == np.int64
        assert np.all(np.diff(table[column]) >= 0)


def test_nothing_is_known_early() -> None:
    flights, departures, landings = tables.flights(), tables.departures(), tables.landings()
    assert np.array_equal(flights["asked_at"] + HOUR, flights["sched_dep"])
    assert np.array_equal(departures["departed"] - departures["sched_dep"], departures["dep_delay"] * MINUTE)
    departed = np.full(len(flights["id"]), -1)
    departed[departures["id"]] = departures["departed"]
    flown = landings["state"] == "flown"
    assert np.all(landings["known_at"][flown] > departed[landings["id"][flown]])
    assert np.array_equal(tables.weather()["known_at"] - tables.weather()["hour"], np.full(26_115, HOUR))


def test_local_columns_follow_new_yorks_clock_through_both_changes() -> None:
    flights = tables.flights()
    near = np.isin(flights["yearday"], (1, 68, 69, 70, 306, 307, 308, 365))
    rows = np.flatnonzero(near)[::37]
    assert len(rows) > 100
    for row in rows:
        clock = datetime.fromtimestamp(flights["sched_dep"][row] / 1e6, NEW_YORK)
        assert (clock.hour, clock.hour * 60 + clock.minute) == (flights["hour"][row], flights["minute"][row])
        assert (clock.month, clock.weekday(), clock.timetuple().tm_yday) == (
            flights["month"][row], flights["weekday"][row], flights["yearday"][row],
        )  # fmt: skip


def test_hours_share_the_streams_out_without_loss() -> None:
    first, last = from_iso("2013-03-10T00:00:00Z"), from_iso("2013-03-12T00:00:00Z")
    found = list(tables.hours(first, last))
    assert [hour.start for hour in found] == list(range(first, last, HOUR))
    asked = np.concatenate([hour.asked["id"] for hour in found])
    whole = tables.between(tables.flights(), "asked_at", first, last)
    assert np.array_equal(asked, whole["id"])
    for hour in found:
        for table, column in (
            (hour.asked, "asked_at"), (hour.departures, "departed"), (hour.landings, "known_at"),
            (hour.weather, "known_at"),
        ):  # fmt: skip
            assert np.all((table[column] >= hour.start) & (table[column] < hour.start + HOUR))
