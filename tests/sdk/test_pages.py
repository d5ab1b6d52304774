"""The examples of pages do what the page says, and the map of the pages knows every page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT

DOCS = ROOT / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["sdk.md", "tracking.md", "upkeep.md", "testing.md"])
def test_a_page_s_examples_print_what_it_shows(tmp_path: Path, page: str) -> None:
    blocks = re.findall(r"```(python|text)\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    (tmp_path / "program.py").write_text("\n".join(text for kind, text in blocks if kind == "python"))
    shown = "".join(text for kind, text in blocks if kind == "text")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (re.sub(r"run crowded-\w+", "run crowded-g9857x", done.stdout), done.stderr) == (shown, "")


def test_the_map_knows_every_page() -> None:
    text = (DOCS / "index.md").read_text("utf-8")
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    unknown = sorted(page for page in pages if f"]({page})" not in text)
    assert not unknown, f"add a line to docs/index.md for {', '.join(unknown)}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in (*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
