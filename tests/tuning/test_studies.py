"""Real searches: over a pipeline and by ask and tell, cut short and gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.errors import MillraceError
from millrace.sdk import tuning
from millrace.sdk.client import Client, connect

SAMPLE = """
    import millrace as mr

    @mr.step
    def score(depth: int, rate: float, kind: str):
        if kind == "bad":
            raise ValueError("no good")
        mr.log(loss=float("nan") if kind == "none" else (depth - 7) ** 2 + rate)
        return depth

    @mr.pipeline
    def searched(depth: int = 3, rate: float = 0.5, kind: str = "good"):
        return score(depth, rate, kind)
"""
SPACE = {"depth": {"type": "ints", "low": 1, "high": 10}, "rate": {"type": "floats", "low": 0.1, "high": 1.0}}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    opened = connect(dir=str(tmp_path / "home"))
    yield opened
    opened.close()


def tried(platform: Platform, study: str, count: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(count):
        trial = platform.call("study.ask", {"study": study})
        loss = (trial.params["depth"] - 7) ** 2 + trial.params["rate"]
        platform.call("study.tell", {"study": study, "number": trial.number, "value": loss})
        found.append(trial.params)
    return found


@pytest.mark.parametrize("sampler", ["random", pytest.param("tpe", marks=pytest.mark.slow)])
def test_ask_and_tell_are_the_same_however_often_it_is_cut_short(tmp_path: Path, sampler: str) -> None:
    histories = []
    for name, cuts in (("whole", [6]), ("cut", [2, 3, 1])):
        history = []
        for count in cuts:
            platform = open_platform(tmp_path / name)
            ask = {"name": "s", "space": SPACE, "metric": "loss", "trials": 6, "sampler": sampler,
                   "first": {"depth": 3, "rate": 0.5}}  # fmt: skip
            platform.call("study.make", ask)
            history += tried(platform, "s", count)
            platform.close()
        histories.append(history)
    assert histories[0] == histories[1]
    assert histories[0][0] == {"depth": 3, "rate": 0.5}
    assert len({tuple(params.values()) for params in histories[0]}) == 6


def test_a_study_s_refusals(platform: Platform) -> None:
    def refused(op: str, ask: dict[str, Any]) -> str:
        with pytest.raises(MillraceError) as fault:
            platform.call(op, ask)
        return fault.value.code

    made = {"name": "s", "space": SPACE, "metric": "loss", "trials": 1, "sampler": "random"}
    platform.call("study.make", made)
    assert refused("study.make", {**made, "metric": "other"}) == "study.space"
    assert refused("study.make", {**made, "name": "t", "space": {}}) == "study.space"
    assert refused("study.make", {**made, "name": "t", "pipeline": "nowhere"}) == "pipeline.unknown"
    assert refused("study.ask", {"study": "z"}) == "study.unknown"
    assert refused("study.tell", {"study": "s", "number": 0}) == "study.trial"
    trial = platform.call("study.ask", {"study": "s"})
    assert refused("study.ask", {"study": "s"}) == "study.over"
    platform.call("study.tell", {"study": "s", "number": trial.number})
    assert refused("study.tell", {"study": "s", "number": trial.number, "value": 1.0}) == "run.over"
    searched = platform.call("study.get", {"study": "s"})
    assert [t.state for t in searched.trials] == ["failed"] and searched.best is None
    assert platform.call("study.make", {**made, "trials": 3}).trials == 3
    assert [study.name for study in platform.call("study.list").items] == ["s"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_trial_without_a_finite_value_has_failed(platform: Platform, value: float | None) -> None:
    first = {"depth": 3, "rate": 0.5}
    platform.call("study.make", {"name": "s", "space": SPACE, "metric": "loss", "trials": 1, "first": first})
    platform.call("study.ask", {"study": "s"})
    told = platform.call("study.tell", {"study": "s", "number": 0, "value": value})
    found = platform.call("study.get", {"study": "s"})
    assert [(trial.state, trial.value) for trial in (told, *found.trials)] == [("failed", None)] * 2
    assert platform.call("run.get", {"run": told.run}).state == "failed" and found.best is None


@pytest.mark.slow
def test_a_search_goes_on_past_what_fails_and_tells_when_all_did(client: Client, module: Any) -> None:
    searched = module(SAMPLE).searched

    def tuned(**more: Any) -> tuning.StudyHandle:
        return tuning.tune(searched, minimize="loss", sampler="random", seed=3, trials=3, client=client, **more)

    study = tuned(kind=tuning.choice("none", "bad", "good"), name="some")
    assert len(study.trials) == 3 and study.best.metrics["loss"] is not None
    for kind, why in (("none", "it logged no finite 'loss'"), ("bad", "no good")):
        with pytest.raises(MillraceError, match=f"all 3 trials of '{kind}' failed; the last one: .*{why}") as caught:
            tuned(depth=tuning.ints(1, 10), kind=kind, name=kind)
        assert caught.value.code == "study.failed" and "millrace run logs " in caught.value.hint
        with pytest.raises(MillraceError, match=why):
            assert tuning.StudyHandle(client, kind).best


@pytest.mark.slow
def test_tune_searches_a_pipeline(client: Client, module: Any) -> None:
    searched = module(SAMPLE).searched
    study = tuning.tune(
        searched, depth=tuning.ints(1, 10), kind=tuning.choice("good", "bad"), rate=0.25, minimize="loss", trials=6,
        sampler="random", seed=3, at_once=2, client=client,
    )  # fmt: skip
    trials = study.trials
    assert trials[0].params == {"depth": 3, "kind": "good"}
    assert {trial.state for trial in trials} == {"finished", "failed"} and len(trials) == 6
    best = study.best
    values = [trial.value for trial in trials if trial.value is not None]
    assert best.metrics["loss"] == min(values)
    assert best.run.kind == "trial" and best.run.params["rate"] == 0.25
    again = tuning.tune(
        searched, depth=tuning.ints(1, 10), kind=tuning.choice("good", "bad"), rate=0.25, minimize="loss", trials=6,
        sampler="random", seed=3, client=client,
    )  # fmt: skip
    assert again.trials == trials


@pytest.mark.parametrize("depth", [{"type": "flot", "low": 1, "high": 2}, {"low": 1, "high": 2}])
def test_a_range_of_no_known_type_is_told_those_that_are_known(platform: Platform, depth: dict[str, Any]) -> None:
    with pytest.raises(MillraceError) as caught:
        platform.call("study.make", {"name": "s", "metric": "loss", "space": {"depth": depth}})
    assert (caught.value.code, caught.value.hint) == ("request.invalid", "use one of: choice, floats, ints")
