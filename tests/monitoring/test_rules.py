"""The rules of monitoring, by property and by table."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.clock import DAY, SECOND
from millrace.monitoring import rules
from millrace.monitoring.outcomes import measures
from millrace.monitoring.records import Block, Incident, Measures, Plan, Standing
from millrace.stats.verdict import ALARM, QUIET, Verdict

PLAN = Plan("late", "lateness", "nightly")
ALARMED = {
    "loss": Verdict(claim="c", unit="block", n=9, statistic=99.0, bound=20.0, alpha=0.05, decision=ALARM, because="b")
}
CALM = {
    "loss": Verdict(claim="c", unit="block", n=9, statistic=1.0, bound=20.0, alpha=0.05, decision=QUIET, because="b")
}


def block(day: int, rows: int = 100, labelled: int = 90, **states: int) -> Block:
    return Block(0, day * DAY, (day + 1) * DAY, rows, 0, labelled, states, Measures())


@given(
    judged=st.integers(0, 50),
    until=st.integers(0, 90),
    origin=st.integers(-5, 60),
    size=st.sampled_from([3600, 86_400]),
)
def test_due_blocks_are_whole_mature_and_in_a_row(judged: int, until: int, origin: int, size: int) -> None:
    due = rules.due_blocks(judged * DAY, until * DAY, origin=origin * DAY, block_s=size, maturity_s=86_400)
    assert all(end - since == size * SECOND and (since - origin * DAY) % (size * SECOND) == 0 for since, end in due)
    assert all(end + DAY <= until * DAY and since >= judged * DAY for since, end in due)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(due))
    if until > judged + 2:
        assert due and due[-1][1] + DAY + size * SECOND > until * DAY


def test_of_very_many_due_blocks_the_first_are_made_alone() -> None:
    all_of_them = {"origin": 0, "block_s": 3600, "maturity_s": 86_400}
    few = rules.due_blocks(DAY, 9 * DAY, **all_of_them, most=3)
    assert few == rules.due_blocks(DAY, 9 * DAY, **all_of_them)[:3]
    assert rules.due_blocks(DAY, 2**63 - 1, **all_of_them, most=3) == few


@given(before=st.integers(0, 3), answered=st.dictionaries(st.integers(1, 4), st.integers(1, 50), max_size=4))
def test_a_champion_answers_most_rows_or_is_the_one_before(before: int, answered: dict[int, int]) -> None:
    found = rules.champion_of(before, answered)
    if found != before:
        assert before == 0 or answered[found] >= rules.TAKES_OVER * sum(answered.values())
        assert answered[found] == max(answered.values())


@pytest.mark.parametrize(
    ("standing", "day", "verdicts", "under_way", "expected"),
    [
        (Standing("late", 0, 0), 27, CALM, False, None),
        (Standing("late", 0, 0), 28, CALM, False, ("calendar", "28 days")),
        (Standing("late", 0, 0), 40, CALM, True, None),
        (Standing("late", 0, 0), 3, ALARMED, False, ("breach", "loss")),
        (Standing("late", 0, 0), 3, ALARMED, True, None),
        (Standing("late", 0, 0, asked=0), 3, ALARMED, False, None),
        (Standing("late", 0, 0, asked=0), 7, ALARMED, False, ("breach", "loss")),
        (Standing("late", 0, 0, asked=10 * DAY), 37, CALM, False, None),
        (Standing("late", 0, 0, asked=10 * DAY), 38, CALM, False, ("calendar", "28 days")),
    ],
)
def test_when_a_challenger_is_asked_for(
    standing: Standing, day: int, verdicts: Any, under_way: bool, expected: tuple[str, str] | None
) -> None:
    asked = rules.ask(PLAN, standing, day * DAY, verdicts, under_way)
    assert (asked and (asked.why, asked.cause)) == expected


@given(days=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_challengers_are_never_closer_than_the_rest_and_never_beside_another(days: list[tuple[bool, bool]]) -> None:
    standing = Standing("late", 0, 0)
    asked_on = []
    for day, (alarm, busy) in enumerate(days):
        asked = rules.ask(PLAN, standing, day * DAY, ALARMED if alarm else CALM, busy)
        if asked is not None:
            assert not busy
            asked_on.append(day)
            standing = Standing("late", 0, 0, asked=day * DAY)
    assert all(two - one >= PLAN.rest_days for one, two in itertools.pairwise(asked_on))


def test_without_a_pipeline_or_on_breach_off_an_alarm_asks_for_nothing() -> None:
    quiet = Plan("late", "lateness", "nightly", on_breach=False, calendar_days=0)
    for plan in (Plan("late", "lateness"), quiet):
        assert rules.ask(plan, Standing("late", 0, 0), 90 * DAY, ALARMED, False) is None


@pytest.mark.parametrize(
    ("now", "before", "lost"),
    [
        (block(9, 100, 90), [block(d) for d in range(5)], False),
        (block(9, 100, 60), [block(d) for d in range(5)], True),
        (block(9, 100, 60, cancelled=30), [block(d) for d in range(5)], False),
        (block(0, 100, 0), [], False),
        (block(2, 100, 0), [block(0, 100, 0), block(1, 100, 0)], True),
        (block(9, 0, 0), [block(d) for d in range(5)], False),
    ],
)
def test_labels_are_lost_against_what_is_usual(now: Block, before: list[Block], lost: bool) -> None:
    assert bool(rules.labels_lost(now, before)) == lost


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=40))
def test_a_cause_has_one_open_incident(days: list[tuple[bool, bool, bool]]) -> None:
    known: list[Incident] = []
    number, calm = 1, 0
    for day, (loss, drift, new) in enumerate(days):
        calm = 0 if drift else calm + 1
        findings = [rules.Finding("loss", loss), rules.Finding("drift", drift)]
        opened, closed = rules.incidents(
            "late", known, findings, since=day, until=day + 1, new_champion=new, calm=calm, number=number
        )
        over = {incident.number for incident in closed}
        known = [incident for incident in known if incident.number not in over] + opened
        number += len(opened)
        causes = [incident.cause for incident in known]
        assert len(causes) == len(set(causes))
        assert ("loss" in causes) or not loss
        assert all(incident.closed == day + 1 and incident.outcome for incident in closed)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0, 1)), min_size=1, max_size=80))
def test_measures_are_those_of_the_rows(rows: list[tuple[float, float]]) -> None:
    label, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    found = measures(label, score)
    assert found.rows == len(rows) and found.positives == int(label.sum())
    assert found.mean["brier"] == pytest.approx(np.mean((label - score) ** 2))
    assert found.mean["residual"] == pytest.approx(np.mean(label - score))
    assert found.squares["residual"] == pytest.approx(len(rows) * np.var(label - score), abs=1e-9)
    assert all(np.isfinite(value) for value in found.mean.values())
    assert found.auc is None or min(found.positives, len(rows) - found.positives) >= 10
