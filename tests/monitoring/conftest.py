"""A real platform in a fresh directory, with an endpoint that days of answers can be written for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.assemble import Platform, open_platform
from tests.monitoring.days import Days


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def days(platform: Platform) -> Days:
    return Days(platform)
