"""What a file of `millrace.stats` says of itself, and that `help` shows it with each of its functions."""

from __future__ import annotations

import inspect
import pydoc
import re
import sys

import pytest

from millrace import stats

PUBLIC = {
    name for name in stats.__all__ if callable(getattr(stats, name)) and not inspect.isclass(getattr(stats, name))
}
FILES = {name: inspect.unwrap(getattr(stats, name)).__module__ for name in PUBLIC}
SAID = {
    "its claim": r"\bClaims?:",
    "its unit": r"\bUnit(\s+of\s+evidence(, [^:]*)?)?:",
    "its source": r"\bSources?:",
    "what breaks it": r"\b(What\s+breaks\s+it|Breaks):",
}


@pytest.mark.parametrize("file", sorted(set(FILES.values())))
@pytest.mark.parametrize("what", SAID)
def test_a_file_with_public_functions_says(file, what):
    assert re.search(SAID[what], sys.modules[file].__doc__ or ""), f"the docstring of {file} does not say {what}"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_help_shows_a_functions_own_text_and_then_that_of_its_file(name):
    own, file = inspect.unwrap(getattr(stats, name)), sys.modules[FILES[name]]
    text = inspect.getdoc(getattr(stats, name))
    assert text == f"{inspect.getdoc(own)}\n\n{inspect.getdoc(file)}"
    shown = pydoc.plain(pydoc.render_doc(getattr(stats, name)))
    assert all(line in shown for line in text.splitlines())
