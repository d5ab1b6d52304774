"""The rules of monitoring, by property and by table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

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


class Labels:
    """Blocks one after another, as they are judged: the labels alone."""

    def __init__(self) -> None:
        self.standing = Standing("late", 0, 0)
        self.open: list[Incident] = []
        self.opened: list[int] = []
        self.closed: list[Block] = []

    def judge(self, block: Block, new_champion: bool = False) -> bool:
        """Whether the incident stands after it."""
        lost = rules.labels_lost(block, self.standing, bool(self.open))
        opened, closed = rules.incidents(
            "late", self.open, [rules.Finding("labels", bool(lost), lost)], since=block.since, until=block.until,
            new_champion=new_champion, calm=0, number=1,
        )  # fmt: skip
        self.open = [] if closed else [*self.open, *opened]
        self.opened += [one.opened // DAY for one in opened]
        self.closed += [block] * len(closed)
        after = rules.after_labels(block, self.standing, bool(lost))
        self.standing = structs.replace(after, blocks=after.blocks + 1)
        return bool(self.open)

    def judge_all(self, shares: Iterable[float], rows: int = 100) -> list[int]:
        """The days on which an incident was open."""
        return [day for day, share in enumerate(shares) if self.judge(block(day, rows, round(share * rows)))]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.0] * 60, range(2, 60)),  # none ever
        ([0.9] * 20 + [0.0] * 60, range(20, 80)),  # labels, then none
        ([0.9] * 8 + [0.0] * 60, range(8, 68)),
        ([0.9] * 5 + [0.6] * 90, range(5, 95)),  # a part is lost for good
        ([0.5] * 40, ()),  # half is usual
        ([0.9] * 20 + [0.0] * 40 + [0.6] * 9 + [0.9] * 9, range(20, 69)),  # back only when it is back
        ([0.0] * 9 + [0.9] * 9 + [0.0] * 9, [*range(2, 9), *range(18, 27)]),  # labels that begin late
        ([0.0, 0.0] + [0.9] * 9, ()),
        ([0.9, 0.0] + [0.9] * 9, ()),  # two blocks say nothing of what is usual
        ([0.9, 0.9, 0.0, 0.0, 0.9], (2, 3)),
    ],
)
def test_labels_are_lost_against_what_is_usual(shares: list[float], expected: Iterable[int]) -> None:
    assert Labels().judge_all(shares) == list(expected)


def test_other_outcomes_are_outcomes_and_a_block_without_rows_says_nothing() -> None:
    labels = Labels()
    labels.judge_all([0.9] * 5)
    assert not labels.judge(block(5, 100, 60, cancelled=30))
    assert not labels.judge(block(6, 0, 0))
    assert labels.judge(block(7, 100, 60))
    assert rules.labels_lost(block(8, 0, 0), labels.standing, True) == ""


@given(
    days=st.lists(st.tuples(st.integers(1, 300), st.sampled_from([0.0, 0.0, 0.1, 0.5, 0.9, 1.0])), max_size=80),
    champions=st.sets(st.integers(0, 79)),
)
def test_an_incident_of_labels_ends_when_outcomes_are_back_and_never_without_any(
    days: list[tuple[int, float]], champions: set[int]
) -> None:
    labels, other = Labels(), Labels()
    for day, (rows, share) in enumerate(days):
        usual, stood = rules.usual_coverage(labels.standing), bool(labels.open)
        now = block(day, rows, round(share * rows))
        stands = labels.judge(now, day in champions)
        if stood and not stands:
            assert now.coverage and now.coverage >= rules.LEAST_COVERAGE * (usual or 0.0)
        if stands:
            assert rules.usual_coverage(labels.standing) == usual
        assert other.judge(now) == stands, "a new champion brings no outcomes"
        assert all(known for _, known in labels.standing.usual) and len(labels.standing.usual) <= rules.USUAL_BLOCKS


@given(
    rows=st.integers(1, 50), chance=st.sampled_from([0.3, 0.6, 0.9, 1.0]), seed=st.integers(0, 99), n=st.integers(3, 60)
)
def test_a_feed_that_died_is_found_however_few_the_rows(rows: int, chance: float, seed: int, n: int) -> None:
    labels, random = Labels(), np.random.default_rng(seed)
    for day in range(n):
        labels.judge(block(day, rows, int(random.binomial(rows, chance))))
    found = [labels.judge(block(day, rows, 0)) for day in range(n, n + 400)]
    assert found[-1] and found == sorted(found)


def test_what_chance_does_to_few_rows_is_rarely_an_incident_and_leaves_usual_as_it_is() -> None:
    for rows, chance in ((1, 0.6), (5, 0.6), (5, 0.9), (20, 0.8)):
        labels, random = Labels(), np.random.default_rng(1)
        for day in range(1000):
            labels.judge(block(day, rows, int(random.binomial(rows, chance))))
        assert len(labels.opened) <= 30
        assert rules.usual_coverage(labels.standing) == pytest.approx(chance, abs=0.2)


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
