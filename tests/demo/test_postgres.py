"""The story on PostgreSQL decides what it decides on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.test_story import story, told

pytestmark = pytest.mark.slow


def test_the_catalog_changes_no_decision(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = story(tmp_path / "sqlite", days=3)
    plain.set_up()
    wanted = told(plain, plain.replay)
    monkeypatch.setenv("MILLRACE_CATALOG", postgres_url)
    served = story(tmp_path / "postgres", days=3)
    served.set_up()
    assert told(served, served.replay) == wanted
    assert not (tmp_path / "postgres" / "catalog.db").exists()
    assert (tmp_path / "sqlite" / "catalog.db").exists()
