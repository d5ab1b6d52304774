"""Time as whole microseconds: text and back, zones, and the clocks themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.clock import SystemClock, from_datetime, from_iso, to_iso
from millrace.base.errors import MillraceError
from millrace.testing.clock import FakeClock

_LAST = 253_402_300_799_999_999  # the last microsecond of the year 9999


@given(st.integers(-62_135_596_800_000_000, _LAST))
def test_text_and_back_is_exact(at: int) -> None:
    assert from_iso(to_iso(at)) == at


@given(st.integers(0, _LAST // 2), st.integers(-14 * 60, 14 * 60))
def test_a_zone_changes_the_text_and_not_the_moment(at: int, minutes: int) -> None:
    stamp = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    assert from_iso(stamp.astimezone(timezone(timedelta(minutes=minutes))).isoformat()) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2013-03-01", 1_362_096_000_000_000),
        ("2013-03-01T12:00:00", 1_362_139_200_000_000),
        ("2013-03-01T07:00:00-05:00", 1_362_139_200_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_examples(text: str, at: int) -> None:
    assert from_iso(text) == at
    assert from_datetime(datetime.fromisoformat(text)) == at


def test_a_fraction_is_as_short_as_it_can_be() -> None:
    assert [to_iso(at) for at in (0, 500_000, 1)] == [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.5Z",
        "1970-01-01T00:00:00.000001Z",
    ]


@pytest.mark.parametrize("text", ["", "yesterday", "2013-02-30", "12:00", "2013-03-01T25:00:00Z"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(MillraceError) as caught:
        from_iso(text)
    assert (caught.value.code, caught.value.hint) == ("request.invalid", "write it as 2013-03-01T12:00:00Z")


def test_the_machines_clock_counts_microseconds() -> None:
    clock = SystemClock()
    before = datetime.now(UTC)
    now = clock.now()
    assert from_datetime(before) <= now + 1
    assert clock.monotonic() <= clock.monotonic()


def test_the_fake_clock_moves_when_it_is_told() -> None:
    clock = FakeClock(1_000)
    clock.advance(2_000_000)
    assert (clock.now(), clock.monotonic()) == (2_001_000, 2.0)
    clock.set(5)
    assert (clock.now(), clock.monotonic()) == (5, 2.0)
