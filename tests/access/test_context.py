"""What a verb may reach: its transaction and no other, one present, and what its process remembers."""

from __future__ import annotations

import threading

import pytest

from millrace.access.context import Context, Memory
from millrace.access.records import LOCAL
from millrace.assemble import Platform


def test_memory_makes_a_thing_once() -> None:
    memory, made, found = Memory(), [], []
    gate = threading.Barrier(8)

    def make() -> object:
        made.append(1)
        return object()

    def go() -> None:
        gate.wait()
        found.append(memory.keep(make, "room", "thing"))

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(thing) for thing in found}) == 1
    assert memory.keep(lambda: "other", "room", "other") == "other"


def test_a_verb_keeps_to_its_kind(home: Platform) -> None:
    heavy = Context(home.ground, LOCAL, "main")
    with pytest.raises(AssertionError, match="a work verb has no open transaction"):
        heavy.fact("run.started", "s")
    with pytest.raises(AssertionError, match="only a work verb commits by itself"):
        heavy.commit(lambda within: None)
    with heavy.read() as tx:
        reading = Context(home.ground, LOCAL, "main", tx)
        with pytest.raises(AssertionError, match="a reading transaction cannot write facts"):
            reading.fact("run.started", "s")
        with pytest.raises(AssertionError, match="an unlisted fact"):
            reading.fact("run.sarted", "s")
    assert heavy.actor == "local"
    assert heavy.new_id() < heavy.new_id()
