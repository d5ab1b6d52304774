"""Blocks are judged once, in order, in event time; what follows from them is a fact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from millrace.assemble import open_platform
from millrace.base.clock import DAY, HOUR
from millrace.base.errors import MillraceError
from millrace.monitoring import rules
from millrace.monitoring.records import Plan, Standing
from millrace.serving import labels
from millrace.store import tree as trees
from millrace.testing.blobs_suite import code_of
from millrace.tracking import tables as tracking_tables
from tests.monitoring.days import ORIGIN, ROWS, Days, bad, blunt, good


def test_a_day_is_measured_by_version(days: Days) -> None:
    days.write(0, {1: blunt}, {2: good}, lost=0.05)
    judged = days.judge(2)
    (told,) = judged.blocks
    assert told.rows == ROWS and told.champion == 1
    served, one, two = days.platform.call("monitor.windows", {"endpoint": "late"}).items
    assert (served.version, one.version, two.version) == (0, 1, 2)
    assert served.measures == one.measures
    assert one.rows == two.rows == ROWS and one.labelled + one.states["cancelled"] < ROWS
    assert one.measures.rows == one.labelled and one.coverage == pytest.approx(0.95, abs=0.04)
    assert two.measures.mean["brier"] < one.measures.mean["brier"]
    assert two.measures.auc is not None and one.measures.auc is not None
    assert two.measures.auc > one.measures.auc


def test_the_same_plan_again_is_no_fact(days: Days) -> None:
    asked = {"endpoint": "late", "tolerance": 0.02, "calendar_days": 0}
    plan, head = days.platform.call("monitor.watch", asked), days.platform.call("audit.head")
    assert days.platform.call("monitor.watch", asked) == plan
    assert days.platform.call("audit.head") == head


def test_a_day_waits_for_its_labels_and_is_judged_once(days: Days) -> None:
    days.write(0, {1: good})
    assert days.judge(1).blocks == ()
    assert len(days.judge(2).blocks) == 1
    assert days.judge(2).blocks == ()
    assert len(days.facts("monitor.judged")) == 1


def refusal(days: Days, until: int) -> str:
    return code_of(lambda: days.platform.call("monitor.judge", {"endpoint": "late", "until": until}))


def test_days_that_have_not_been_are_not_judged(tmp_path: Path) -> None:
    """A call that is early, or in another unit, is refused, and every later day is judged as without it."""
    told = []
    for asked in ((), (30 * DAY, 400 * DAY, (ORIGIN + DAY) * 999, 2**63 - 1 - ORIGIN)):
        platform = open_platform(tmp_path / str(len(asked)))
        try:
            days = Days(platform)
            nightly(days)
            ask = {"endpoint": "late", "pipeline": "nightly", "calendar_days": 5, "on_breach": False}
            platform.call("monitor.watch", ask)
            for day in range(8):
                days.write(day, {1: good}, rows=30)
                assert {refusal(days, ORIGIN + ahead) for ahead in asked} <= {"log.unsealed"}
                days.judge(day + 2)
            series = platform.call("monitor.series", {"endpoint": "late"})
            asked_for = [(fact.data["at"] - ORIGIN) // DAY for fact in days.facts("monitor.due")]
            told.append((platform.call("monitor.windows", {"endpoint": "late"}).items, series, asked_for))
        finally:
            platform.close()
    assert told[0] == told[1]
    assert len(told[0][1].judgements) == 8 and told[0][2] == [5]


def test_within_the_open_block_what_is_sealed_is_judged(days: Days) -> None:
    days.write(0, {1: good}, rows=30)
    days.platform.call("endpoint.advance", {"endpoint": "late", "until": ORIGIN + 2 * DAY + HOUR})
    judged = days.platform.call("monitor.judge", {"endpoint": "late", "until": ORIGIN + 2 * DAY + HOUR})
    assert judged.until == ORIGIN + 2 * DAY and len(judged.blocks) == 1


def test_a_row_of_another_time_changes_no_judgement(tmp_path: Path) -> None:
    """One in seconds before anything was sealed, and one after that and before the first block is judged."""
    told = []
    for rogue in (False, True):
        platform = open_platform(tmp_path / str(rogue))
        try:
            days = Days(platform)
            for day in range(4):
                days.write(day, {1: good}, rows=30)
                if rogue and day < 2:
                    days.write_at(1_362_168_000 - 40 * day * DAY, f"rogue{day}", {1: good})
                days.judge(day + 2)
            series = platform.call("monitor.series", {"endpoint": "late", "since": -(10**18)})
            told.append((platform.call("monitor.windows", {"endpoint": "late", "since": -(10**18)}).items, series))
        finally:
            platform.close()
    assert told[0] == told[1] and len(told[0][1].judgements) == 4


def test_outcomes_that_come_too_late_do_not_change_what_was_judged(days: Days) -> None:
    days.write(0, {1: good}, rows=40)
    late = {"ids": ["d0r0:0"], "event": [ORIGIN], "arrived": [ORIGIN + 3 * DAY], "values": [1.0]}
    days.platform.call("label.add", {"endpoint": "late", **late})
    days.judge(2)
    (served, _) = days.platform.call("monitor.windows", {"endpoint": "late"}).items
    assert served.labelled + sum(served.states.values()) == 39


def test_an_outcome_that_nothing_can_be_measured_on_is_left_out_and_counted(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door refuses it today; it may lie there from before."""
    days.write(0, {1: good}, rows=40)
    with monkeypatch.context() as older:
        older.setattr(labels, "LARGEST", 1e309)
        late = {"ids": ["d0r0:0"], "event": [ORIGIN], "arrived": [ORIGIN + 2 * DAY], "values": [1e308]}
        days.platform.call("label.add", {"endpoint": "late", **late})
    days.judge(2)
    (served, _) = days.platform.call("monitor.windows", {"endpoint": "late"}).items
    assert served.states["unfit"] == 1 and served.labelled + sum(served.states.values()) == 40


