"""Versions on their way to serve, day by day: what is better is promoted, what is not is not, what harms goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millrace.assemble import open_platform
from millrace.base.clock import DAY
from millrace.base.errors import MillraceError
from millrace.testing.blobs_suite import code_of
from tests.monitoring.days import ORIGIN
from tests.rollout.replay import BLUNT, HARMFUL, TRUE, Replay


def begin(replay: Replay, formula: Any = BLUNT, days: int = 0) -> int:
    """The first version serves, for some days."""
    number = replay.register(formula, params={"until": ORIGIN})
    assert replay.start(number).state == "promoted"
    replay.run(days)
    return number


def kinds(replay: Replay) -> list[str]:
    return [fact.kind for fact in replay.facts(*_KINDS)]


_KINDS = (
    "gate.passed", "gate.refused", "rollout.started", "rollout.stepped", "rollout.promoted", "rollout.ended",
    "rollout.rolled_back", "rollout.confirmed", "rollout.forced",
)  # fmt: skip


def test_the_first_version_serves_everybody(replay: Replay) -> None:
    one = begin(replay)
    assert [(arm.number, arm.weight) for arm in replay.table().arms] == [(one, 10_000)]
    assert kinds(replay) == ["gate.passed", "rollout.started", "rollout.promoted"]
    (started,) = replay.facts("rollout.started")
    assert started.data["strategy"] == "all"
    (fact,) = replay.facts("rollout.promoted")
    assert fact.data["model"] == "lateness" and fact.data["number"] == one and fact.data["endpoint"] == "late"


def test_a_first_version_worse_than_the_base_rate_is_refused(replay: Replay) -> None:
    number = replay.register(HARMFUL)
    run = replay.platform.call("model.versions", {"model": "lateness"}).items[0].run
    started = replay.platform.call("run.start", {"experiment": "late"})
    assert run and started
    replay.platform.call("run.log", {"run": started.id, "metrics": {"test_brier": 0.4, "base_rate": 0.3}})
    tree = replay.platform.call("model.versions", {"model": "lateness"}).items[0].tree
    replay.platform.call("run.finish", {"run": started.id, "outputs": {"model": tree}})
    worse = replay.platform.call("model.register", {"model": "lateness", "run": started.id})
    assert worse.number == number + 1
    with pytest.raises(MillraceError) as fault:
        replay.start(worse.number)
    assert fault.value.code == "gate.refused" and fault.value.exit_code == 3
    (fact,) = replay.facts("gate.refused")
    assert fact.data["verdicts"]["base_rate"]["decision"] == "undecided"
    assert replay.rollout().state == "refused"


@pytest.mark.slow
def test_a_better_challenger_is_promoted_step_by_step(replay: Replay) -> None:
    one = begin(replay, days=10)
    two = replay.register(TRUE, params={"until": replay.now})
    assert replay.start(two, metric="auc", watch_days=5).state == "shadow"
    assert replay.table().shadows == (two,)
    replay.run(45, rows=400)
    done = replay.rollout()
    assert done.state == "promoted", done.because
    assert [arm.number for arm in replay.table().arms] == [two] and replay.table().shadows == ()
    assert kinds(replay)[3:] == [
        "gate.passed", "rollout.started", "rollout.stepped", "rollout.stepped", "rollout.promoted", "rollout.confirmed",
    ]  # fmt: skip
    stepped, again = replay.facts("rollout.stepped")
    better = stepped.data["verdicts"]["better"]
    assert better["decision"] == "proven" and better["unit"] == "block" and better["alpha"] == pytest.approx(0.025)
    assert stepped.data["verdicts"]["rows"]["unit"] == "row"
    assert (stepped.data["weight"], again.data["weight"]) == (1_000, 5_000)
    promoted = replay.facts("rollout.promoted")[1]
    assert promoted.data["verdicts"]["not_worse"]["decision"] == "proven"
    assert promoted.data["verdicts"]["assignment"]["decision"] == "quiet"
    shown = replay.platform.call("rollout.get", {"endpoint": "late"})
    assert all(one.since >= shown.rollout.trained_until for one in shown.evidence)
    assert {one.phase for one in shown.evidence} == {"shadow", "canary", "watching"}
    assert one != two


@pytest.mark.slow
def test_an_equal_challenger_is_not_promoted(replay: Replay) -> None:
    begin(replay, days=4)
    two = replay.register((-1.0, 1.1001, 0.0), params={"until": replay.now})
    replay.start(two, metric="auc", shadow_days=14)
    replay.run(15, rows=80)
    done = replay.rollout()
    assert done.state == "ended" and done.because == "no verdict after 14 days"
    assert replay.table().shadows == ()
    assert replay.facts("rollout.ended")[0].data["verdicts"]["better"]["decision"] == "undecided"


def test_without_labels_nobody_is_promoted(replay: Replay) -> None:
    begin(replay, days=4)
    two = replay.register(TRUE, params={"until": replay.now})
    replay.start(two, shadow_days=10)
    replay.run(12, rows=80, lost=1.0)
    done = replay.rollout()
    assert (
        done.state == "ended"
        and done.because == "no verdict after 10 days; 9 of 9 days left out: no row has an outcome and both scores"
    )
    assert done.verdicts["better"].n == 0


def test_days_that_have_not_been_move_no_rollout(tmp_path: Path) -> None:
    """Judging ahead of what is sealed is refused, and the challenger has all its days as without it."""
    told = []
    for ahead in (0, 60 * DAY):
        platform = open_platform(tmp_path / str(ahead))
        try:
            replay = Replay(platform)
            begin(replay, days=3)
            two = replay.register(TRUE, params={"until": replay.now})
            replay.start(two, shadow_days=28)
            for _ in range(5):
                if ahead:
                    assert refusal(replay, replay.now + ahead) == "log.unsealed"
                replay.run(1, rows=60)
            shown = platform.call("rollout.get", {"endpoint": "late"})
            told.append((shown.evidence, shown.rollout))
        finally:
            platform.close()
    assert told[0] == told[1]
    assert told[0][1].state == "shadow" and len(told[0][0]) == 4


def refusal(replay: Replay, until: int) -> str:
    return code_of(lambda: replay.platform.call("rollout.judge", {"endpoint": "late", "until": until}))


def test_rows_it_may_have_learned_from_are_no_evidence(replay: Replay) -> None:
    begin(replay, days=4)
    two = replay.register(TRUE, params={"until": replay.now + 6 * DAY})
    replay.start(two)
    replay.run(8, rows=80)
    shown = replay.platform.call("rollout.get", {"endpoint": "late"})
    assert [one.since for one in shown.evidence] == [replay.now - 2 * DAY]
    assert shown.rollout.state == "shadow"


def test_a_harmful_version_is_stopped_by_the_gate(replay: Replay) -> None:
    one = begin(replay, days=12)
    two = replay.register(HARMFUL)
    with pytest.raises(MillraceError) as fault:
        replay.start(two)
    assert fault.value.code == "gate.refused" and "force" in fault.value.hint
    (fact,) = replay.facts("gate.refused")
    assert fact.data["verdicts"]["worse"]["decision"] == "alarm" and fact.data["gate"]["rows"] > 1000
    assert [arm.number for arm in replay.table().arms] == [one]


def test_a_harmful_version_that_was_forced_is_rolled_back_by_labels(replay: Replay) -> None:
    one = begin(replay, days=3)
    two = replay.register(HARMFUL)
    call = replay.platform.call
    with pytest.raises(MillraceError) as fault:
        call("rollout.force", {"endpoint": "late", "number": two, "reason": " "})
    assert fault.value.code == "rollout.reason"
    forced = call("rollout.force", {"endpoint": "late", "number": two, "reason": "the fair"})
    assert forced.forced and forced.state == "watching"
    assert [arm.number for arm in replay.table().arms] == [two] and replay.table().shadows == (one,)
    replay.run(14, rows=120)
    assert replay.rollout().state == "rolled_back"
    assert [arm.number for arm in replay.table().arms] == [one] and replay.table().shadows == ()
    (back,) = replay.facts("rollout.rolled_back")
    assert back.data["to"] == one and back.data["forced"] and back.data["verdicts"]["loss"]["unit"] == "block"
    assert (back.data["at"] - ORIGIN) // DAY <= 14


def test_the_year_of_challengers_shares_alpha(replay: Replay) -> None:
    begin(replay, days=1)
    for k in (1, 2, 3):
        number = replay.register((-1.0, 1.1 + k / 1e4, 0.0), params={"until": replay.now})
        begun = replay.start(number, shadow_days=2)
        assert begun.challenger == k and begun.alpha == pytest.approx(0.05 / (k * (k + 1)))
        replay.run(2, rows=40)
        assert replay.rollout().state == "ended"


def test_one_rollout_at_a_time(replay: Replay) -> None:
    one = begin(replay, days=2)
    two, three = replay.register(TRUE), replay.register(BLUNT)
    replay.start(two)
    for number in (three, one):
        with pytest.raises(MillraceError) as fault:
            replay.start(number)
        assert fault.value.code == "rollout.busy"


def test_an_unapproved_version_does_not_get_to_the_gate(platform: Any) -> None:
    replay = Replay(platform, approvals=1)
    number = replay.register(TRUE)
    with pytest.raises(MillraceError) as fault:
        replay.start(number)
    assert fault.value.code == "version.unapproved"
    assert kinds(replay) == []


@pytest.mark.slow
def test_a_paused_rollout_waits_and_a_person_may_go_back(replay: Replay) -> None:
    one = begin(replay, days=3)
    two = replay.register(TRUE, params={"until": replay.now})
    replay.start(two, shadow_days=5)
    call = replay.platform.call
    call("rollout.pause", {"endpoint": "late", "reason": "holiday"})
    replay.run(8, rows=60)
    assert replay.rollout().state == "shadow" and replay.rollout().paused
    call("rollout.resume", {"endpoint": "late"})
    back = call("rollout.rollback", {"endpoint": "late", "reason": "not now"})
    assert back.state == "rolled_back" and [arm.number for arm in replay.table().arms] == [one]
    with pytest.raises(MillraceError) as fault:
        call("rollout.rollback", {"endpoint": "late", "reason": "again"})
    assert fault.value.code == "rollout.over"
    with pytest.raises(MillraceError) as unknown:
        call("rollout.get", {"endpoint": "late", "number": 99})
    assert unknown.value.code == "rollout.unknown"


def test_what_is_held_already_is_held_once_and_going_back_takes_a_reason(replay: Replay) -> None:
    begin(replay, days=1)
    replay.start(replay.register(TRUE, params={"until": replay.now}))
    call = replay.platform.call
    for verb, kind in (("rollout.pause", "rollout.paused"), ("rollout.resume", "rollout.resumed")):
        first = call(verb, {"endpoint": "late", "reason": "holiday"})
        assert call(verb, {"endpoint": "late", "reason": "again"}) == first
        assert len(replay.facts(kind)) == 1
    for asked, code in (({}, "request.invalid"), ({"reason": " "}, "rollout.reason")):
        with pytest.raises(MillraceError) as fault:
            call("rollout.rollback", {"endpoint": "late", **asked})
        assert fault.value.code == code
    assert replay.facts("rollout.rolled_back") == []
    assert call("rollout.rollback", {"endpoint": "late", "reason": "too soon"}).because.endswith("too soon")


def test_nobody_inherits_the_policy_of_what_was_forced(replay: Replay) -> None:
    number = replay.register(BLUNT, params={"until": ORIGIN})
    usual = replay.start(number, steps=(2_000, 6_000)).policy
    replay.run(1)
    call = replay.platform.call
    for more in ({"weight": 300}, {"policy": {"watch_days": 0, "alpha": 0.2}}):
        forced = call("rollout.force", {"endpoint": "late", "number": replay.register(TRUE), "reason": "r", **more})
        assert forced.policy != usual
        call("rollout.rollback", {"endpoint": "late", "reason": "r"})
    challenger = replay.register(TRUE, params={"until": replay.now})
    assert call("rollout.start", {"endpoint": "late", "number": challenger}).policy == usual


def test_a_promoted_version_can_be_taken_back(replay: Replay) -> None:
    one = begin(replay, days=2)
    two = replay.register(TRUE)
    replay.platform.call(
        "rollout.force", {"endpoint": "late", "number": two, "reason": "r", "policy": {"watch_days": 0}}
    )
    assert replay.rollout().state == "promoted"
    replay.platform.call("rollout.rollback", {"endpoint": "late", "reason": "r"})
    assert [arm.number for arm in replay.table().arms] == [one]


def test_a_policy_that_cannot_be_is_refused(replay: Replay) -> None:
    number = replay.register(BLUNT)
    for wrong in (
        {"steps": [5_000, 1_000]},
        {"steps": [10_000]},
        {"step_days": -1},
        {"error_rate": 1.0},
        {"error_margin": 1e3},
        {"gate_tolerance": -0.01},
        {"watch_tolerance": -0.01},
    ):
        with pytest.raises(MillraceError) as fault:
            replay.start(number, **wrong)
        assert fault.value.code == "policy.invalid"


@pytest.mark.slow
def test_the_same_events_lead_to_the_same_digest(replay: Replay, tmp_path: Any) -> None:
    from millrace.assemble import open_platform

    other = open_platform(tmp_path / "again")
    digests = []
    for one in (replay, Replay(other)):
        begin(one, days=3)
        number = one.register(TRUE, params={"until": one.now})
        one.start(number, metric="auc")
        one.run(6, rows=150)
        digests.append(one.platform.call("rollout.decisions", {"endpoint": "late"}))
    other.close()
    assert digests[0].digest == digests[1].digest
    assert len(digests[0].items) == len(digests[1].items) > 4


@pytest.mark.slow
def test_a_version_is_forced_beside_a_challenger_that_goes_on(replay: Replay) -> None:
    one = begin(replay, days=3)
    two, three = replay.register(TRUE, params={"until": replay.now}), replay.register(HARMFUL)
    replay.start(two, metric="auc")
    replay.platform.call("rollout.force", {"endpoint": "late", "number": three, "reason": "the fair"})
    assert [arm.number for arm in replay.table().arms] == [three] and set(replay.table().shadows) == {one, two}
    replay.run(12, rows=120)
    assert replay.rollout(3).state == "rolled_back"
    challenger = replay.rollout(2)
    assert challenger.state in ("shadow", "canary") and replay.table().arms[0].number == one
    (back,) = replay.facts("rollout.rolled_back")
    assert all(stepped.data["at"] >= back.data["at"] for stepped in replay.facts("rollout.stepped"))
    seen = replay.platform.call("rollout.get", {"endpoint": "late", "number": 2}).evidence
    assert (seen[0].since - ORIGIN) // DAY == 3 and len(seen) >= 10


def test_a_challenger_that_fails_in_the_shadow_ends_there(replay: Replay) -> None:
    one = begin(replay, days=1)
    two = replay.register(TRUE, params={"until": replay.now})
    replay.start(two)
    replay.fails = {two: 0.2}
    replay.run(3, rows=120)
    assert replay.rollout().state == "ended" and "failed on" in replay.rollout().because
    assert [arm.number for arm in replay.table().arms] == [one]
