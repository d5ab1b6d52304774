"""Sealing: blocks of event time close once, late rows are added, nothing is lost or doubled."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace.assemble import Platform, open_platform
from millrace.base.clock import DAY, HOUR
from millrace.base.errors import MillraceError
from millrace.serving import log, rules, tables
from millrace.serving.entry import Entry
from millrace.serving.log import Log
from millrace.serving.records import Endpoint, Logged
from tests.serving.entries import entry


def write(platform: Platform, delays: Endpoint, request: str, hours: list[float]) -> None:
    scores = [hour / 100 for hour in hours]
    log.logs(platform.ground).of("main", delays).append([entry(request, [int(hour * HOUR) for hour in hours], scores)])


def advance(platform: Platform, hours: float) -> Any:
    return platform.call("endpoint.advance", {"endpoint": "delays", "until": int(hours * HOUR)})


def ids(platform: Platform, since: float = -100, until: float = 100) -> list[str]:
    return [str(id) for id in log.window(platform.ground, "main", "delays", int(since * HOUR), int(until * HOUR)).id]


def test_a_block_closes_with_one_fact(platform: Platform, delays: Endpoint) -> None:
    assert advance(platform, 5).sealed is None
    write(platform, delays, "a", [0.5, 1.5])
    write(platform, delays, "b", [3.5])
    before = log.window(platform.ground, "main", "delays", 0, 9 * HOUR)
    done = advance(platform, 3.2)
    assert done.sealed == 3 * HOUR and [segment.rows for segment in done.segments] == [1, 1, 0]
    after = log.window(platform.ground, "main", "delays", 0, 9 * HOUR)
    for one, two in zip(before[:-1], after[:-1], strict=True):
        assert np.array_equal(one, two)
    assert {name: values.tolist() for name, values in after.inputs.items()} == {
        name: values.tolist() for name, values in before.inputs.items()
    }
    facts = [fact for fact in platform.call("audit.facts").items if fact.kind == "window.closed"]
    assert [(fact.data["since"], fact.data["rows"]) for fact in facts] == [(0, 1), (HOUR, 1), (2 * HOUR, 0)]
    assert facts[0].data["versions"] == {"arm": {"1": 1}}
    assert advance(platform, 3.9).segments == []


def test_a_late_row_is_a_further_part(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5, 2.5])
    advance(platform, 1)
    write(platform, delays, "late", [0.7])
    assert ids(platform) == ["a:0", "late:0", "a:1"]
    done = advance(platform, 2)
    assert [(segment.since, segment.part, segment.rows) for segment in done.segments] == [(0, 1, 1), (HOUR, 0, 0)]
    assert ids(platform) == ["a:0", "late:0", "a:1"]
    kinds = [fact.kind for fact in platform.call("audit.facts").items if fact.kind.startswith("window.")]
    assert kinds == ["window.closed", "window.amended", "window.closed"]


def test_a_sealed_request_is_still_found(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5, 1.5])
    advance(platform, 1)
    found = Log(platform.ground, "main", delays).find("a")  # half of it is sealed
    assert found is not None
    advance(platform, 2)
    for reader in (log.logs(platform.ground).of("main", delays), Log(platform.ground, "main", delays)):
        sealed = reader.find("a")
        assert sealed is not None and reader.find("b") is None


def test_what_another_process_sealed_is_found_there(platform: Platform, delays: Endpoint) -> None:
    other = Log(platform.ground, "main", delays)
    write(platform, delays, "a", [0.5])
    assert isinstance(other.find("a"), Entry)
    advance(platform, 1)
    other.reload()
    assert isinstance(other.find("a"), Logged)
    assert other.find("b") is None


def test_sealed_rows_can_be_searched(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5, 1.5])
    advance(platform, 2)
    told = platform.call("prediction.search", {"endpoint": "delays", "since": 0, "until": HOUR}).items
    assert [prediction.id for prediction in told] == ["a:0"]


def test_where_a_removed_tape_stood_is_forgotten(platform: Platform, delays: Endpoint) -> None:
    def held() -> set[str]:
        with platform.ground.catalog.read() as tx:
            return set(tables.positions(tx, "main", "delays"))

    def lying() -> set[str]:
        return {path.name for path in log.logs(platform.ground).of("main", delays).tapes()}

    for hour in range(3):
        write(platform, delays, f"r{hour}", [hour + 0.5])
        log.logs(platform.ground).of("main", delays).rotate()
        advance(platform, hour + 1)
    advance(platform, 4)
    advance(platform, 5)
    assert held() == lying() and ids(platform) == ["r0:0", "r1:0", "r2:0"]


def test_too_many_blocks_at_once_are_refused(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5])
    with pytest.raises(Exception, match="blocks would be closed"):
        advance(platform, 20_000)
    assert ids(platform) == ["a:0"]


def test_event_time_does_not_leap_over_years(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5])
    with pytest.raises(MillraceError, match=r"leap by 367 days .*, from 1970-01-01T.* to 1971-01-03T") as refused:
        advance(platform, 24 * 367.5)
    assert refused.value.code == "request.invalid" and "its own events" in refused.value.hint
    assert advance(platform, 24 * 366).sealed == 24 * 366 * HOUR
    write(platform, delays, "b", [24 * 700.5])
    assert advance(platform, 24 * 701).sealed == 24 * 701 * HOUR


def test_a_leap_out_of_the_calendar_is_told_too() -> None:
    with pytest.raises(MillraceError, match=r"from 1970-01-01T00:00:00Z to 4611686018427387904\b"):
        rules.check_leap("delays", 0, 1 << 62)


_BEGIN = 15_765 * 24  # hours from 1970 to 1 March 2013


@pytest.mark.parametrize(
    "rogue",
    [
        [1_362_168_000 / HOUR],  # seconds
        [1_362_168_000_000 / HOUR],  # milliseconds
        [-5 / HOUR],
        [-150_000 * 24, 0.0, 2_000_000 * 24],
        [_BEGIN - 300 * 24 * place for place in range(1, 40)],  # within a year of one another, one before the other
    ],
)
def test_no_row_keeps_event_time_from_going_on(platform: Platform, delays: Endpoint, rogue: list[float]) -> None:
    write(platform, delays, "rogue", rogue)
    for day in range(3):
        write(platform, delays, f"good{day}", [_BEGIN + 24 * day + hour for hour in (10.0, 12.0)])
        done = advance(platform, _BEGIN + 24 * (day + 1))
        assert done.sealed == (_BEGIN + 24 * (day + 1)) * HOUR
        assert [one.rows for one in done.segments[-14:]] == [1, 0, 1, *[0] * 11]
        told = [name for name in done.early if not name.startswith("good")]
        assert done.early == told and (bool(told) if day == 0 else not told)
    write(platform, delays, "again", rogue)
    assert all(name.startswith("again") for name in advance(platform, _BEGIN + 24 * 4).early)
    everything = ids(platform, -(10**9), 10**9)
    assert sorted(everything) == sorted(
        [*(f"good{day}:{row}" for day in range(3) for row in (0, 1)),
         *(f"{name}:{row}" for name in ("rogue", "again") for row in range(len(rogue)))]
    )  # fmt: skip
    before = platform.call("audit.facts", {"limit": 10_000}).items
    closed = [fact.data["since"] for fact in before if fact.kind == "window.closed"]
    assert closed == list(range(closed[0], closed[-1] + 1, HOUR)), "the blocks that are closed have no gap"


def test_a_lone_row_in_another_unit_is_told_with_its_time(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [1_362_168_000 / HOUR])
    with pytest.raises(MillraceError, match=r"would be closed at once, from 0 to ") as refused:
        advance(platform, _BEGIN)
    assert "microseconds" in refused.value.hint


@given(
    events=st.lists(st.integers(-60_000_000, 80_000_000), min_size=1, max_size=30),
    until=st.integers(-60_000_000, 80_000_000),
)
def test_a_log_begins_where_what_is_sealed_first_is_near(events: list[int], until: int) -> None:
    """Times in hours."""
    endpoint = Endpoint("delays", "1", "late", 0, block_s=3_600)
    known = np.array(events, np.int64) * HOUR
    if until <= min(events):
        return
    before = known[known < until * HOUR]
    silent = until - int(before.max()) // HOUR
    if silent >= 367 * 24:
        with pytest.raises(MillraceError):
            rules.first_block(endpoint, known, until * HOUR)
        return
    if silent > 366 * 24:
        return
    first = rules.first_block(endpoint, known, until * HOUR)
    assert until - first // HOUR <= rules.MOST_BLOCKS and first <= before.max()
    own = sorted(int(event) for event in before if event >= first)
    assert all(two - one <= 366 * DAY for one, two in itertools.pairwise(own))


@pytest.mark.parametrize("until", [1_500_000_000 * 10**9, 2**63 - 1])
def test_a_stamp_in_nanoseconds_is_refused_before_anything_is_made_of_it(
    platform: Platform, delays: Endpoint, until: int
) -> None:
    write(platform, delays, "a", [0.5])
    tracemalloc.start()
    try:
        with pytest.raises(MillraceError, match="blocks would be closed") as refused:
            platform.call("endpoint.advance", {"endpoint": "delays", "until": until})
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert refused.value.code == "request.invalid" and "microseconds" in refused.value.hint
    assert [segment.rows for segment in advance(platform, 1).segments] == [1]


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(
        st.one_of(st.lists(st.floats(0, 8), min_size=1, max_size=3), st.floats(0, 9)), min_size=1, max_size=12
    )
)
def test_no_order_of_answers_and_sealings_loses_a_row(
    acts: list[list[float] | float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    platform = open_platform(tmp_path_factory.mktemp("home"))
    try:
        platform.call("model.make", {"name": "late"})
        delays = platform.call("endpoint.make", {"name": "delays", "model": "late", "block_s": 3_600})
        written: list[str] = []
        for number, act in enumerate(acts):
            if isinstance(act, list):
                write(platform, delays, f"r{number}", act)
                written += [f"r{number}:{row}" for row in range(len(act))]
            else:
                advance(platform, act)
            assert sorted(ids(platform)) == sorted(written)
    finally:
        platform.close()


def test_coverage_counts_what_came_true(platform: Platform, delays: Endpoint) -> None:
    write(platform, delays, "a", [0.5, 1.5, 1.6])
    labels = {"ids": ["a:0", "a:1", "x:0"], "values": [1, None, 0], "states": ["", "cancelled", ""]}
    event = [int(hour * HOUR) for hour in (0.5, 1.5, 1.7)]
    platform.call("label.add", {"endpoint": "delays", **labels, "event": event, "arrived": event})
    found = platform.call("label.coverage", {"endpoint": "delays", "since": 0, "until": 2 * HOUR})
    assert (found.predictions, found.labelled, found.states) == (3, 1, {"cancelled": 1})
