"""A real platform in a fresh directory, with an endpoint that can be replayed day by day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.assemble import Platform, open_platform
from tests.rollout.replay import Replay


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def replay(platform: Platform) -> Replay:
    return Replay(platform)
