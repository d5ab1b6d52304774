"""Tests stand in any order: what drives the browser leaves nothing behind in the process that runs them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT

SHOWN = "tests/ui/test_home.py::test_a_page_that_is_not_there_says_so"
OTHER = "tests/http/test_application.py::test_a_server_that_drains_says_so"


@pytest.mark.slow
def test_a_test_with_a_loop_of_its_own_may_follow_one_with_a_browser(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    done = subprocess.run([*run, SHOWN, OTHER], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
