"""Labels: late, corrected, never lost."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.errors import MillraceError
from millrace.pipelines import models
from millrace.serving import labels, log, tables
from millrace.serving.log import Log, logs
from millrace.serving.records import Endpoint, Labels
from tests.serving.entries import entry


def read(platform: Platform, since: int = 0, until: int = 100) -> Labels:
    with platform.ground.catalog.read() as tx:
        return labels.read(tx, "main", "delays", since, until)


def add(platform: Platform, **ask: object) -> None:
    platform.call("label.add", {"endpoint": "delays", **ask})


def test_labels_come_back_by_event_time(platform: Platform, delays: Endpoint) -> None:
    add(
        platform,
        ids=["b:0", "a:0", "c:0"],
        values=[1, 0, None],
        states=["", "", "cancelled"],
        event=[2, 1, 3],
        arrived=[9, 9, 9],
    )
    found = read(platform)
    assert found.id.tolist() == ["a:0", "b:0", "c:0"]
    assert found.value.tolist()[:2] == [0.0, 1.0] and np.isnan(found.value[2])
    assert found.state.tolist() == ["", "", "cancelled"]
    assert read(platform, 2, 3).id.tolist() == ["b:0"]
    assert read(platform, 50, 60).id.tolist() == []


def test_a_correction_supersedes(platform: Platform, delays: Endpoint) -> None:
    add(platform, ids=["a:0"], values=[1], event=[1], arrived=[5])
    add(platform, ids=["a:0"], states=["diverted"], event=[1], arrived=[7])
    add(platform, ids=["a:0"], values=[0], event=[1], arrived=[6])
    found = read(platform)
    assert found.state.tolist() == ["diverted"] and found.arrived.tolist() == [7]
    add(platform, ids=["a:0"], values=[0], event=[1], arrived=[7])
    assert read(platform).value.tolist() == [0.0]


@pytest.mark.parametrize(
    "odd",
    [
        {"ids": ["a:0"], "event": [1], "arrived": [1]},
        {"ids": ["a:0"], "values": [1], "states": ["cancelled"], "event": [1], "arrived": [1]},
        {"ids": ["a:0", "b:0"], "values": [1], "event": [1], "arrived": [1]},
        {"ids": ["a:0"], "values": [1], "event": [1, 2], "arrived": [1]},
        {"ids": ["a:0"], "values": [1], "arrived": []},
    ],
)
def test_odd_labels_are_refused(platform: Platform, delays: Endpoint, odd: dict[str, object]) -> None:
    with pytest.raises(MillraceError) as fault:
        add(platform, **odd)
    assert fault.value.code == "label.invalid"
    assert not len(read(platform).id)


def test_a_label_that_cannot_be_measured_is_refused(platform: Platform, delays: Endpoint) -> None:
    with pytest.raises(MillraceError, match="label of 'a:0' is 1e\\+308") as caught:
        add(platform, ids=["b:0", "a:0"], values=[1, 1e308], event=[1, 2], arrived=[3, 3])
    assert caught.value.code == "label.invalid" and not len(read(platform).id)


def test_two_classes_are_told_apart_by_0_and_1(platform: Platform, delays: Endpoint, request: Any) -> None:
    add(platform, ids=["early:0"], values=[2], event=[1], arrived=[3])  # nothing is served yet, so nothing is known
    request.getfixturevalue("routed")
    with pytest.raises(MillraceError, match="label of 'a:0' is 2, and late@1 tells two classes apart") as caught:
        add(platform, ids=["b:0", "a:0"], values=[1, 2], event=[1, 2], arrived=[3, 3])
    assert "send 1 where the outcome is" in caught.value.hint
    add(platform, ids=["b:0", "a:0"], values=[1, 0], event=[1, 1], arrived=[3, 3])
    assert read(platform).id.tolist() == ["a:0", "b:0", "early:0"]


DAY = 86_400_000_000


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_a_label_counts_at_its_predictions_time(
    platform: Platform, delays: Endpoint, sealed: bool, beside: bool
) -> None:
    """Whatever moment came with it, whoever answered, and wherever the answer lies by now."""
    writer = logs(platform.ground).of("main", delays)
    writer.append([entry("a", [10, DAY], [0.3, 0.1]), entry("b", [20], [0.2])])
    if sealed:
        platform.call("endpoint.advance", {"endpoint": "delays", "until": 2 * DAY})
    late = [9 * DAY, 9 * DAY, 20, 7 * DAY, 30]
    ids = ["a:0", "a:1", "b:0", "b:1", "odd"]
    asked = open_platform(platform.ground.folder) if beside else platform
    try:
        add(asked, ids=ids, values=[1, 0, 1, 1, 1], event=late, arrived=[10 * DAY] * 5)
    finally:
        if beside:
            asked.close()
    found = read(platform, 0, 10 * DAY)
    assert dict(zip(found.id, found.event.tolist(), strict=True)) == {
        "a:0": 10, "a:1": DAY, "b:0": 20, "b:1": 7 * DAY, "odd": 30,
    }  # fmt: skip
    covered = platform.call("label.coverage", {"endpoint": "delays", "since": 0, "until": 2 * DAY})
    assert (covered.predictions, covered.labelled) == (3, 3)


@pytest.mark.parametrize("given", [{}, {"event": []}])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_label_needs_no_event_time(
    platform: Platform, delays: Endpoint, sealed: bool, given: dict[str, list[int]]
) -> None:
    """Its prediction has one; one that is not logged is refused, and all that came with it."""
    logs(platform.ground).of("main", delays).append([entry("a", [10, DAY], [0.3, 0.1])])
    if sealed:
        platform.call("endpoint.advance", {"endpoint": "delays", "until": 2 * DAY})
    with pytest.raises(MillraceError, match="'b:0', 'a:2'") as caught:
        add(platform, ids=["a:0", "b:0", "a:2"], values=[1, 0, 1], arrived=[5 * DAY] * 3, **given)
    assert caught.value.code == "prediction.unknown" and len(read(platform, 0, 10 * DAY).id) == 0
    add(platform, ids=["a:0", "a:1"], values=[1, 0], arrived=[5 * DAY, 6 * DAY], **given)
    found = read(platform, 0, 10 * DAY)
    assert dict(zip(found.id, found.event.tolist(), strict=True)) == {"a:0": 10, "a:1": DAY}
    assert found.arrived.tolist() == [5 * DAY, 6 * DAY]


def test_event_times_leave_memory_and_stay_known(
    platform: Platform, delays: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_REMEMBERED", 3)
    writer = Log(platform.ground, "main", delays)
    for number in range(9):
        writer.append([entry(f"r{number}", [number, 100 + number], [0.3, 0.1])])
    assert len(writer._events) == 1
    ids = [f"r{number}:1" for number in range(9)]
    assert writer.events([*ids, "r8:2", "r0:2", "r8:" + "9" * 9_999], [5] * 12) == [*range(100, 109), None, None, None]


def test_the_writer_is_left_nothing_but_its_statements(
    platform: Platform, routed: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[str, bool]] = set()

    def watch(place: Any, name: str) -> None:
        real = getattr(place, name)

        def watched(*given: Any, **more: Any) -> Any:
            seen.add((name, threading.current_thread().name == "millrace-writer"))
            return real(*given, **more)

        monkeypatch.setattr(place, name, watched)

    for place, name in ((labels, "make"), (labels, "_pack"), (models, "read"), (tables, "newest_table")):
        watch(place, name)
    for turn in range(2):
        add(platform, ids=[f"a:{turn}"], values=[1], event=[1], arrived=[3])
    assert seen == {(name, False) for name in ("make", "_pack", "read", "newest_table")}


def test_what_another_process_routed_counts_at_once(platform: Platform, delays: Endpoint, request: Any) -> None:
    beside = open_platform(platform.ground.folder)
    try:
        add(beside, ids=["early:0"], values=[2], event=[1], arrived=[3])
        request.getfixturevalue("routed")
        for _ in range(2):
            with pytest.raises(MillraceError, match="tells two classes apart"):
                add(beside, ids=["a:0"], values=[2], event=[1], arrived=[3])
    finally:
        beside.close()


def test_an_endpoint_that_is_not_there_takes_no_labels(platform: Platform, delays: Endpoint) -> None:
    with pytest.raises(MillraceError) as caught:
        platform.call("label.add", {"endpoint": "delay", "ids": ["a:0"], "values": [1], "event": [1], "arrived": [1]})
    assert (caught.value.code, caught.value.hint) == ("endpoint.unknown", "did you mean 'delays'?")
