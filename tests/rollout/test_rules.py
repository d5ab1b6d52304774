"""The rules of rollout, by property and by table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from millrace.base.clock import DAY
from millrace.monitoring.outcomes import Outcomes
from millrace.rollout import evidence as evidences
from millrace.rollout import rules
from millrace.rollout.records import WHOLE, Arm, Evidence, Policy, Rollout
from millrace.serving import rules as serving_rules
from millrace.stats.verdict import ALARM, PROVEN, QUIET, UNDECIDED, Verdict

POLICY = Policy()
ROLLOUT = Rollout(
    id="late-1", endpoint="late", number=1, model="m", version=2, champion=1, policy=POLICY, state="shadow", since=0,
    trained_until=0, phase_since=0, judged=0, actor="local", challenger=1, alpha=0.025,
)  # fmt: skip


def verdict(decision: str) -> Verdict:
    return Verdict(claim="c", unit="row", n=5, statistic=1, bound=2, alpha=0.05, decision=decision, because=decision)


def pair(day: int, difference: float, harm: float | None = None) -> Evidence:
    harm = difference if harm is None else harm
    return Evidence(
        day * DAY, (day + 1) * DAY, "shadow", 0, 900, difference, 900 * 0.01, harm, 900 * 0.01
    )  # fmt: skip


def days(mean: float, sd: float, count: int, seed: int = 1, harm: float | None = None) -> list[Evidence]:
    random = np.random.default_rng(seed)
    drawn = random.normal(mean, sd, count).tolist()
    return [pair(day, value, None if harm is None else value - mean + harm) for day, value in enumerate(drawn)]


@pytest.mark.parametrize(
    ("evidence", "now", "act"),
    [
        ([], 27, "hold"),
        ([], 28, "end"),
        (days(-0.02, 0.01, 10), 12, "canary"),
        (days(-0.02, 0.01, 2), 12, "hold"),
        (days(0.05, 0.02, 10), 12, "end"),
        (days(0.0, 0.01, 27), 27, "hold"),
        (days(0.0, 0.01, 27), 28, "end"),
        (days(-0.02, 0.01, 10, harm=0.05), 12, "end"),  # ranks better, and is far worse calibrated
        (days(-0.02, 0.01, 10, harm=0.01), 12, "hold"),  # better by its metric, its harm is not shown to be small
    ],
)
def test_what_follows_in_the_shadow(evidence: list[Evidence], now: int, act: str) -> None:
    decision = rules.shadow(ROLLOUT, evidence, now * DAY)
    assert decision.act == act, decision.because
    assert set(decision.verdicts) == {"better", "rows", "harm", "not_worse"}


def canary_days(count: int, step: int = 0, rows: int = 90) -> list[Evidence]:
    arm = Arm(rows, 0, rows, 0.15, rows * 0.02, rows // 3)
    return [Evidence(day * DAY, (day + 1) * DAY, "canary", step, canary=arm, control=arm) for day in range(count)]


@pytest.mark.parametrize(
    ("days_seen", "step", "guards", "now", "act"),
    [
        (1, 0, {}, 3, "hold"),
        (2, 0, {}, 3, "step"),
        (2, 0, {"errors": ALARM}, 3, "rollback"),
        (2, 0, {"assignment": ALARM}, 3, "rollback"),
        (0, 0, {"errors": ALARM}, 3, "rollback"),
        (2, 1, {}, 3, "hold"),
        (2, 1, {"not_worse": PROVEN}, 3, "promote"),
        (2, 1, {"not_worse": PROVEN, "errors": ALARM}, 3, "rollback"),
        (1, 1, {"not_worse": PROVEN}, 3, "hold"),
        (28, 1, {}, 28, "rollback"),
    ],
)
def test_what_follows_in_the_canary(days_seen: int, step: int, guards: Any, now: int, act: str) -> None:
    going = structs.replace(ROLLOUT, state="canary", step=step)
    usual = {"errors": QUIET, "assignment": QUIET, "not_worse": UNDECIDED}
    found = {name: verdict(decision) for name, decision in {**usual, **guards}.items()}
    decision = rules.canary(going, canary_days(days_seen, step), found, now * DAY)
    assert decision.act == act, decision.because


def test_a_canary_whose_loss_is_far_above_goes_back() -> None:
    going = structs.replace(ROLLOUT, state="canary")
    bad, fine = Arm(900, 0, 900, 0.3, 900 * 0.02, 400), Arm(900, 0, 900, 0.15, 900 * 0.02, 200)
    found = {name: verdict(QUIET) for name in ("errors", "assignment", "not_worse")}
    decision = rules.canary(going, [Evidence(0, DAY, "canary", canary=bad, control=fine)], found, DAY)
    assert decision.act == "rollback" and decision.because.startswith("loss")


@pytest.mark.parametrize(
    ("evidence", "now", "act"),
    [
        (days(0.05, 0.02, 8), 9, "rollback"),
        (days(0.0, 0.01, 8), 9, "hold"),
        (days(0.0, 0.01, 28), 28, "finish"),
        (days(0.05, 0.02, 2), 3, "hold"),
    ],
)
def test_what_follows_while_watching(evidence: list[Evidence], now: int, act: str) -> None:
    going = structs.replace(ROLLOUT, state="watching")
    told = [structs.replace(one, phase="watching") for one in evidence]
    assert rules.watching(going, told, now * DAY).act == act


@given(st.sampled_from(["hold", "canary", "step", "promote", "end", "rollback", "finish"]))
def test_a_paused_rollout_only_goes_back(act: Any) -> None:
    decision = rules.while_paused(rules.Decision(act, "why"))
    assert decision.act == ("rollback" if act == "rollback" else "hold")


@given(
    champion=st.integers(1, 3),
    open_=st.lists(
        st.tuples(st.sampled_from(["shadow", "canary", "watching"]), st.integers(1, 6), st.integers(1, 9_999)),
        max_size=3,
    ),
)
def test_every_table_of_open_rollouts_can_be_served(champion: int, open_: list[tuple[Any, int, int]]) -> None:
    rollouts = [
        structs.replace(ROLLOUT, number=n, state=state, version=version + 3, champion=n + 10, weight=weight)
        for n, (state, version, weight) in enumerate(open_)
    ]
    arms, shadows = rules.traffic(champion, rollouts)
    serving_rules.check_table(arms, shadows)
    assert arms[0].number == champion and sum(arm.weight for arm in arms) == WHOLE


@given(st.lists(st.integers(0, 500), max_size=12))
def test_a_year_of_challengers_keeps_alpha(starts: list[int]) -> None:
    earlier: list[Rollout] = []
    for day in sorted(starts):
        k, alpha = rules.spent(POLICY, earlier, day * DAY)
        earlier.append(structs.replace(ROLLOUT, since=day * DAY, challenger=k, alpha=alpha))
    for one in earlier:
        year = [other.alpha for other in earlier if 0 <= other.since - one.since < 365 * DAY]
        assert all(alpha <= POLICY.alpha / 2 for alpha in year)
    first_year = [one.alpha for one in earlier if one.since - earlier[0].since < 365 * DAY]
    assert sum(first_year) <= POLICY.alpha


@pytest.mark.parametrize(
    ("strategy", "evidence", "failed", "passed"),
    [
        ("shadow", days(-0.01, 0.01, 20), 0, True),
        ("shadow", days(0.02, 0.01, 20), 0, False),
        ("shadow", days(0.0, 0.02, 3), 0, True),
        ("canary", days(0.0, 0.02, 3), 0, False),
        ("canary", days(-0.01, 0.01, 20), 0, True),
        ("shadow", days(-0.01, 0.01, 20), 500, False),
        ("shadow", [], 0, True),
        ("all", [], 0, False),
    ],
)
def test_the_gate(strategy: Any, evidence: list[Evidence], failed: int, passed: bool) -> None:
    found = rules.gate(structs.replace(POLICY, strategy=strategy), evidence, 9_000, failed, 100)
    assert found.passed == passed and found.because and "worse" in found.verdicts


@pytest.mark.parametrize(
    ("metrics", "passed", "shown"),
    [
        ({"auc": 0.7}, True, True),
        ({"auc": 0.45}, False, True),
        ({"test_brier": 0.15, "base_rate": 0.25}, True, True),
        ({"brier": 0.19, "base_rate": 0.25}, False, True),
        ({"brier": 0.15, "brier_base": 0.16}, True, True),
        ({}, True, False),
        ({"auc": None}, True, False),
    ],
)
def test_the_first_gate(metrics: Any, passed: bool, shown: bool) -> None:
    found = rules.first_gate(POLICY, metrics)
    assert found.passed == passed and bool(found.verdicts) == shown


def test_the_first_gate_proves_what_counts_bear_out() -> None:
    counted = {"rows": 400.0, "positives": 100.0}
    found = {auc: rules.first_gate(POLICY, {"auc": auc, **counted}).verdicts["base_rate"] for auc in (0.53, 0.6)}
    spread = math.sqrt(401 / (12 * 100 * 300))
    assert found[0.6].bound == pytest.approx(0.5 + scipy.stats.norm.ppf(1 - POLICY.alpha) * spread)
    assert (found[0.53].decision, found[0.6].decision, found[0.6].n) == ("undecided", "proven", 400)
    assert rules.first_gate(POLICY, {"auc": 0.7}).verdicts["base_rate"].decision == "undecided"
    for auc, counts, unproven in ((0.53, counted, True), (0.7, {}, True), (0.6, counted, False), (0.4, counted, False)):
        assert rules.first_gate(POLICY, {"auc": auc, **counts}).because.endswith("nothing is proven") == unproven


def test_the_row_wise_verdict_claims_what_days_do_not() -> None:
    one_good_day = [pair(0, -0.02), pair(1, 0.004), pair(2, -0.015), pair(3, 0.003)]
    blocks = rules.differences(one_good_day)
    assert rules.row_wise(blocks, 0.025).decision == PROVEN
    assert rules.shadow(ROLLOUT, one_good_day, 4 * DAY).act == "hold"


def test_a_shadow_that_scores_nothing_is_not_waited_for_in_silence() -> None:
    silent = [
        Evidence(n * DAY, (n + 1) * DAY, "shadow", left_out="one of the versions scored nothing") for n in range(5)
    ]
    for until, act in ((6 * DAY, "hold"), (400 * DAY, "end")):
        decision = rules.shadow(ROLLOUT, silent, until)
        assert decision.act == act
        assert decision.because.endswith("; 5 of 5 days left out: one of the versions scored nothing")


def rows(n: int, weight: float, failing: float = 0.0, seed: int = 1, share: float | None = None) -> Outcomes:
    """Rows of two versions that answer alike; the second gets `share` of them (its weight, unless said)."""
    random = np.random.default_rng(seed)
    score = random.random(n)
    label = (random.random(n) < score).astype(float)
    served = (random.random(n) < (weight if share is None else share)).astype(np.int64)
    scores = np.full((n, 2), np.nan)
    scores[np.arange(n), served] = score
    failed = np.zeros((n, 2), np.bool_)
    failed[:, 1] = (served == 1) & (random.random(n) < failing)
    scores[failed] = np.nan
    names = np.array([f"{seed}-{row}" for row in range(n)], object)
    asked = np.zeros((n, 2), np.bool_)
    asked[np.arange(n), served] = True
    return Outcomes(
        (1, 2), names, np.arange(n), names, scores, asked, failed, served,
        np.where(served == 1, weight, 1 - weight), label, np.full(n, "", object), {},
    )  # fmt: skip


CANARY = structs.replace(ROLLOUT, state="canary", weight=5_000)


def test_an_equal_canary_is_shown_to_be_no_worse() -> None:
    running = evidences.start(POLICY)
    for day in range(9):
        found, running = evidences.arms(CANARY, rows(900, 0.5, seed=day), day * DAY, (day + 1) * DAY, running)
        assert found.canary.rows + found.control.rows == 900 and found.canary.labelled == found.canary.rows
    guards = evidences.guards(running, POLICY)
    assert guards["not_worse"].decision == PROVEN
    assert guards["assignment"].decision == QUIET and guards["errors"].decision == UNDECIDED


def test_a_failing_canary_and_a_crooked_assignment_are_alarms() -> None:
    _, running = evidences.arms(CANARY, rows(900, 0.1, failing=0.3), 0, DAY, evidences.start(POLICY))
    assert evidences.guards(running, POLICY)["errors"].decision == ALARM
    _, running = evidences.arms(CANARY, rows(900, 0.1, share=0.2), 0, DAY, evidences.start(POLICY))
    assert evidences.guards(running, POLICY)["assignment"].decision == ALARM


def test_a_unit_counts_once_and_the_state_survives_packing() -> None:
    day = rows(300, 0.5, failing=0.2)
    _, once = evidences.arms(CANARY, day, 0, DAY, evidences.start(POLICY))
    _, twice = evidences.arms(CANARY, day, DAY, 2 * DAY, once)
    assert twice.assignment.counts.sum() == once.assignment.counts.sum() == 300
    assert twice.guard.canary == once.guard.canary
    packed = evidences.to_bytes(twice)
    assert evidences.to_bytes(evidences.from_bytes(packed)) == packed


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["auc", "brier", "log_loss"]))
def test_pairs_say_why_a_day_is_left_out(positives: int, negatives: int, metric: Any) -> None:
    label = np.array([1.0] * positives + [0.0] * negatives)
    random = np.random.default_rng(positives * 50 + negatives)
    new, old = random.random(len(label)), random.random(len(label))
    found = evidences.compared(Evidence(0, DAY, "shadow"), metric, label, new, old)
    assert (found.difference is None) == bool(found.left_out)
    if metric == "auc" and positives + negatives:
        assert (found.difference is None) == (min(positives, negatives) < 10)
    if metric == "brier" and len(label):
        assert found.difference == pytest.approx(float(np.mean((label - new) ** 2 - (label - old) ** 2)))
        assert found.harm == found.difference
