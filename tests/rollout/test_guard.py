"""The error guard acts on what was answered just now, without a label, a block or event time."""

from __future__ import annotations

from typing import Any

from tests.rollout.replay import BLUNT, TRUE, Replay


def force(replay: Replay, weight: int) -> tuple[int, int]:
    one = replay.register(BLUNT)
    replay.start(one)
    two = replay.register(TRUE)
    ask = {"endpoint": "late", "number": two, "reason": "a try", "weight": weight}
    replay.platform.call("rollout.force", ask)
    return one, two


def guard(replay: Replay) -> Any:
    return replay.platform.call("rollout.guard")


def arms(replay: Replay) -> list[tuple[int, int]]:
    return [(arm.number, arm.weight) for arm in replay.table().arms]


def test_a_canary_that_fails_is_rolled_back_at_once(replay: Replay) -> None:
    one, two = force(replay, 2_000)
    assert arms(replay) == [(one, 8_000), (two, 2_000)]
    assert guard(replay) == []
    replay.fails = {two: 0.5}
    replay.answer(rows=240)
    (back,) = guard(replay)
    assert back.state == "rolled_back" and arms(replay) == [(one, 10_000)]
    (fact,) = replay.facts("rollout.rolled_back")
    wall = fact.data["wall"]
    assert wall["requests"][str(one)] + wall["requests"][str(two)] == 240
    assert 0 < wall["errors"][str(two)] < wall["requests"][str(two)] and str(one) not in wall["errors"]
    assert wall["verdicts"]["errors"]["decision"] == "alarm" and wall["seconds"] is not None
    assert guard(replay) == []
    told = replay.platform.call("rollout.decisions", {"endpoint": "late"})
    assert all("wall" not in one.data for one in told.items)


def test_errors_that_both_share_are_no_reason(replay: Replay) -> None:
    one, two = force(replay, 5_000)
    replay.fails = {one: 0.3, two: 0.3}
    for _ in range(3):
        replay.answer(rows=240)
        assert guard(replay) == []
    assert arms(replay)[1] == (two, 5_000)


def test_a_version_without_control_is_held_to_the_objective(replay: Replay) -> None:
    one, two = force(replay, 10_000)
    replay.fails = {two: 0.01}
    replay.answer(rows=240)
    assert guard(replay) == []
    replay.fails = {two: 0.5}
    replay.answer(rows=240)
    (back,) = guard(replay)
    assert back.state == "rolled_back" and arms(replay) == [(one, 10_000)]
    (fact,) = replay.facts("rollout.rolled_back")
    assert fact.data["wall"]["verdicts"]["rate"]["decision"] == "alarm"


def test_a_restart_counts_the_same_answers_again(replay: Replay) -> None:
    from millrace.assemble import open_platform

    one, two = force(replay, 2_000)
    replay.fails = {two: 0.5}
    replay.answer(rows=240)
    folder = replay.platform.ground.folder
    replay.platform.close()
    again = open_platform(folder)
    try:
        (back,) = again.call("rollout.guard")
        assert back.state == "rolled_back" and back.champion == one
    finally:
        again.close()


def test_what_was_answered_before_the_canary_is_no_evidence(replay: Replay) -> None:
    one = replay.register(BLUNT)
    replay.start(one)
    replay.fails = {one: 0.9}
    replay.answer(rows=240)
    two = replay.register(TRUE)
    replay.platform.call("rollout.force", {"endpoint": "late", "number": two, "reason": "better", "weight": 1_000})
    replay.fails = {}
    replay.answer(rows=100)
    assert guard(replay) == [] and len(arms(replay)) == 2
