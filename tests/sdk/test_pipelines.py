"""A user's program that defines and runs a pipeline, without a guard, embedded and against a server alike."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.base.errors import MillraceError
from millrace.http.holder import holder
from millrace.sdk import pipelines
from millrace.sdk.client import Client, Remote
from millrace.sdk.pipelines import RunHandle
from millrace.store import tree
from millrace.store.local import LocalBlobs
from millrace.testing.server import serving, start
from tests.pipelines.conftest import until
from tests.sdk.conftest import fitted

PROGRAM = """
    import json
    import sys
    import millrace as mr
    from lib import scaled

    LIMIT = int("4")
    ACTED = print("acting", file=sys.stderr)

    @mr.step
    def numbers(n: int):
        return [i for i in range(n) if i < LIMIT]

    @mr.step
    def total(items):
        mr.log(total=scaled(sum(items)))
        return {"total": scaled(sum(items))}

    @mr.pipeline
    def main(n: int = 3):
        return total(numbers(n))

    run = main.run(n=9)
    print(json.dumps([run.state, run.metrics, run.value(), [step.state for step in run.steps], repr(run)]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(dedent(PROGRAM))
    (tmp_path / "lib.py").write_text("def scaled(x):\n    return 10 * x\n")
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-m", "millrace", "up", "--dir", str(home), "--port", "0"], cwd=Path(__file__).parents[2]
    )
    yield until(lambda: getattr(holder(home), "url", ""), "the server")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def ran(folder: Path, **environment: str) -> tuple[Any, str]:
    """What the program printed as JSON, and its standard error."""
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_program_runs_its_pipeline(folder: Path) -> None:
    told, errors = ran(folder, MILLRACE_DIR=str(folder / "home"))
    state, metrics, value, steps, shown = told
    assert (state, metrics, value, steps) == ("finished", {"total": 60.0}, {"total": 60}, ["made", "made"])
    assert shown.startswith("<run main-") and shown.endswith("finished: total=60>")
    assert errors == "acting\n"
    assert ran(folder, MILLRACE_DIR=str(folder / "home"))[0][3] == ["cached", "cached"]
    (folder / "lib.py").write_text("def scaled(x):\n    return 20 * x\n")
    assert ran(folder, MILLRACE_DIR=str(folder / "home"))[0][1:4] == [
        {"total": 120.0},
        {"total": 120},
        ["cached", "made"],
    ]


@pytest.mark.slow
def test_the_same_program_runs_on_a_server(folder: Path, server: str) -> None:
    told, errors = ran(folder, MILLRACE_URL=server)
    assert told[:4] == ["finished", {"total": 60.0}, {"total": 60}, ["made", "made"]]
    assert errors == "acting\n"
    assert ran(folder, MILLRACE_DIR=str(folder / "home"))[0][3] == ["cached", "cached"]


@pytest.mark.slow
def test_a_failed_run_raises_what_its_step_told(folder: Path) -> None:
    text = (folder / "program.py").read_text()
    text = text.replace("    return [i for i", "    raise ValueError('no good')\n    return [i for i")
    (folder / "program.py").write_text(text.replace("def main(n", "def other(n").replace("main.run", "other.run"))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "MILLRACE_DIR": "home"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "error[step.raised]: step 'numbers': ValueError: no good" in done.stderr


TRAINING = """
    import json
    import sys
    import millrace as mr

    client = mr.connect()
    client.call("dataset.make", name="rides", key=["id"], event="at")
    table = {"id": list(range(200)), "at": list(range(200)), "size": [n * 37 % 101 for n in range(200)],
             "late": [n * 37 % 101 > 50 for n in range(200)]}
    client.call("dataset.push", tables={"rides": table})

    @mr.step
    def fit(rows, depth: int):
        from sklearn.tree import DecisionTreeClassifier
        model = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(rows.train.X, rows.train.y)
        mr.log(accuracy=float((model.predict(rows.test.X) == rows.test.y).mean()))
        return model

    @mr.step
    def check(model, rows):
        return float(((model.score(rows.test.X) > 0.5) == rows.test.y).mean())

    @mr.pipeline
    def trained(depth: int = 3):
        rows = mr.dataset("rides").latest.split("late")
        model = fit(rows, depth)
        return {"model": model, "accuracy": check(model, rows)}

    run = trained.run()
    loaded = sorted({"sklearn", "onnxruntime", "skl2onnx", "optuna"} & set(sys.modules))
    print(json.dumps([run.metrics, run.value("accuracy"), run.outputs["model"], loaded]))
"""


@pytest.mark.slow
def test_a_model_is_trained_and_nothing_of_it_is_loaded_here(folder: Path) -> None:
    (folder / "program.py").write_text(dedent(TRAINING))
    told, _ = ran(folder, MILLRACE_DIR=str(folder / "home"))
    metrics, accuracy, model, loaded = told
    assert (metrics, accuracy, loaded) == ({"accuracy": 1.0}, 1.0, [])
    blobs = LocalBlobs(folder / "home" / "blobs")
    assert {"model.json", "model.onnx", "golden.json"} <= {entry.path for entry in tree.read(blobs, model)}


def test_a_value_among_several_is_named(client: Client) -> None:
    run = fitted(client)
    bare = client.call("run.start", experiment="flights")["id"]
    client.call("run.finish", run=bare)
    several = client.call("run.start", experiment="flights")["id"]
    model = RunHandle(client, run).outputs["train"]
    client.call("run.finish", run=several, outputs={"train": model, "check": model})
    for known, named in ((run, ""), (several, "check")):
        with pytest.raises(MillraceError, match="is a model") as caught:
            RunHandle(client, known).value(named)
        assert caught.value.code == "output.unplain" and caught.value.hint
    for asked, name, message, hint in (
        (several, "", "has 2 outputs: check, train", "name one"),
        (several, "chekc", "has no output 'chekc'", "did you mean 'check'?"),
        (bare, "", "is finished and has no output", "wait()"),
        (bare, "train", "is finished and has no output", "wait()"),
    ):
        with pytest.raises(MillraceError, match=re.escape(message)) as caught:
            RunHandle(client, asked).value(name)
        assert caught.value.code == "output.unknown" and hint in caught.value.hint


class Watching(Client):
    """A client that counts the calls that found nobody."""

    away = 0

    def call(self, op: str, /, **request: Any) -> Any:
        try:
            return super().call(op, **request)
        except MillraceError:
            self.away += 1
            raise


@pytest.mark.slow
def test_who_waits_for_a_run_waits_out_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(tmp_path / "home")
    port = first.url.rpartition(":")[2]
    client = Watching(Remote(first.url), "main")
    run = client.call("run.start", experiment="flights")["id"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(RunHandle(client, run).wait)
        first.stop(signal.SIGKILL)
        until(lambda: client.away >= 2, "the waiting one has found nobody, twice")
        with serving(tmp_path / "home", "--port", port) as second:
            second.call("run.finish", run=run)
            assert waiting.result(60).state == "finished"
            left = client.call("run.start", experiment="flights")["id"]
    monkeypatch.setattr(pipelines, "_AWAY_S", 0.0)
    with pytest.raises(MillraceError, match=left) as caught:
        RunHandle(client, left).wait()
    assert (caught.value.code, caught.value.hint) == ("server.unreachable", f"it may go on: millrace run get {left}")


@pytest.mark.parametrize(
    ("looks", "lines"),
    [
        ([["made", "running"]] * 4, 0), ([[]] * 4, 0), ([["made"], ["made", "running"]] * 3, 0),
        ([["made", "cached"]] * 4, 1), ([["running"], ["failed"], ["failed"], ["failed"]], 1),
    ],
)  # fmt: skip
def test_a_run_whose_end_does_not_come_is_told_once(
    looks: list[list[str]], lines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Waited:
        """A run as it is found, look by look."""

        id = "r"
        _client = SimpleNamespace(home=SimpleNamespace(name="http://there"))

        def __init__(self) -> None:
            self._looks = iter(looks)

        @property
        def steps(self) -> list[dict[str, str]]:
            return [{"state": state} for state in next(self._looks)]

    monkeypatch.setattr(pipelines, "_ENDING_S", 0.0)
    ending, waited = pipelines._Ending(), Waited()
    for _ in looks:
        ending.look(waited)  # type: ignore[arg-type]
    told = "run r: every step is over, and its end is not written yet; the log of http://there says why"
    assert [line.getMessage() for line in caplog.records] == [told] * lines
