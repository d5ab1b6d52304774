"""Monitoring, rollout and governance say the same on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.assemble import Platform
from millrace.base.config import load
from tests.monitoring.days import ORIGIN
from tests.rollout.replay import BLUNT, HARMFUL, TRUE, Replay


@pytest.mark.slow
def test_the_rooms_work_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    platform = Platform(load({"dir": str(tmp_path), "catalog": postgres_url}))
    try:
        replay = Replay(platform)
        one = replay.register(BLUNT, params={"until": ORIGIN})
        replay.start(one)
        replay.run(3, rows=60)
        replay.start(replay.register(TRUE, params={"until": replay.now}))
        replay.run(4, rows=60)
        three = replay.register(HARMFUL)
        platform.call("rollout.force", {"endpoint": "late", "number": three, "reason": "the fair"})
        platform.call("rollout.guard")
        replay.run(2, rows=60)
        assert [one.state for one in platform.call("rollout.list").items] == ["watching", "shadow", "promoted"]
        assert len(platform.call("monitor.series", {"endpoint": "late"}).judgements) == 8
        assert platform.call("card.make", {"model": "lateness", "number": one}).card.edition == 1
        assert platform.call("incident.list", {"endpoint": "late", "open": True}) is not None
    finally:
        platform.close()
