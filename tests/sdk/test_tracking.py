"""A program's own runs: what is logged is written, in batches, whatever happens."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import millrace as mr
from millrace.sdk import tracking
from millrace.sdk.client import Client, Embedded
from millrace.sdk.patience import telling
from millrace.testing.server import until
from tests.tidy.source import ROOT


@pytest.mark.slow
def test_a_run_is_logged_and_found(client: Client, tmp_path: Path) -> None:
    (tmp_path / "plot.svg").write_text("<svg/>")
    with mr.run("demand", "first", params={"depth": 6}, tags={"team": "rides"}) as run:
        for epoch in range(3):
            mr.log(rmse=1 / (epoch + 1))
        run.log(7, rmse=float("nan"), loss=None)
        run.params(rate=0.1).tag(kind="test")
        run.output("plot", tmp_path / "plot.svg")
        run.flush()
        found = client.call("run.metrics", run=run.id, key="rmse")
        assert (found.step, found.value) == ([0, 1, 2, 7], [1.0, 0.5, 1 / 3, None])
    mr.log(rmse=5.0)
    record = run.record
    assert (record.state, record.params, record.tags) == (
        "finished", {"depth": 6, "rate": 0.1}, {"team": "rides", "kind": "test"},
    )  # fmt: skip
    assert client.home.get(record.outputs["plot"]) == b"<svg/>"
    assert repr(run) == "<run first of demand, finished: loss=–, rmse=–>"
    with pytest.raises(mr.MillraceError) as caught:
        run.log(rmse=1.0)
    assert caught.value.code == "run.over"


@pytest.mark.slow
def test_what_is_no_number_is_told_and_nothing_of_the_call_is_logged(embedded: Client) -> None:
    with mr.run("demand") as run:
        for loss in ("x", [1.0], 10**400):
            for log in (mr.log, run.log):
                with pytest.raises(mr.MillraceError, match="'loss'") as caught:
                    log(rmse=1.0, loss=loss)
                assert caught.value.code == "request.invalid" and caught.value.hint
        mr.log(rmse=2.0)
    assert run.record.metrics == {"rmse": 2.0}


def test_a_parameter_that_is_no_number_is_kept_as_a_text(embedded: Client) -> None:
    with mr.run("demand", params={"missing": math.nan, "depth": 6}) as run:
        run.params(bounds=[-math.inf, np.float32(1.5)], weight={"a": np.float64("nan")}, top=math.inf)
    assert run.record.params == {
        "missing": "nan", "depth": 6, "bounds": ["-inf", 1.5], "weight": {"a": "nan"}, "top": "inf",
    }  # fmt: skip


def test_metrics_in_a_dictionary_are_no_step(embedded: Client) -> None:
    with mr.run("flights") as run:
        with pytest.raises(mr.MillraceError, match=r"is no step") as caught:
            run.log({"auc": 0.7})  # type: ignore[arg-type]
        assert caught.value.code == "request.invalid" and "run.log(7, loss=0.3)" in caught.value.hint
        run.log(np.int64(3), auc=0.7)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [0.5, True, np.True_, 2**70, -(2**63), math.nan, math.inf, "11", np.array([1, 2])])
def test_what_is_no_step_is_told_at_the_call_and_no_good_point_is_lost(embedded: Client, wrong: Any) -> None:
    with mr.run("flights") as run:
        for log in (mr.log, run.log):
            log(1, auc=0.1)
            with pytest.raises(mr.MillraceError, match="is no step") as caught:
                log(wrong, auc=0.5)
            assert caught.value.code == "request.invalid"
            log(auc=0.2)
    found = embedded.call("run.metrics", run=run.id, key="auc")
    assert found.step == [1, 1, 2, 2]


def test_a_whole_number_is_a_step_however_it_is_written(embedded: Client) -> None:
    with mr.run("flights") as run:
        for step in (2.0, np.float32(3), np.int8(4), np.array(5), *np.linspace(6, 8, 3)):
            mr.log(step, auc=0.5)  # type: ignore[arg-type]
    assert embedded.call("run.metrics", run=run.id, key="auc").step == list(range(2, 9))


def test_a_name_that_no_metric_can_have_loses_no_other_point(embedded: Client) -> None:
    with mr.run("flights") as run:
        mr.log(auc=0.1)
        with pytest.raises(mr.MillraceError, match="cannot name a metric") as caught:
            mr.log(**{"auc": 0.2, "bad\nname": 1.0})
        assert caught.value.code == "name.invalid"
        mr.log(auc=0.3)
    assert embedded.call("run.metrics", run=run.id, key="auc").value == [0.1, 0.3]


@pytest.mark.slow
def test_runs_are_searched_and_the_best_is_found(embedded: Client) -> None:
    demand = mr.experiment("demand")
    for depth in (2, 4, 8):
        with demand.run(params={"depth": depth}):
            mr.log(rmse=abs(depth - 4) + 0.5)
    assert demand.best(minimize="rmse").params == {"depth": 4}
    assert demand.best(maximize="rmse").params == {"depth": 8}
    assert [run.params.depth for run in demand.runs("metrics.rmse > 1", "metrics.rmse")] == [2, 8]
    assert repr(demand) == "<experiment demand: 3 runs>" and "<td" in demand._repr_html_()
    with pytest.raises(mr.MillraceError):
        demand.best(minimize="mae")


def test_what_raises_fails_the_run(embedded: Client) -> None:
    with pytest.raises(ValueError), mr.run("demand") as run:
        raise ValueError("no good")
    assert (run.record.state, run.record.fault.message) == ("failed", "ValueError: no good")
    with pytest.raises(KeyboardInterrupt), mr.run("demand") as run:
        raise KeyboardInterrupt
    assert run.record.state == "cancelled"


class Flaky:
    """A client whose first writes are lost, some after they were done."""

    def __init__(self, client: Client, lose: int) -> None:
        self._client, self.lose, self.asked = client, lose, 0
        self.home = client.home

    def call(self, op: str, /, **request: Any) -> Any:
        return self._client.call(op, **request)

    def once(self, key: str, op: str, /, **request: Any) -> Any:
        self.asked += op == "run.log"
        if self.asked > self.lose or op != "run.log":
            return self._client.once(key, op, **request)
        if self.asked % 2:
            self._client.once(key, op, **request)
        raise mr.MillraceError("server.unreachable", "gone")


@pytest.mark.slow
def test_points_that_a_lost_server_did_not_take_are_sent_again_once(
    embedded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_EVERY_S", 0.01)
    flaky: Any = Flaky(embedded, 3)
    run = mr.run("demand", client=flaky)
    for step in range(10):
        run.log(step, loss=step)
    with pytest.raises(mr.MillraceError, match="10 points not written: gone"):
        run.flush()
    until(lambda: flaky.asked > 3, "another try")
    run.finish()
    assert embedded.call("run.metrics", run=run.id, key="loss").step == list(range(10))


def test_what_is_lost_is_told(embedded: Client) -> None:
    flaky: Any = Flaky(embedded, 10**9)
    run = mr.run("demand", client=flaky)
    run.log(loss=1.0)
    with pytest.raises(mr.MillraceError, match="1 point not written: gone"):
        run.finish()
    assert run.record.state == "finished"
    other = mr.run("demand")
    embedded.call("run.finish", run=other.id)
    other.log(loss=1.0)
    with pytest.raises(mr.MillraceError, match=r"1 point not written: run .* is finished"):
        other.flush()
    with pytest.raises(mr.MillraceError, match="is finished"):
        other.finish()


def test_an_end_that_is_not_written_for_long_is_told_once(embedded: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    told = threading.Event()

    def warning(text: str, *parts: object) -> None:
        lines.append(text % parts)
        told.set()

    class Slow(Flaky):
        """A client whose every call waits until somebody has said so."""

        def once(self, key: str, op: str, /, **request: Any) -> Any:
            assert told.wait(60)
            return self._client.once(key, op, **request)

    run = mr.run("demand")
    monkeypatch.setattr(tracking, "telling", lambda tell: telling(tell, after_s=0.0))
    monkeypatch.setattr(tracking._log, "warning", warning)
    slow: Any = Slow(embedded, 0)
    run._calls.client = slow
    run.finish()
    assert lines == [f"run {run.id}: its end is not written yet; waiting for {embedded.home.name}"]
    assert run.record.state == "finished"


@pytest.mark.slow
def test_the_end_of_a_program_finishes_its_run(tmp_path: Path) -> None:
    program = """
        import millrace as mr
        run = mr.run("demand")
        for step in range(2_000):
            run.log(step, loss=1 / (step + 1))
        print(run.id)
    """
    (tmp_path / "program.py").write_text(dedent(program))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    client = mr.connect(dir=str(tmp_path / ".millrace"))
    assert isinstance(client.home, Embedded)
    assert client.call("run.get", run=done.stdout.strip()).state == "finished"
    assert client.call("run.metrics", run=done.stdout.strip(), key="loss").count == 2_000
    client.close()
