"""Ten kills at random moments of a short replay: nothing acknowledged is lost, nothing half-made is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.testing import kills

DAYS, KILLS = 5, 10


@pytest.mark.slow
def test_ten_kills_lose_nothing_and_change_nothing(tmp_path: Path) -> None:
    made = kills.prepared(tmp_path / "home")
    whole = kills.replayed(kills.copied(made, tmp_path / "whole"), DAYS)
    drawn = kills.moments(whole, KILLS, seed=7)
    killed = kills.replayed(kills.copied(made, tmp_path / "killed"), DAYS, drawn)
    assert sum(killed.kills.values()) == len(killed.restarts) == KILLS
    assert not kills.contradictions(whole, killed)
    assert kills.promotions(killed) == 2
    heard = killed.heard
    assert len(heard.predictions) > 4_000
    assert all((heard.labels, heard.blobs, heard.pushed, heard.facts))
