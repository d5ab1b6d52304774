"""One generation number in shared memory: who routes waits for every worker, and never for ever."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from millrace.assemble import Platform, open_platform
from millrace.serving import resident
from millrace.serving.board import Board
from millrace.serving.records import Endpoint
from millrace.serving.resident import Served

_DEADLINE_S = 60


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def two(number: int) -> dict[str, Any]:
    return {"endpoint": "delays", "arms": [{"number": number, "weight": 10_000}]}


def test_processes_tell_each_other() -> None:
    board = Board(2)
    board.report(0, 3)

    def work() -> None:
        board.report(1, 2)
        until = monotonic() + _DEADLINE_S
        while board.newest() < 4 and monotonic() < until:
            board.listen(1, 1)
        board.report(1, board.newest())

    worker = forked(work)
    while not board.behind(3):
        assert monotonic() and board.newest() == 0
    assert board.behind(3) == [worker]
    board.report(0, 4)
    board.announce(0, 4)
    assert board.wait(4, _DEADLINE_S) == []
    os.waitpid(worker, 0)


def test_an_earlier_announcement_takes_nothing_back() -> None:
    board = Board()
    board.announce(0, 7)
    board.announce(0, 6)
    assert board.newest() == 7


@pytest.mark.parametrize("places", [1, 3])
def test_who_is_absent_is_not_waited_for(places: int) -> None:
    board = Board(places)
    board.report(places - 1, 1)
    assert board.wait(2, 0) == [os.getpid()]
    board.leave(places - 1)
    assert board.wait(2, 0) == []


@pytest.mark.parametrize("places", [1, 2])
def test_a_bell_that_nobody_hears_never_blocks(places: int) -> None:
    board = Board(places)
    for number in range(100_000 if places > 1 else 10):
        board.ring(places - 1)
        assert number >= 0
    board.listen(places - 1, _DEADLINE_S)


@pytest.mark.parametrize(
    ("op", "ask"),
    [("endpoint.route", two(2)), ("rollout.force", {"endpoint": "delays", "number": 2, "reason": "a test"})],
)
def test_whatever_routes_waits_for_the_batch_under_way(
    platform: Platform, routed: Endpoint, op: str, ask: dict[str, Any]
) -> None:
    here = resident.resident(platform.ground)
    done = threading.Event()

    def route() -> None:
        platform.call(op, ask)
        done.set()

    def batch(served: Served) -> None:
        assert served.table.arms[0].number == 1
        caller.start()
        until = monotonic() + _DEADLINE_S
        while here.served("main", "delays").table.number == served.table.number:
            assert monotonic() < until, "the new table is not taken over"
        while resident.behind(platform.ground) != [os.getpid()]:  # a poll may see the table before it is announced
            assert monotonic() < until, "nobody is behind"
        assert platform.call("endpoint.get", {"endpoint": "delays"}).behind == [os.getpid()]
        assert not done.is_set()

    caller = threading.Thread(target=route)
    here.using("main", "delays", batch)
    caller.join(_DEADLINE_S)
    assert done.is_set() and resident.behind(platform.ground) == []


def test_a_worker_that_is_stuck_is_named(platform: Platform, routed: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "_REPORT_S", 0.05)
    here = resident.resident(platform.ground)
    told_behind = here.using("main", "delays", lambda served: platform.call("endpoint.route", two(2)).behind)
    assert told_behind == (os.getpid(),)
    facts = platform.call("audit.facts", {"limit": 100}).items
    told = [fact for fact in facts if fact.kind == "endpoint.behind"]
    assert [fact.data for fact in told] == [{"table": 2, "processes": [os.getpid()]}]
    assert platform.call("endpoint.route", two(1)).behind == ()


@pytest.mark.slow
def test_a_table_that_cannot_be_served_here_is_not_reported(
    platform: Platform, routed: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = resident.resident(platform.ground)
    before = here.served("main", "delays").table.number
    whole = resident.Resident._take_over
    monkeypatch.setattr(resident, "_REPORT_S", 0.05)
    monkeypatch.setattr(resident.Resident, "_take_over", lambda *_: False)
    assert platform.call("endpoint.route", two(2)).behind == (os.getpid(),)
    assert here.served("main", "delays").table.number == before
    monkeypatch.setattr(resident.Resident, "_take_over", whole)
    until = monotonic() + _DEADLINE_S
    while resident.behind(platform.ground):  # the poll tries again
        assert monotonic() < until
    assert here.served("main", "delays").table.number == before + 1


def test_what_another_process_routes_is_seen(platform: Platform, routed: Endpoint) -> None:
    here = resident.resident(platform.ground)
    before = here.served("main", "delays").table.number
    other = open_platform(platform.ground.folder)
    try:
        other.call("endpoint.route", two(2))
    finally:
        other.close()
    until = monotonic() + _DEADLINE_S
    while here.served("main", "delays").table.number == before:
        assert monotonic() < until
