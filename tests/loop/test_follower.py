"""Facts become calls, each exactly once, also when the follower dies between a call and its cursor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace.access.records import Caller
from millrace.assemble import Platform, open_platform
from millrace.base.errors import MillraceError
from millrace.loop import rules, tables
from millrace.loop.follower import Follower
from millrace.loop.records import Rule

ECHO = {"on": "experiment.made", "call": "run.start", "request": {"experiment": "$subject"}, "where": {}}

OPEN = {"name": "open", "on": "rule.switched", "call": "endpoint.make", "request": {"name": "late", "model": "late"}}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    yield opened
    opened.close()


def runs(platform: Platform) -> list[str]:
    return [run.experiment for run in platform.call("run.search").items]


def test_a_fact_becomes_a_call_by_the_loop(platform: Platform) -> None:
    platform.call("rule.set", {"name": "echo", **ECHO})
    platform.call("experiment.make", {"name": "flights"})
    assert platform.loop.turn() > 0
    assert runs(platform) == ["flights"]
    assert platform.call("run.search").items[0].actor == "loop"
    assert platform.loop.turn() > 0, "the run's own fact"
    assert platform.loop.turn() == 0


def test_a_rule_that_is_switched_off_does_nothing(platform: Platform) -> None:
    platform.call("rule.set", {"name": "echo", **ECHO})
    platform.call("rule.switch", {"name": "echo", "enabled": False})
    platform.call("experiment.make", {"name": "flights"})
    platform.loop.turn()
    assert runs(platform) == []


def test_a_rule_that_is_so_already_is_no_fact(platform: Platform) -> None:
    for verb, asked in (
        ("rule.set", {"name": "echo", **ECHO}),
        ("rule.switch", {"name": "echo", "enabled": False}),
        ("rule.switch", {"name": "name-champion", "enabled": True}),
    ):
        first, head = platform.call(verb, asked), platform.call("audit.head")
        assert platform.call(verb, asked) == first
        assert platform.call("audit.head") == head


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("after_the_call", [False, True])
def test_a_death_around_a_call_repeats_nothing_and_loses_nothing(platform: Platform, after_the_call: bool) -> None:
    platform.call("rule.set", {"name": "echo", **ECHO})
    platform.call("experiment.make", {"name": "flights"})

    def dying(*asked: Any) -> Any:
        if after_the_call:
            platform.call(*asked)
        raise Died

    with pytest.raises(Died):
        Follower(platform.ground, dying).turn()
    Follower(platform.ground, platform.call).turn()
    assert runs(platform) == ["flights"]


def test_a_refused_call_is_a_fact_and_the_loop_goes_on(platform: Platform) -> None:
    platform.call("rule.set", {"name": "wrong", **ECHO, "call": "run.get", "request": {"run": "$subject"}})
    platform.call("rule.set", {"name": "zz", **ECHO})
    platform.call("experiment.make", {"name": "flights"})
    platform.loop.turn()
    refused = [fact for fact in platform.call("audit.facts").items if fact.kind == "loop.refused"]
    assert [fact.data["code"] for fact in refused] == ["run.unknown"]
    assert runs(platform) == ["flights"]


def test_a_rule_gives_nobody_more_than_he_has(platform: Platform) -> None:
    """Neither by a verb that a token does not cover, nor by the loop's own rights in every workspace."""
    grant = {"name": "grow", "on": "experiment.made", "call": "actor.grant",
             "request": {"actor": "loop", "role": "admin", "workspace": "*"}}  # fmt: skip
    with pytest.raises(MillraceError, match="the loop may not call 'actor") as caught:
        platform.call("rule.set", grant)
    assert caught.value.code == "rule.invalid"
    with pytest.raises(MillraceError, match="do not cover it") as caught:
        platform.call("rule.set", {"name": "echo", **ECHO}, Caller("local", ("rule:*",)))
    assert caught.value.code == "access.denied"
    platform.ground.catalog.write(lambda tx: tables.put(tx, "main", Rule(**grant)))  # as one of an older release
    platform.call("experiment.make", {"name": "flights"})
    platform.loop.turn()
    assert [one.code for one in platform.call("loop.standing").refused] == ["access.denied"]


