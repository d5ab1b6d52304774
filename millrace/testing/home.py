"""Fresh platforms for tests, quickly: an empty home is made once for a test process, and copied."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.clock import Clock


@functools.cache
def _empty() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="millrace-home-")
    open_platform(Path(made.name) / "home").close()
    return made


def fresh_platform(folder: Path, clock: Clock | None = None) -> Platform:
    """A platform in `folder`, which must not be there, without anything in it. The caller closes it."""
    shutil.copytree(Path(_empty().name) / "home", folder)
    return open_platform(folder, clock)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Platform]:
    """A real platform with nothing in it; its followers are not started."""
    opened = fresh_platform(tmp_path / "home")
    yield opened
    opened.close()
