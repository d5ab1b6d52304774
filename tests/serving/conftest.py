"""A real platform with a model of two versions, and an endpoint that answers by the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.assemble import Platform, open_platform
from millrace.serving.records import Endpoint
from tests.registry.made import make


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path / "home")
    opened.call("model.make", {"name": "late"})
    yield opened
    opened.close()


@pytest.fixture
def delays(platform: Platform) -> Endpoint:
    made: Endpoint = platform.call(
        "endpoint.make", {"name": "delays", "model": "late", "key": "tail", "event": "at", "block_s": 3_600}
    )
    return made


@pytest.fixture
def routed(platform: Platform, delays: Endpoint) -> Endpoint:
    for slope in (1.0, -3.0):
        platform.call("model.register", {"model": "late", "run": make(platform, slope).run})
    platform.call("endpoint.route", {"endpoint": "delays", "arms": [{"number": 1, "weight": 10_000}]})
    return delays
