"""A real platform that runs pipelines, and a folder of a user's code that can be edited between runs."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from millrace.assemble import Platform, open_platform
from millrace.pipelines import archive
from millrace.store import tree

OVER = ("finished", "failed", "cancelled")


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("MILLRACE_STEP_LOG_MB", "1")
    opened = open_platform(tmp_path / "home")
    opened.start()
    yield opened
    opened.close()


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `true` answers once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = true()
        if found:
            return found
        time.sleep(0)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Project:
    """A user's folder of code, with the pipeline `main` in `project.py`."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        self.folder = folder
        self.platform = platform

    def write(self, **files: str) -> None:
        for name, text in files.items():
            place = self.folder / f"{name.replace('__', '/')}.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(dedent(text))

    def register(self, **about: Any) -> Any:
        blobs = self.platform.ground.blobs
        code = tree.make(blobs, dict(archive.files(self.folder, "project")))
        ask = {"name": "main", "code": code, "entry": "project:main", **about}
        return self.platform.call("pipeline.register", ask)

    def start(self, params: dict[str, Any] | None = None, **more: Any) -> Any:
        self.register(defaults=dict.fromkeys(params or {}))
        return self.platform.call("pipeline.run", {"pipeline": "main", "params": params or {}, **more})

    def run(self, params: dict[str, Any] | None = None, **more: Any) -> Any:
        return self.ended(self.start(params, **more).id)

    def ended(self, run: str) -> Any:
        def look() -> Any:
            found = self.platform.call("run.get", {"run": run})
            return found if found.state in OVER else None

        return until(look, f"the end of run {run}")

    def states(self, run: Any) -> dict[str, str]:
        """How each step of a run came about."""
        return {step.step: step.state for step in self.platform.call("pipeline.explain", {"run": run.id}).steps}

    def value(self, run: Any, name: str = "") -> Any:
        digest = run.outputs[name] if name else next(iter(run.outputs.values()))
        return self.platform.call("pipeline.value", {"digest": digest}).value


@pytest.fixture
def project(tmp_path: Path, platform: Platform) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, platform)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Loads source as a module of a name of its own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = []

    def load(text: str, name: str = "sample") -> Any:
        (folder / f"{name}.py").write_text(dedent(text))
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        made.append(name)
        return importlib.import_module(name)

    yield load
    for name in made:
        sys.modules.pop(name, None)