def test_what_came_too_late_is_counted_and_said(days: Days) -> None:
    """A correction, an outcome that had not come, and a repetition, which is neither; each once."""
    call = days.platform.call
    for day in range(3):
        days.write(day, {1: good}, rows=40, lost=0.3)
        days.judge(day + 2)
    series = call("monitor.series", {"endpoint": "late"})
    assert [one.late for one in series.judgements] == [0, 0, 0]
    with days.platform.ground.catalog.read() as tx:
        known = labels.read(tx, "main", "late", ORIGIN, ORIGIN + DAY)
    value = next(place for place, state in enumerate(known.state) if not state)
    absent = next(f"d1r{row}:0" for row in range(40) if f"d1r{row}:0" not in read_ids(days, 1))
    sent = {
        "ids": [known.id[value], absent, known.id[value - 1]],
        "event": [int(known.event[value]), ORIGIN + DAY, int(known.event[value - 1])],
        "arrived": [ORIGIN + 9 * DAY] * 3,
    }
    repeated, state = float(known.value[value - 1]), str(known.state[value - 1])
    values = [1.0 - float(known.value[value]), 1.0, None if state else repeated]
    call("label.add", {"endpoint": "late", **sent, "values": values, "states": ["", "", state]})
    days.write(3, {1: good}, rows=40)
    judged = days.judge(5)
    assert [((one.since - ORIGIN) // DAY, one.outcomes) for one in judged.late] == [(0, 1), (1, 1)]
    after = call("monitor.series", {"endpoint": "late"})
    assert [one.late for one in after.judgements] == [1, 1, 0, 0]
    assert after.judgements[0].verdicts == series.judgements[0].verdicts
    days.write(4, {1: good}, rows=40)
    assert days.judge(6).late == ()
    assert days.facts("monitor.judged")[-2].data["late"] == [
        {"since": ORIGIN, "outcomes": 1}, {"since": ORIGIN + DAY, "outcomes": 1}
    ]  # fmt: skip


def read_ids(days: Days, day: int) -> set[str]:
    with days.platform.ground.catalog.read() as tx:
        return set(labels.read(tx, "main", "late", ORIGIN + day * DAY, ORIGIN + (day + 1) * DAY).id)


def test_a_judgement_says_what_the_loss_was_held_to(days: Days) -> None:
    days.platform.call("monitor.watch", {"endpoint": "late", "reference_days": 3, "tolerance": 0.02})
    for day in range(5):
        days.write(day, {1: good}, rows=60)
        days.judge(day + 2)
    found = days.platform.call("monitor.series", {"endpoint": "late", "version": 1})
    first = found.curves[0].measures["brier"][:3]
    assert [one.reference for one in found.judgements[:2]] == [None, None]
    assert [one.reference for one in found.judgements[2:]] == pytest.approx([sum(first) / 3 + 0.02] * 3)
    days.platform.call("monitor.watch", {"endpoint": "late", "loss": 0.1, "tolerance": 0.05})
    days.write(5, {1: good}, rows=60)
    days.judge(7)
    assert days.platform.call("monitor.series", {"endpoint": "late"}).judgements[-1].reference == pytest.approx(0.15)


def test_many_days_at_once_are_the_same_as_one_by_one(days: Days) -> None:
    for day in range(12):
        days.write(day, {1: good}, rows=60)
    days.judge(13)
    together = days.platform.call("monitor.series", {"endpoint": "late"})
    assert len(together.judgements) == 12
    assert together.judgements[-1].verdicts.keys() == {"loss", "residual", "drift"}


def nightly(days: Days) -> None:
    """Register a pipeline of that name; it is never run here."""
    code = trees.make(days.platform.ground.blobs, {"program.py": b""})
    params = {"defaults": {"depth": 6}, "required": ["since", "until"]}
    days.platform.call("pipeline.register", {"name": "nightly", "code": code, "entry": "program:nightly", **params})


def test_a_mistyped_pipeline_is_refused_before_it_is_needed(days: Days) -> None:
    for known, hint in (((), "there are none yet"), ((nightly,), "did you mean 'nightly'?")):
        for register in known:
            register(days)
        with pytest.raises(MillraceError) as caught:
            days.platform.call("monitor.watch", {"endpoint": "late", "pipeline": "nightyl"})
        assert (caught.value.code, caught.value.hint) == ("pipeline.unknown", hint)
    assert days.platform.call("monitor.list").items == []


def test_parameters_that_the_pipeline_does_not_have_are_refused_with_the_plan(days: Days) -> None:
    nightly(days)
    ask = {"endpoint": "late", "pipeline": "nightly"}
    with pytest.raises(MillraceError, match="has no parameter 'dpth'") as caught:
        days.platform.call("monitor.watch", {**ask, "params": {"dpth": 1}})
    assert (caught.value.code, caught.value.hint) == ("pipeline.params", "did you mean 'depth'?")
    assert days.platform.call("monitor.list").items == []
    code = trees.make(days.platform.ground.blobs, {"program.py": b""})
    days.platform.call("pipeline.register", {"name": "blind", "code": code, "entry": "program:blind"})
    with pytest.raises(MillraceError, match="has no parameter 'since'"):
        days.platform.call("monitor.watch", {"endpoint": "late", "pipeline": "blind"})


@pytest.mark.parametrize("ended", ["refused", "cancelled", "failed", "running", "finished"])
@pytest.mark.parametrize("mended", [False, True])
def test_a_training_that_came_to_nothing_is_asked_for_again_once_the_plan_is_mended(
    days: Days, ended: Any, mended: bool
) -> None:
    nightly(days)
    call = days.platform.call
    ask = {"endpoint": "late", "pipeline": "nightly", "params": {"depth": -1}, "calendar_days": 4, "rest_days": 4}
    call("monitor.watch", ask)
    for day in range(8):
        days.write(day, {1: good}, rows=20)
        days.judge(day + 2)
        if day == 2:
            (due,) = days.facts("monitor.due")
            if ended != "refused":
                order(days, due.data, ended)
        if day == 3:
            call("monitor.watch", {**ask, "metric": "auc", "params": {"depth": 3 if mended else -1}})
    asked = [((fact.data["at"] - ORIGIN) // DAY, fact.data["params"]["depth"]) for fact in days.facts("monitor.due")]
    again = mended and ended in ("refused", "cancelled", "failed")
    busy = ended == "running"
    assert asked == [(4, -1), *([(6, 3)] if again else [] if busy else [(8, 3 if mended else -1)])]


def order(days: Days, asked: Any, state: Any) -> None:
    """What the loop would order, and how it ended."""
    fields = {name: asked[name] for name in ("pipeline", "params", "purpose")}
    made = days.platform.call("pipeline.run", fields)
    with days.platform.ground.catalog.read() as tx:
        run = tracking_tables.run(tx, "main", made.id)
    assert run is not None
    ended = structs.replace(run, state=state)
    days.platform.ground.catalog.write(lambda tx: tracking_tables.change_run(tx, "main", ended))


def test_a_breach_whose_training_failed_stands_when_the_plan_is_mended() -> None:
    plan = Plan("late", "lateness", "nightly", {"depth": -1})
    before = Standing("late", 0, 30 * DAY, fresh=5 * DAY)
    asked = rules.after_asking(plan, before, 30 * DAY)
    assert (asked.asked, asked.fresh) == (30 * DAY, 30 * DAY)
    for same in (plan, structs.replace(plan, tolerance=0.5)):
        assert rules.after_plan(asked, plan, same) == asked
    mended = rules.after_plan(asked, plan, structs.replace(plan, params={}))
    assert mended.last is not None and mended.last.changed
    assert rules.taken_back(mended) == before
    assert rules.after_plan(before, plan, structs.replace(plan, params={})) == before


@pytest.mark.slow
def test_a_champion_that_is_off_is_a_breach_and_trains_once(days: Days) -> None:
    nightly(days)
    days.platform.call(
        "monitor.watch",
        {"endpoint": "late", "pipeline": "nightly", "params": {"depth": 3}, "history_days": 30, "calendar_days": 0},
    )
    for day in range(16):
        days.write(day, {1: good}, shift=0.0 if day < 7 else 2.0)
        days.judge(day + 2)
    (fact,) = days.facts("monitor.breached")
    assert fact.data["pipeline"] == "nightly"
    assert fact.data["params"]["depth"] == 3
    assert fact.data["params"]["until"] - fact.data["params"]["since"] == 30 * DAY
    assert fact.data["purpose"]["challenger"] == "late" and fact.data["purpose"]["model"] == "lateness"
    assert fact.data["verdict"]["decision"] == "alarm" and fact.data["verdict"]["unit"] == "block"
    causes = [fact.data["cause"] for fact in days.facts("incident.opened")]
    assert fact.data["cause"] in causes and len(causes) == len(set(causes))


def test_the_calendar_asks_every_four_weeks(days: Days) -> None:
    nightly(days)
    ask = {"endpoint": "late", "pipeline": "nightly", "calendar_days": 10, "on_breach": False}
    days.platform.call("monitor.watch", ask)
    for day in range(25):
        days.write(day, {1: good}, rows=30)
        days.judge(day + 2)
    asked = [(fact.data["at"] - ORIGIN) // DAY for fact in days.facts("monitor.due")]
    assert asked == [10, 20]


def test_a_backlog_asks_for_one_challenger_with_its_newest_data_and_for_the_next_when_that_one_is_over(
    days: Days,
) -> None:
    """120 days are sealed at once, then 60 more beside the training, then one after it; the real loop follows."""
    nightly(days)
    call = days.platform.call
    call("monitor.watch", {"endpoint": "late", "pipeline": "nightly", "on_breach": False, "training": False})
    asked = []
    for begin, end in ((0, 120), (120, 180), (180, 181)):
        for day in range(begin, end, 5):
            days.write(day, {1: good}, rows=4)
        call("endpoint.advance", {"endpoint": "late", "until": ORIGIN + end * DAY})
        while days.platform.loop.turn():
            pass
        asked.append([(fact.data["at"] - ORIGIN) // DAY for fact in days.facts("monitor.due")])
        if end == 180:
            (run,) = call("run.search").items
            call("run.cancel", {"run": run.id})
    assert asked == [[120], [120], [120, 181]]


@pytest.mark.parametrize("kind", ["monitor.due", "run.finished", "version.registered"])
@pytest.mark.parametrize("endpoint", ["late", "early"])
def test_what_leads_to_a_challenger_is_under_way_until_the_loop_has_dealt_with_it(
    days: Days, kind: str, endpoint: str
) -> None:
    nightly(days)
    ask = {"endpoint": "late", "pipeline": "nightly", "calendar_days": 3, "rest_days": 3, "on_breach": False}
    days.platform.call("monitor.watch", ask)
    days.write(0, {1: good}, rows=4)
    days.judge(2)
    purpose = {"purpose": {"challenger": endpoint}}
    days.platform.ground.catalog.write(lambda tx: tx.fact("main", 0, "local", kind, "it", purpose))
    for day, followed in ((3, False), (4, False), (5, True)):
        days.write(day - 2, {1: good}, rows=4)
        days.judge(day, followed=followed)
    due = [(fact.data["at"] - ORIGIN) // DAY for fact in days.facts("monitor.due") if fact.subject == "late"]
    assert due == ([5] if endpoint == "late" else [3])


@pytest.mark.slow
def test_without_a_pipeline_nothing_is_trained(days: Days) -> None:
    for day in range(14):
        days.write(day, {1: bad}, rows=120)
        days.judge(day + 2)
    assert not days.facts("monitor.breached", "monitor.due")
    assert "residual" in [fact.data["cause"] for fact in days.facts("incident.opened")]


def test_lost_labels_are_an_incident_that_ends(days: Days) -> None:
    for day in range(10):
        days.write(day, {1: good}, lost=1.0 if day in (5, 6) else 0.0, rows=60)
        days.judge(day + 2)
    causes = [fact.data["cause"] for fact in days.facts("incident.opened")]
    assert causes.count("labels") == 1
    (over,) = (fact for fact in days.facts("incident.closed") if fact.data["cause"] == "labels")
    assert (over.data["opened"] - ORIGIN) // DAY == 5 and (over.data["closed"] - ORIGIN) // DAY == 8


def test_without_outcomes_the_incident_stands_until_it_is_closed_by_hand_or_they_come(days: Days) -> None:
    call = days.platform.call
    for day in range(25):
        days.write(day, {1: good}, lost=1.0, rows=2)
        days.judge(day + 2)
    (one,) = call("incident.list", {"endpoint": "late"}).items
    assert (one.cause, (one.opened - ORIGIN) // DAY, one.closed) == ("labels", 2, None)
    for day in range(25, 35):
        days.write(day, {1: good}, lost=0.0 if day < 29 else 0.6, rows=60)
        days.judge(day + 2)
        if day == 32:
            (two,) = call("incident.list", {"endpoint": "late", "open": True}).items
            call("incident.close", {"endpoint": "late", "number": two.number, "reason": "from now on fewer"})
    found = [i for i in call("incident.list", {"endpoint": "late"}).items if i.cause == "labels"]
    assert [((i.closed - ORIGIN) // DAY, i.outcome) for i in found] == [
        (33, "from now on fewer"),
        (26, "outcomes come"),
    ]


@pytest.mark.slow
def test_inputs_that_moved_are_an_incident_that_names_them(days: Days) -> None:
    for day in range(90):
        days.write(day, {1: good}, load_shift=0.0 if day < 75 else 3.0, rows=80)
        days.judge(day + 2)
    drifted = [fact for fact in days.facts("incident.opened") if fact.data["cause"] == "drift"]
    assert drifted and "load" in drifted[0].data["columns"]
    assert (drifted[0].data["opened"] - ORIGIN) // DAY >= 75


def test_a_canary_does_not_become_champion(days: Days) -> None:
    for day in range(4):
        days.write(day, {1: good, 2: good}, weights={2: 3_000})
        assert {told.champion for told in days.judge(day + 2).blocks} <= {1}
    days.write(4, {2: good})
    assert days.judge(6).blocks[0].champion == 2


def test_incidents_are_listed_and_closed_by_hand(days: Days) -> None:
    for day in range(14):
        days.write(day, {1: bad}, rows=120)
        days.judge(day + 2)
    call = days.platform.call
    found = call("incident.list", {"endpoint": "late", "open": True}).items
    assert found and all(incident.closed is None for incident in found)
    one = {"endpoint": "late", "number": found[0].number, "reason": "known"}
    assert call("incident.close", one).outcome == "known"
    with pytest.raises(MillraceError) as over:
        call("incident.close", one)
    assert over.value.code == "incident.over"
    with pytest.raises(MillraceError) as unknown:
        call("incident.close", {**one, "number": 99})
    assert unknown.value.code == "incident.unknown"


def test_a_plan_that_cannot_be_is_refused(days: Days) -> None:
    for wrong in ({"rest_days": -1}, {"reference_days": 1}):
        with pytest.raises(MillraceError) as fault:
            days.platform.call("monitor.watch", {"endpoint": "late", **wrong})
        assert fault.value.code == "watch.invalid"
    with pytest.raises(MillraceError) as unknown:
        days.platform.call("monitor.watch", {"endpoint": "lat"})
    assert unknown.value.code == "endpoint.unknown"
