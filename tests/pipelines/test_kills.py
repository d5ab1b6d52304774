"""A platform killed at any moment: its runs are gone on with, each answer is committed once, each end is told once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from millrace.assemble import Platform, open_platform
from millrace.pipelines import archive, tables
from millrace.store import tree
from tests.pipelines.conftest import until

CODE = """
    import os, time
    from pathlib import Path
    import millrace as mr

    def note(name):
        with open(os.environ["MADE"], "a") as file:
            file.write(name + "\\n")

    @mr.step
    def source(n: int):
        note("source")
        mr.log(n=n)
        return list(range(n))

    @mr.step
    def part(items, at: int):
        note(f"part {at}")
        time.sleep(0.05)
        mr.log(**{f"part{at}": sum(items) * at})
        return {"sum": sum(items) * at, "blob": b"x" * 100_000}

    @mr.step
    def join(parts):
        note("join")
        mr.log(joined=sum(p["sum"] for p in parts))
        return sum(p["sum"] for p in parts)

    @mr.pipeline
    def main(n: int = 5):
        items = source(n)
        return join([part(items, at) for at in range(6)])
"""
PROGRAM = """
import sys
from millrace.assemble import open_platform
platform = open_platform(sys.argv[1])
platform.start()
if not platform.call("run.search", {}).items:
    platform.call("pipeline.run", {"pipeline": "main"}, key="the one")
seen = 0
while any(run.state in ("queued", "running") for run in platform.call("run.search", {}).items):
    seen = platform.ground.catalog.wait(seen, 0.2)
platform.close()
"""


def prepared(home: Path, code: Path) -> None:
    code.mkdir()
    (code / "project.py").write_text(dedent(CODE))
    platform = open_platform(home)
    digest = tree.make(platform.ground.blobs, dict(archive.files(code, "project")))
    platform.call("pipeline.register", {"name": "main", "code": digest, "entry": "project:main", "defaults": {"n": 5}})
    platform.close()


def lived(home: Path, made: Path, seconds: float | None) -> bool:
    """Run the program for some seconds, then kill it; whether it had ended by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home)],
        env={"MADE": str(made), "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.wait(seconds) == 0
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def checked(home: Path) -> None:
    """What must hold however often it was killed."""
    platform = open_platform(home)
    try:
        (run,) = platform.call("run.search", {}).items
        assert run.state == "finished"
        assert run.metrics == {"n": 5.0, "joined": 150.0, **{f"part{at}": 10.0 * at for at in range(6)}}
        for name in run.metrics:
            assert platform.call("run.metrics", {"run": run.id, "key": name}).count == 1
        assert platform.call("pipeline.value", {"digest": run.outputs["join"]}).value == 150
        kinds = Counter(fact.kind for fact in platform.call("audit.facts", {"limit": 1000}).items)
        assert (kinds["run.started"], kinds["run.finished"]) == (1, 1)
        with platform.ground.catalog.read() as tx:
            steps = tables.steps(tx, "main", run.id)
            kept = [tables.output(tx, "main", step.key) for step in steps]
            assert not tables.some_open(tx)
        assert [step.state in ("made", "cached") for step in steps] == [True] * 8
        assert [one is not None and one.tree for one in kept] == [step.tree for step in steps]
        for step in steps:
            tree.keep(platform.ground.blobs, step.tree)
    finally:
        platform.close()


def kills(tmp_path: Path, seed: int, most: int) -> None:
    home, made, chance = tmp_path / "home", tmp_path / "made", random.Random(seed)
    prepared(home, tmp_path / "code")
    for _ in range(most):
        if lived(home, made, chance.uniform(0.3, 1.6)):
            break
    else:
        assert lived(home, made, 60)
    checked(home)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    kills(tmp_path, seed, 4)
    assert (tmp_path / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_killed_at_many_random_moments(tmp_path: Path, seed: int) -> None:
    kills(tmp_path, seed, 6)
    assert (tmp_path / "made").exists()


@pytest.mark.slow
def test_a_closed_platform_goes_on_when_it_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, gate, made = tmp_path / "home", tmp_path / "gate", tmp_path / "made"
    code = tmp_path / "code"
    code.mkdir()
    (code / "project.py").write_text(
        dedent(f"""
        import time
        from pathlib import Path
        import millrace as mr

        def note(name):
            with open({str(made)!r}, "a") as file:
                file.write(name + "\\n")

        @mr.step
        def first():
            note("first")
            return 1

        @mr.step
        def second(x):
            note("second")
            while not Path({str(gate)!r}).exists():
                time.sleep(0.01)
            return x + 1

        @mr.pipeline
        def main():
            return second(first())
        """)
    )
    platform: Platform = open_platform(home)
    platform.start()
    digest = tree.make(platform.ground.blobs, dict(archive.files(code, "project")))
    platform.call("pipeline.register", {"name": "main", "code": digest, "entry": "project:main"})
    run = platform.call("pipeline.run", {"pipeline": "main"})
    until(lambda: made.exists() and "second" in made.read_text(), "the second step")
    platform.close()

    platform = open_platform(home)
    assert platform.call("run.get", {"run": run.id}).state == "running"
    gate.touch()
    platform.start()
    until(lambda: platform.call("run.get", {"run": run.id}).state == "finished", "the end of the run")
    platform.close()
    assert made.read_text().split() == ["first", "second", "second"]
