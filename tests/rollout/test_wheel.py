"""The loop turns the wheel by itself: from a trained run to a champion, and back; switched off it does not."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.base.clock import DAY
from millrace.store import tree as trees
from tests.monitoring.days import ORIGIN
from tests.rollout.replay import BLUNT, HARMFUL, TRUE, Formula, Replay, files


def turn(replay: Replay) -> None:
    while replay.platform.loop.turn():
        pass


def days(replay: Replay, count: int, **day: Any) -> None:
    """Event time passes; the loop does whatever follows."""
    for _ in range(count):
        replay.answer(**day)
        replay.advance()
        turn(replay)


def trained(replay: Replay, formula: Formula) -> int:
    """A run that was asked for as a challenger, as pipeline.run would leave it; its version's number."""
    purpose = {"challenger": "late", "model": "lateness", "because": "test", "until": replay.now}
    ask = {"experiment": "late", "params": {"until": replay.now}, "origin": {"purpose": purpose}}
    run = replay.platform.call("run.start", ask)
    number = len(replay.formulas) + 1
    replay.formulas[number] = formula
    tree = trees.make(replay.platform.ground.blobs, files(formula))
    replay.platform.call("run.finish", {"run": run.id, "outputs": {"model": tree}})
    turn(replay)
    assert replay.platform.call("model.versions", {"model": "lateness"}).items[-1].number == number
    return number


def champion(replay: Replay) -> int:
    aliases = replay.platform.call("model.get", {"model": "lateness"}).aliases
    return next((int(alias.number) for alias in aliases if alias.name == "champion"), 0)


def begin(replay: Replay) -> None:
    replay.platform.call("monitor.watch", {"endpoint": "late", "metric": "auc"})
    one = replay.register(BLUNT, params={"until": ORIGIN})
    replay.start(one)
    turn(replay)
    assert champion(replay) == one


@pytest.mark.slow
def test_a_better_challenger_becomes_champion_by_the_loop_alone(replay: Replay) -> None:
    begin(replay)
    days(replay, 8, rows=300)
    two = trained(replay, TRUE)
    assert replay.rollout().state == "shadow" and replay.rollout().policy.metric == "auc"
    days(replay, 25, rows=400)
    assert replay.rollout().state == "watching" and champion(replay) == two
    asked = {fact.kind for fact in replay.facts("loop.refused")}
    assert not asked, replay.facts("loop.refused")


@pytest.mark.slow
def test_without_its_rule_nobody_is_judged(replay: Replay) -> None:
    begin(replay)
    replay.platform.call("rule.switch", {"name": "judge-rollout", "enabled": False})
    days(replay, 2, rows=60)
    trained(replay, TRUE)
    days(replay, 12, rows=150)
    assert replay.rollout().state == "shadow" and champion(replay) == 1
    assert not replay.platform.call("rollout.get", {"endpoint": "late"}).evidence


@pytest.mark.slow
def test_a_version_that_goes_back_gives_the_name_back(replay: Replay) -> None:
    begin(replay)
    days(replay, 1, rows=60)
    two = replay.register(HARMFUL)
    policy = {"strategy": "all", "gate_days": 0, "watch_tolerance": 0.002}
    replay.platform.call("rollout.force", {"endpoint": "late", "number": two, "reason": "the fair", "policy": policy})
    replay.platform.call("model.move", {"model": "lateness", "alias": "champion", "number": two})
    days(replay, 12, rows=120)
    assert replay.rollout().state == "rolled_back" and champion(replay) == 1
    assert [arm.number for arm in replay.table().arms] == [1]
    (moved,) = (fact for fact in replay.facts("model.moved") if fact.actor == "loop" and fact.data["from"] == two)
    assert moved.data["to"] == 1


@pytest.mark.slow
def test_a_refused_challenger_is_told_and_the_next_may_come(replay: Replay) -> None:
    begin(replay)
    days(replay, 10, rows=200)
    trained(replay, HARMFUL)
    assert replay.rollout().state == "refused"
    (refused,) = replay.facts("loop.refused")
    assert refused.data["code"] == "gate.refused"
    trained(replay, TRUE)
    assert replay.rollout().state == "shadow"
    assert (replay.rollout().since - ORIGIN) // DAY == 10