def test_only_who_may_roll_out_names_a_challenger(platform: Platform) -> None:
    asked = {"experiment": "boom", "origin": {"purpose": {"challenger": "late", "model": "late"}}}
    for scopes in (("run:write",), ("run:write", "model:write")):
        with pytest.raises(MillraceError) as caught:
            platform.call("run.start", asked, Caller("local", scopes))
        assert caught.value.code == "access.denied"
    rule = {"name": "r", "on": "experiment.made", "call": "run.start", "request": asked}
    with pytest.raises(MillraceError) as caught:
        platform.call("rule.set", rule, Caller("local", ("rule:*", "run:*")))
    assert caught.value.code == "access.denied"
    assert runs(platform) == []
    assert platform.call("run.start", asked).origin.purpose["challenger"] == "late"


def test_a_rule_that_feeds_itself_is_switched_off(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "ROUNDS", 5)
    platform.call("rule.set", {"name": "me", "on": "run.started", "call": "run.start", "request": ECHO["request"]})
    platform.call("run.start", {"experiment": "flights"})
    while platform.loop.turn():
        pass
    assert len(runs(platform)) == 1 + 5
    assert rules.rested({"a": 10, "b": 400}) == {"b": 390}, "others' facts do not hide it"
    assert [(one.rule, one.code) for one in platform.call("loop.standing").refused] == [("me", "rule.endless")]
    assert [rule.enabled for rule in platform.call("rule.list").items if rule.name == "me"] == [False]


def test_what_stays_refused_stands_until_it_is_made_good(platform: Platform) -> None:
    platform.call("rule.set", OPEN)
    platform.call("rule.set", {"name": "echo", **ECHO})

    sides = itertools.cycle((False, True))

    def switch() -> list[tuple[str, str, str, int]]:
        platform.call("rule.switch", {"name": "echo", "enabled": next(sides)})
        platform.loop.turn()
        return [(one.rule, one.subject, one.code, one.times) for one in platform.call("loop.standing").refused]

    assert switch() == [("open", "echo", "model.unknown", 1)]
    assert switch() == [("open", "echo", "model.unknown", 2)]
    platform.call("model.make", {"name": "late"})
    assert switch() == [] and platform.call("endpoint.get", {"endpoint": "late"}).endpoint.model == "late"
    told = [fact for fact in platform.call("audit.facts").items if fact.kind == "loop.recovered"]
    assert [(fact.subject, fact.data["times"]) for fact in told] == [("echo", 2)]


def test_a_rule_that_is_changed_owes_nothing(platform: Platform) -> None:
    platform.call("rule.set", OPEN)
    platform.call("rule.set", {"name": "echo", **ECHO})
    platform.call("rule.switch", {"name": "echo", "enabled": False})
    platform.loop.turn()
    assert len(platform.call("loop.standing").refused) == 1
    platform.call("rule.switch", {"name": "open", "enabled": False})
    assert platform.call("loop.standing").refused == []


@pytest.mark.slow
def test_settle_waits_for_the_thread(platform: Platform) -> None:
    platform.call("rule.set", {"name": "echo", **ECHO})
    platform.start()
    platform.call("experiment.make", {"name": "flights"})
    standing = platform.call("loop.settle", {"timeout_s": 30})
    assert standing.settled
    assert runs(platform) == ["flights"]


def test_settle_says_how_far_the_loop_is_when_nobody_runs_it(platform: Platform) -> None:
    with pytest.raises(MillraceError) as caught:
        platform.call("loop.settle", {"timeout_s": 0})
    assert caught.value.code == "loop.behind"


def test_a_rule_of_no_name_is_told_the_nearest(platform: Platform) -> None:
    with pytest.raises(MillraceError, match="judge-windw") as caught:
        platform.call("rule.switch", {"name": "judge-windw", "enabled": False})
    assert "judge-window" in caught.value.hint
