"""The cache: what is made again, what is not, and what becomes of an answer whose bytes are lost."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.pipelines import environment, tables
from millrace.pipelines.environment import Environment
from millrace.store import tree
from tests.pipelines.conftest import Project

CODE = """
    import millrace as mr
    from helped import one

    class Base:
        def rate(self):
            return 2

    class Child(Base):
        def scaled(self, x):
            return self.rate() * x

    def loud(times):
        def wrap(function):
            def inner(x):
                return function(x) * times
            return inner
        return wrap

    @loud(2)
    def decorated(x):
        return x

    @mr.step
    def first(n: int):
        return one(n)

    @mr.step
    def second(x, more=1):
        return Child().scaled(x) + more

    @mr.step
    def third(x):
        return decorated(x)

    @mr.pipeline
    def main(n: int = 1):
        return third(second(first(n)))
"""
HELPED = "from far import two\ndef one(n):\n    return two(n)\n"
FAR = "STEP = 1\ndef two(n):\n    return n + STEP\n"
ALL = {"first", "second", "third"}
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "a helper": ("helped", "two(n)\n", "two(n) * 2\n", ALL),
    "a helper's helper": ("far", "n + STEP", "n - STEP", ALL),
    "a helper's constant": ("far", "STEP = 1", "STEP = 5", ALL),
    "a default": ("project", "more=1", "more=2", {"second", "third"}),
    "a base class": ("project", "return 2", "return 3", {"second", "third"}),
    "a method": ("project", "self.rate() * x", "self.rate() - x", {"second", "third"}),
    "a decorator's argument": ("project", "@loud(2)", "@loud(3)", {"third"}),
    "a decorator": ("project", "* times", "- times", {"third"}),
    "a change without effect": ("far", "n + STEP", "STEP + n", {"first"}),
    "a comment": ("far", "STEP = 1", "# one\nSTEP = 1  # more", set()),
    "an order": ("far", FAR, "def two(n):\n    return n + STEP\nSTEP = 1\n", set()),
}


_QUICK = ("a helper's helper", "a comment")
_NAMES = [pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in EDITS]


@pytest.mark.parametrize("name", _NAMES)
def test_exactly_what_an_edit_reaches_is_made_again(project: Project, name: str) -> None:
    files = {"project": CODE, "helped": HELPED, "far": FAR}
    project.write(**files)
    before = project.run({"n": 1})
    file, old, new, again = EDITS[name]
    assert old in files[file]
    project.write(**{file: files[file].replace(old, new)})
    after = project.run({"n": 1})
    assert {step for step, state in project.states(after).items() if state == "made"} == again
    if name in ("a comment", "an order", "a change without effect"):
        assert after.outputs == before.outputs
    else:
        assert project.value(after) != project.value(before)


@pytest.mark.slow
def test_an_answer_whose_bytes_are_lost_is_made_again(project: Project) -> None:
    project.write(project=CODE, helped=HELPED, far=FAR)
    first = project.run({"n": 1})
    blobs = project.platform.ground.blobs
    for entry in tree.read(blobs, first.outputs["third"]):
        blobs.delete(entry.digest)
    second = project.run({"n": 1})
    assert project.states(second) == {"first": "cached", "second": "cached", "third": "made"}
    assert project.value(second) == project.value(project.run({"n": 1}))


@pytest.mark.slow
def test_another_seed_and_another_environment_are_other_keys(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(project=CODE, helped=HELPED, far=FAR)
    project.run({"n": 1})
    assert set(project.states(project.run({"n": 1}, seed=5)).values()) == {"made"}
    here = environment.here()
    upgraded = Environment(here.python, here.machine, {**here.distributions, "numpy": "99.0"})
    monkeypatch.setattr(environment, "here", lambda: upgraded)
    run = project.run({"n": 1}, seed=5)
    explained = project.platform.call("pipeline.explain", {"run": run.id})
    assert {step.state for step in explained.steps} == {"made"}
    assert explained.steps[0].changed == (f"environment: numpy: {here.distributions['numpy']} → 99.0",)


ODD = """
    import millrace as mr

    @mr.step(cache=False)
    def always():
        return 1

    @mr.step
    def twice(x):
        return x

    @mr.step
    def dynamic(x):
        return eval("x")

    @mr.pipeline
    def main():
        x = always()
        return {"one": twice(x), "two": twice(x), "three": dynamic(x)}
"""


@pytest.mark.slow
def test_uncached_equal_and_unknowable_calls(project: Project) -> None:
    project.write(project=ODD)
    first = project.platform.call("pipeline.explain", {"run": project.run().id})
    states = [(step.step, step.state) for step in first.steps]
    assert sorted(states) == [("always", "made"), ("dynamic", "made"), ("twice", "cached"), ("twice", "made")]
    assert first.notes == ("all first-party files count, because function project:dynamic uses eval",)
    second = project.platform.call("pipeline.explain", {"run": project.run().id})
    assert [(step.step, step.state) for step in second.steps if step.step == "always"] == [("always", "made")]
    project.write(other="", project="# a comment\n" + "import other\n" + ODD.replace("\n    ", "\n"))
    third = project.platform.call("pipeline.explain", {"run": project.run().id})
    assert {step.step: step.state for step in third.steps}["dynamic"] == "made"


@pytest.mark.slow
def test_one_output_a_key(project: Project) -> None:
    project.write(project=ODD)
    runs = [project.run() for _ in range(3)]
    with project.platform.ground.catalog.read() as tx:
        for run in runs:
            for step in tables.steps(tx, "main", run.id):
                kept: Any = tables.output(tx, "main", step.key)
                assert kept.tree == step.tree
