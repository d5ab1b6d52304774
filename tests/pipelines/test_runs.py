"""Whole runs of real pipelines: answers, the cache and its reasons, faults, cancelling, logs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from millrace.assemble import Platform
from millrace.base.config import load
from millrace.pipelines.runner import processes
from tests.pipelines.conftest import Project, until

PLAIN = """
    import millrace as mr

    FACTOR = 3

    @mr.step
    def load(n: int):
        print("loading", n)
        mr.log(rows=n)
        return list(range(n))

    @mr.step
    def scale(items):
        return [FACTOR * item for item in items]

    @mr.step
    def total(items, also):
        mr.log(total=sum(items) + sum(also))
        return {"sum": sum(items) + sum(also)}

    @mr.pipeline
    def main(n: int = 4):
        loaded = load(n)
        return {"result": total(scale(loaded), loaded)}
"""


def test_a_run_answers_logs_and_tells(project: Project) -> None:
    project.write(project=PLAIN)
    run = project.run({"n": 4}, purpose={"challenger": "flights"}, seed=7)
    assert (run.state, run.fault) == ("finished", None)
    assert project.value(run, "result") == {"sum": 24}
    assert run.metrics == {"rows": 4.0, "total": 24.0}
    assert run.origin.purpose == {"challenger": "flights"} and run.origin.seed == 7
    assert project.platform.call("run.logs", {"run": run.id, "node": 0}).text == "loading 4\n"


@pytest.mark.slow
def test_a_second_run_does_no_work(project: Project) -> None:
    project.write(project=PLAIN)
    first, second = project.run({"n": 4}), project.run({"n": 4})
    assert set(project.states(first).values()) == {"made"}
    assert set(project.states(second).values()) == {"cached"}
    assert second.outputs == first.outputs and second.metrics == first.metrics


@pytest.mark.slow
def test_explain_names_what_changed(project: Project) -> None:
    project.write(project=PLAIN)
    project.run({"n": 4})
    changed = project.run({"n": 5})
    explained = project.platform.call("pipeline.explain", {"run": changed.id})
    assert {step.step: step.changed for step in explained.steps} == {
        "load": ("parameter n: 4 → 5",),
        "scale": ("input items changed",),
        "total": ("input also changed", "input items changed"),
    }


EDITS: dict[str, tuple[dict[str, str], dict[str, str], set[str]]] = {
    "constant": ({}, {"FACTOR = 3": "FACTOR = 4"}, {"scale", "total"}),
    "comment": ({}, {"FACTOR = 3": "# how much\n    FACTOR = 3"}, set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_edits(project: Project, name: str) -> None:
    _, edit, again = EDITS[name]
    project.write(project=PLAIN)
    project.run({"n": 4})
    text = PLAIN
    for old, new in edit.items():
        text = text.replace(old, new)
    project.write(project=text)
    states = project.states(project.run({"n": 4}))
    assert {step for step, state in states.items() if state == "made"} == again


FAULTS: dict[str, tuple[str, str, Any]] = {
    "raises": ("@mr.step", "raise ValueError('no good')", ("step.raised", "step 'act': ValueError: no good")),
    "hangs": ("@mr.step(timeout_s=1)", "import time; time.sleep(600)", ("step.timeout", "step 'act': it was still")),
    "eats": ("@mr.step(memory_mb=100)", "return len(bytearray(1 << 30))", ("step.memory", "step 'act': it wanted")),
    "floods": ("@mr.step", "while True: print('x' * 9_999)", ("step.log", "step 'act': its log grew")),
    "dies": ("@mr.step(retries=1)", "import os; os.kill(os.getpid(), 9)", ("step.lost", "step 'act': its process")),
    "answers nonsense": ("@mr.step", "return object()", ("step.answer", "step 'act': answer is a builtins.object")),
    "refuses": (
        "@mr.step", "from millrace.base.errors import MillraceError as F; raise F('frame.empty', 'no rows', 'x')",
        ("frame.empty", "step 'act': no rows"),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_failing_step_ends_the_run_with_its_fault(project: Project, name: str) -> None:
    decorator, body, (code, message) = FAULTS[name]
    project.write(
        project=f"""
    import millrace as mr

    {decorator}
    def act():
        {body}

    @mr.pipeline
    def main():
        return act()
    """
    )
    run = project.run()
    assert run.state == "failed" and run.fault.code == code
    assert run.fault.message.startswith(message) and f"millrace run logs {run.id}" in run.fault.hint
    if name == "raises":
        assert "ValueError: no good" in project.platform.call("run.logs", {"run": run.id}).text
    if name == "floods":
        ask = {"run": run.id, "offset": 1 << 20}
        assert project.platform.call("run.logs", ask).text == "\n[the log was cut here, at its bound of 1 MB]\n"
    if name == "dies":
        assert (project.platform.ground.folder / "exec" / "logs" / run.id / "000-act-1.log").exists()


@pytest.mark.slow
def test_a_pipeline_that_cannot_be_planned_fails(project: Project) -> None:
    project.write(project="import not_installed_anywhere")
    run = project.run()
    assert (run.state, run.fault.code) == ("failed", "pipeline.entry")
    project.write(project="main = 3")
    run = project.run()
    assert (run.state, run.fault.code) == ("failed", "pipeline.entry")


HANGING = """
    import time
    import millrace as mr

    @mr.step
    def hang():
        print("hanging")
        time.sleep(600)

    @mr.pipeline
    def main():
        return hang()
"""


def test_a_run_can_be_cancelled_and_its_log_read_meanwhile(project: Project) -> None:
    project.write(project=HANGING)
    run = project.start()

    def logs() -> Any:
        return project.platform.call("run.logs", {"run": run.id, "node": 0})

    until(lambda: logs().text == "hanging\n", "the first line of the log")
    assert not logs().over
    project.platform.call("run.cancel", {"run": run.id})
    assert project.ended(run.id).state == "cancelled"
    assert project.states(run) == {"hang": "cancelled"}
    until(lambda: logs().over, "the end of the log")


@pytest.mark.slow
def test_the_same_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    platform = Platform(load({"dir": str(tmp_path / "home"), "catalog": postgres_url}))
    platform.start()
    try:
        folder = tmp_path / "project"
        folder.mkdir()
        project = Project(folder, platform)
        project.write(project=PLAIN)
        first, second = project.run({"n": 4}), project.run({"n": 4})
        assert (first.state, first.metrics) == ("finished", {"rows": 4.0, "total": 24.0})
        assert set(project.states(second).values()) == {"cached"} and second.outputs == first.outputs
    finally:
        platform.close()


@pytest.mark.slow
def test_a_step_whose_parent_was_killed_is_tried_again(project: Project, tmp_path: Path) -> None:
    gate, made = tmp_path / "gate", tmp_path / "made"
    project.write(
        project=f"""
    import time
    from pathlib import Path
    import millrace as mr

    @mr.step
    def wait():
        with open({str(made)!r}, "a") as file:
            file.write("x")
        while not Path({str(gate)!r}).exists():
            time.sleep(0.01)
        return 5

    @mr.pipeline
    def main():
        return wait()
    """
    )
    run = project.start()
    until(made.exists, "the step")
    parent = processes(project.platform.ground).pid
    assert parent is not None
    os.kill(parent, signal.SIGKILL)
    until(lambda: made.read_text() == "xx", "the second attempt")
    gate.touch()
    assert project.ended(run.id).state == "finished"
