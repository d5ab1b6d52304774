"""The prediction log: what was answered is there, once, in order of event time."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from msgspec import structs

from millrace.access.records import LOCAL
from millrace.assemble import Platform
from millrace.base.clock import SECOND
from millrace.base.errors import MillraceError
from millrace.serving import log, tape
from millrace.serving.entry import Entry, encode
from millrace.serving.log import Log
from millrace.serving.records import Endpoint
from millrace.testing.clock import FakeClock
from tests.serving.entries import entry


def test_a_window_holds_the_rows_of_its_event_time(platform: Platform, delays: Endpoint) -> None:
    writer = log.logs(platform.ground).of("main", delays)
    writer.append([entry("b", [30, 10], [0.3, 0.1]), entry("a", [20], [0.2])])
    found = log.window(platform.ground, "main", "delays", 10, 30)
    assert found.id.tolist() == ["b:1", "a:0"]
    assert found.score.tolist() == [0.1, 0.2]
    assert found.key.tolist() == ["b-1", "a-0"]
    assert found.inputs["hour"].tolist() == [1.0, 0.0]
    assert found.inputs["dest"].tolist() == ["LAX", "LAX"]
    assert found.role.tolist() == ["arm", "arm"] and found.weight.tolist() == [10_000, 10_000]


def test_a_failed_row_has_no_score(platform: Platform, delays: Endpoint) -> None:
    log.logs(platform.ground).of("main", delays).append([entry("a", [1, 2], [0.5, float("nan")], faults=(1,))])
    found = log.window(platform.ground, "main", "delays", 0, 9)
    assert found.failed.tolist() == [False, True]
    assert np.isnan(found.score[1])


def test_another_process_sees_what_was_answered(platform: Platform, delays: Endpoint) -> None:
    one, two = Log(platform.ground, "main", delays), Log(platform.ground, "main", delays)
    one.append([entry("a", [1], [0.5])])
    found = two.find("a")
    assert isinstance(found, Entry) and found.request == "a"
    assert two.find("b") is None
    two.append([entry("b", [2], [0.6])])
    assert isinstance(one.find("b"), Entry)
    assert log.window(platform.ground, "main", "delays", 0, 9).id.tolist() == ["a:0", "b:0"]


def test_a_request_answered_by_two_processes_counts_once(platform: Platform, delays: Endpoint) -> None:
    for writer in (Log(platform.ground, "main", delays), Log(platform.ground, "main", delays)):
        writer.append([entry("a", [1], [0.5])])
    assert log.window(platform.ground, "main", "delays", 0, 9).id.tolist() == ["a:0"]


def test_an_id_that_a_client_chose_is_written_once(platform: Platform, delays: Endpoint) -> None:
    """Both processes looked before either wrote: the one that writes first has answered."""
    one, two = Log(platform.ground, "main", delays), Log(platform.ground, "main", delays)
    assert one.find("a") is None and two.find("a") is None
    first, second, other = (
        structs.replace(entry(request, [1], [score]), body=body)
        for request, score, body in (("a", 0.5, b"one"), ("a", 0.6, b"two"), ("b", 0.7, b"two"))
    )
    assert one.append([first]) == set()
    assert two.append([second, other]) == {"a"}
    assert two.append([second]) == {"a"} and one.append([first]) == {"a"}
    assert [item.body for item in one.tail({})[0] if item.request == "a"] == [b"one"]
    for reader in (one, two, Log(platform.ground, "main", delays)):
        found = reader.find("a")
        assert isinstance(found, Entry) and found.body == b"one"
        assert isinstance(reader.find("b"), Entry)


def test_a_tape_that_its_writer_does_not_hold_yet_is_read(platform: Platform, delays: Endpoint) -> None:
    one, two = Log(platform.ground, "main", delays), Log(platform.ground, "main", delays)
    made = one.folder / "0.tape"
    made.touch()
    os.utime(one.folder, (1, 1))  # long ago, so that the folder need not be listed again
    assert two.find("a") is None
    writer = tape.Tape(one.folder.parent / "written")
    writer.append([encode(entry("a", [1], [0.5]))])
    writer.close()
    made.write_bytes(writer.path.read_bytes())
    assert isinstance(two.find("a"), Entry)


def test_an_unknown_endpoint_names_the_nearest(platform: Platform, delays: Endpoint) -> None:
    with pytest.raises(MillraceError, match="delay") as fault:
        log.window(platform.ground, "main", "delay", 0, 9)
    assert fault.value.code == "endpoint.unknown" and "delays" in fault.value.hint


def test_an_endpoint_is_made_once(platform: Platform, delays: Endpoint) -> None:
    with pytest.raises(MillraceError) as fault:
        platform.call("endpoint.make", {"name": "delays", "model": "late"}, LOCAL)
    assert fault.value.code == "endpoint.exists"
    assert [found.name for found in platform.call("endpoint.list").items] == ["delays"]
    with pytest.raises(MillraceError) as odd:
        platform.call("endpoint.make", {"name": "odd", "model": "late", "block_s": 50_000})
    assert odd.value.code == "request.invalid"


def test_room_is_looked_for_once_a_second_and_again_once_an_answer_found_none(
    platform: Platform, delays: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    writer, looks, full = Log(platform.ground._replace(clock=clock), "main", delays), [0], [False]
    check, append = tape.Tape.check, tape.Tape.append

    def look(one: tape.Tape, room: int) -> None:
        looks[0] += 1
        if full[0]:
            raise OSError(errno.ENOSPC, "no room")
        check(one, room)

    def write(one: tape.Tape, bodies: list[bytes]) -> list[tape.Frame]:
        if full[0]:
            raise OSError(errno.ENOSPC, "no room")
        return append(one, bodies)

    monkeypatch.setattr(tape.Tape, "check", look)
    monkeypatch.setattr(tape.Tape, "append", write)
    for _ in range(3):
        writer.check()
    assert looks == [1]
    clock.advance(SECOND)
    writer.check()
    assert looks == [2]
    full[0] = True
    writer.check()  # within the second nobody knows yet
    with pytest.raises(MillraceError):
        writer.append([entry("a", [1], [0.5])])
    for _ in range(2):  # trouble is looked at anew each time, so that its end is seen at once
        with pytest.raises(MillraceError) as caught:
            writer.check()
        assert caught.value.code == "log.full"
    full[0] = False
    writer.check()
    writer.check()
    assert looks == [5]
