"""docs/statistics.md: its examples print what it shows, its pictures are those that the script draws."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.pictures import FOLDER, PICTURES, svg

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text("utf-8")


def test_the_examples_print_what_the_page_shows():
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE, re.DOTALL)
    space, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for kind, text in blocks:
            if kind == "python":
                exec(compile(text, "docs/statistics.md", "exec"), space)
    assert printed.getvalue() == "".join(text for kind, text in blocks if kind == "text")


def numbers(text):
    return [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", text)]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_the_pictures_are_current(name):
    """The same words and shapes; points to a tenth of a pixel, in which processors may round differently."""
    drawn, kept = svg(PICTURES[name]()), (FOLDER / f"{name}.svg").read_text("utf-8")
    assert re.sub(r"\d", "", drawn) == re.sub(r"\d", "", kept), "run: .venv/bin/python -m scripts.pictures"
    assert numbers(drawn) == pytest.approx(numbers(kept), abs=0.11), "run: .venv/bin/python -m scripts.pictures"
    ElementTree.fromstring(kept)
    assert len(kept) < 8000 and "prefers-color-scheme:dark" in kept
    assert f"](pictures/{name}.svg)" in PAGE
