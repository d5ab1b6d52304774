"""What is served beside what the champion learned from: once a week, by the counts in its tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from millrace.base.clock import DAY
from millrace.monitoring import tables, training
from millrace.pipelines import learned, models
from millrace.pipelines.signature import Input, Signature
from millrace.store import tree as trees
from tests.monitoring.days import ORIGIN, Days, good

WEEKS = 40
INPUTS = (Input("load", "number"), Input("wind", "number"))


def register(days: Days, mean: float = 0.0, *, told: bool = True) -> int:
    """A version that learned from forty weeks of load and wind, with loads around `mean`; its number."""
    random = np.random.default_rng(5)
    rows = WEEKS * 7 * 60
    matrix = np.column_stack([random.normal(mean, 1, rows), random.normal(0, 1, rows)]).astype(np.float32)
    at = ORIGIN - WEEKS * 7 * DAY + np.sort(random.integers(0, WEEKS * 7 * DAY, rows))
    model = LogisticRegression().fit(matrix, matrix[:, 0] > mean)
    files = models.pack_matrix(model, Signature(INPUTS, "late", "binary", (0, 1)), matrix)
    packed = learned.pack({"load": matrix[:, 0].astype(float), "wind": matrix[:, 1].astype(float)}, at)
    assert packed is not None
    tree = trees.make(days.platform.ground.blobs, {**files, **({learned.FILE: packed} if told else {})})
    return int(days.platform.call("model.register", {"model": "lateness", "tree": tree}).number)


def judgements(days: Days, since: int = 0) -> list[Any]:
    ask = {"endpoint": "late", "since": ORIGIN + since * DAY}
    return list(days.platform.call("monitor.series", ask).judgements)


def weekly(days: Days, since: int = 0) -> list[Any]:
    return [one for one in judgements(days, since) if "training" in one.verdicts]


@pytest.mark.slow
def test_a_week_is_compared_once_it_is_over(days: Days) -> None:
    assert register(days) == 1
    for day in range(40):
        days.write(day, {1: good}, rows=60, load_shift=0.0 if day < 22 else 1.5)
        days.judge(day + 2)
    found = weekly(days)
    assert [(one.until - found[0].until) // DAY for one in found] == [7 * nth for nth in range(len(found))]
    assert all(one.until % learned.WEEK == 0 for one in found) and len(found) == 5
    decided = [(one.since - ORIGIN) // DAY for one in found if one.verdicts["training"].decision == "alarm"]
    assert decided and min(decided) >= 22
    named = next(one for one in found if one.verdicts["training"].decision == "alarm")
    assert named.learned == ("load",)
    assert all(one.verdicts["training"].unit == "window" for one in found)
    assert "training" not in {fact.data["cause"] for fact in days.facts("incident.opened")}  # it is no incident


@pytest.mark.slow
def test_together_or_one_by_one_and_after_a_restart_it_is_the_same(days: Days) -> None:
    register(days)
    for day in range(24):
        days.write(day, {1: good}, rows=40, load_shift=0.8)
    for day in (3, 8, 9, 20, 25):
        days.judge(day)
    with days.platform.ground.catalog.read() as tx:
        packed = tables.beside(tx, "main", "late")
    assert packed is not None
    beside = training.unpack(days.platform.ground, packed)
    assert training.pack(beside) == packed and beside.champion == 1
    assert len(weekly(days)) == 3


@pytest.mark.slow
def test_another_champion_is_compared_with_its_own_training(days: Days) -> None:
    register(days)
    assert register(days, mean=1.5) == 2
    for day in range(60):
        days.write(day, {1: good} if day < 20 else {2: good}, rows=60, load_shift=1.5)
        days.judge(day + 2)
    of_two = [one for one in weekly(days, 20) if one.champion == 2]
    assert len(of_two) >= 4
    assert {one.verdicts["training"].decision for one in of_two} & {"alarm"} == set()


def test_a_plan_may_leave_it_out(days: Days) -> None:
    register(days)
    days.platform.call("monitor.watch", {"endpoint": "late", "training": False})
    for day in range(16):
        days.write(day, {1: good}, rows=20)
    days.judge(18)
    assert len(judgements(days)) == 16 and weekly(days) == []


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False])
def test_a_model_that_does_not_tell_what_it_learned_from_is_not_compared(days: Days, told: bool) -> None:
    if not told:
        register(days, told=False)  # else the version is not even registered
    for day in range(16):
        days.write(day, {1: good}, rows=20)
    days.judge(18)
    assert len(judgements(days)) == 16 and weekly(days) == []
