"""The examples of the pages about data and features print what the pages show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("page", ["data.md", "features.md"])
def test_a_page_s_example_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    blocks = dict(re.findall(r"```(python|text)\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", blocks["python"]], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (blocks["text"], "")
