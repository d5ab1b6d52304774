"""The first program that anybody runs: it is short, and prints what its page shows, embedded and on a server."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.testing.server import serving
from tests.tidy.source import ROOT

PROGRAM = (ROOT / "examples" / "quickstart.py").read_text("utf-8")
PAGE = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
SHOWN = "".join(re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL))


def ran(folder: Path, **environment: str) -> str:
    """What the program printed in an empty folder."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"], cwd=folder, capture_output=True, text=True, timeout=300,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_it_is_short_and_its_page_shows_it() -> None:
    body = ast.parse(PROGRAM).body[1:]
    first = min(node.lineno for node in body)
    lines = [line for line in PROGRAM.splitlines()[first - 1 :] if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) <= 25
    assert f"```python\n{PROGRAM}```" in PAGE
    assert f"```python\n{PROGRAM}```" in (ROOT / "README.md").read_text("utf-8")
    assert SHOWN in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_embedded_it_prints_what_its_page_shows(tmp_path: Path) -> None:
    assert ran(tmp_path / "place") == SHOWN


@pytest.mark.slow
def test_on_a_server_it_prints_the_same_and_again(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        assert ran(tmp_path / "place", MILLRACE_URL=server.url) == SHOWN
        assert ran(tmp_path / "place", MILLRACE_URL=server.url) == SHOWN
        assert [version["number"] for version in server.call("model.versions", model="late")["items"]] == [1]
        first = server.call("rollout.get", endpoint="late")["rollout"]
        assert first["verdicts"]["base_rate"]["decision"] == "proven", "the page says so"
    assert not (tmp_path / "place" / ".millrace").exists()
