"""The demo's parts that need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.base.clock import DAY, HOUR
from millrace.base.errors import MillraceError
from millrace.demo import asked, chronicle, close, tables, views
from millrace.demo.asked import Asked
from millrace.demo.replay import lists, prediction_of, request_of
from millrace.demo.story import Story
from millrace.demo.training import delays, rival, told
from millrace.http.holder import holder


@pytest.mark.slow
def test_a_flight_knows_the_row_of_its_request() -> None:
    flights = tables.flights()
    for number in (0, 60_000, 200_000, 336_775):
        place = int(np.flatnonzero(flights["id"] == number)[0])
        start = (int(flights["asked_at"][place]) - tables.FIRST) // HOUR * HOUR + tables.FIRST
        hour = next(tables.hours(start, start + HOUR))
        row = int(np.flatnonzero(hour.asked["id"] == number)[0])
        assert prediction_of(number) == f"{request_of(start)}:{row}"


def test_columns_are_sent_without_what_is_not_known() -> None:
    assert lists([{"a": np.array([1.0, np.nan]), "b": np.array(["x", None], object)}]) == {
        "a": [1.0, None],
        "b": ["x", None],
    }


def test_every_feature_that_the_pipelines_name_is_one_of_a_view() -> None:
    frame = delays.trace({"until": tables.FIRST + DAY}).nodes[0].arguments["rows"].frame  # type: ignore[union-attr]
    assert set(views.features()) <= set(frame.columns)
    assert len(views.features()) == len(set(views.features())) == 36
    assert frame.target == "late"


def test_the_rival_looks_at_the_whole_span() -> None:
    months = [tables.FIRST + days * DAY for days in (0, 31, 59, 90)]
    graph = rival.trace({"until": months[-1], "months": months})
    assert graph.nodes[0].arguments["rows"].frame.test == 0.0  # type: ignore[union-attr]


def test_what_scores_were_worth() -> None:
    found = told(np.array([0.1, 0.4, 0.8]), np.array([0.0, 0.0, 1.0]))
    assert found["auc"] == 1.0
    assert found["brier"] == np.mean([0.01, 0.16, 0.04])


def test_a_decision_is_a_line_with_its_verdict_and_anything_else_is_none() -> None:
    verdict = {
        "claim": "it is better", "n": 9, "unit": "block", "statistic": 44.0, "bound": 40.0, "alpha": 0.025,
        "decision": "proven",
    }  # fmt: skip
    data = {"at": tables.FIRST, "number": 2, "because": "better", "verdicts": {"better": verdict}}
    line = chronicle.line({"kind": "rollout.stepped", "subject": "delays-2", "data": data})
    assert line is not None
    assert line.startswith("2013-01-01  rollout.stepped")
    assert "it is better · 9 blocks · 44 against 40 · α 0.025 · proven" in line
    assert chronicle.line({"kind": "run.started", "subject": "x", "data": {}}) is None


VERDICT = {
    "claim": "all is calm", "unit": "block", "n": 9, "statistic": 30.0, "bound": 20.0, "alpha": 0.05,
    "decision": "alarm", "because": "shown after 7 of 9 blocks",
}  # fmt: skip
IN_WORDS = "all is calm · 9 blocks · 30 against 20 · α 0.05 · alarm"


def shown(kind: str, data: dict[str, Any]) -> list[str]:
    line = chronicle.line({"kind": kind, "subject": "delays", "data": data})
    assert line is not None
    return [" ".join(part.split()) for part in line.splitlines()]


def test_every_decision_tells_its_day_its_reason_and_its_verdict() -> None:
    first, last = tables.FIRST, tables.FIRST + 9 * DAY
    incident = {
        "cause": "drift",
        "opened": first,
        "closed": None,
        "because": "an alarm",
        "outcome": "",
        "verdict": VERDICT,
    }
    assert shown("incident.opened", incident) == ["2013-01-01 incident.opened delays an alarm", f"drift: {IN_WORDS}"]
    over = {**incident, "closed": last, "outcome": "7 blocks without an alarm"}
    assert shown("incident.closed", over) == ["2013-01-10 incident.closed delays drift: 7 blocks without an alarm"]
    asked = {"at": last, "cause": "residual", "verdict": VERDICT}
    assert shown("monitor.breached", asked) == [
        "2013-01-10 monitor.breached delays residual: shown after 7 of 9 blocks", f"residual: {IN_WORDS}"
    ]  # fmt: skip
    assert shown("monitor.due", {"at": last, "cause": "28 days", "verdict": None}) == [
        "2013-01-10 monitor.due delays 28 days since the last training"
    ]
    back = {"at": last, "number": 2, "because": "it fails", "verdicts": {}, "wall": {"verdicts": {"errors": VERDICT}}}
    assert shown("rollout.rolled_back", back)[:2] == [
        "2013-01-10 rollout.rolled_back v2 it fails",
        f"errors: {IN_WORDS}",
    ]


def test_a_fate_keeps_promoted_and_confirmed_apart() -> None:
    def told(state: str, over: int | None, *steps: tuple[str, int]) -> str:
        rollout = {"id": "delays-2", "state": state, "because": "why", "phase_since": tables.FIRST + 9 * DAY}
        decisions = [
            {"kind": f"rollout.{kind}", "data": {"rollout": name, "at": tables.FIRST + days * DAY}}
            for name, kind, days in [("delays-1", "promoted", 0), *(("delays-2", *step) for step in steps)]
        ]
        return close.fate({**rollout, "over": over and tables.FIRST + over * DAY}, decisions)

    promoted = ("promoted", 3)
    assert told("promoted", 30, ("started", 1), promoted, ("confirmed", 30)) == (
        "promoted 2013-01-04, confirmed 2013-01-31: why"
    )
    assert told("watching", None, promoted) == "promoted 2013-01-04, watched since: why"
    assert told("rolled_back", 5, ("forced", 3)) == "forced 2013-01-04, rolled back 2013-01-06: why"
    assert told("shadow", None, ("started", 1)) == "in shadow since 2013-01-10: why"
    assert told("refused", 2) == "refused 2013-01-03: why"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Asked(seed=5), "--seed 5 --search 6"), (Asked(search=0), "--seed 0 --search 0"),
        (Asked(planted=False), "--seed 0 --search 6 --unplanted"),
    ],
)  # fmt: skip
def test_a_directory_goes_on_with_its_own_story_alone(tmp_path: Path, other: Asked, told: str) -> None:
    asked.check(tmp_path, other)  # nothing was begun
    asked.keep(tmp_path, Asked())
    asked.check(tmp_path, Asked())
    with pytest.raises(MillraceError) as caught:
        Story(tmp_path, seed=other.seed, search=other.search, planted=other.planted)
    assert caught.value.code == "story.other"
    assert caught.value.message == f"{tmp_path} holds the story of --seed 0 --search 6, and this one is of {told}"
    assert caught.value.hint.endswith(f"another --dir: millrace demo --dir {tmp_path} --seed 0 --search 6")
    assert holder(tmp_path) is None  # no server was begun for it
