"""The examples of the pages on the registry and on serving are programs that run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.source import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("page", ["registry.md", "serving.md"])
def test_the_example_of_a_page_runs(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert programs
    for program in programs:
        names: dict[str, Any] = {"folder": tmp_path / "home"}
        try:
            exec(compile(program, page, "exec"), names)
        finally:
            names["platform"].close()
