from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.assemble import open_platform
from millrace.base.folders import make_private, open_to_others


@pytest.fixture(autouse=True)
def lavish() -> Iterator[None]:
    """Whoever runs it gives everything away."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_folder_that_is_made_is_private(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(0o755)
    make_private(tmp_path / "there" / "a" / "b")
    make_private(tmp_path / "there" / "a" / "b")
    assert [mode(tmp_path / "there" / part) for part in ("", "a", "a/b")] == [0o755, 0o700, 0o700]


@pytest.mark.parametrize("there", [False, True])
def test_what_a_platform_keeps_is_its_owners(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "made" / "home"
    if there:
        folder.mkdir(0o755, parents=True)
    platform = open_platform(folder)
    platform.start()
    platform.ground.blobs.put(b"rows")
    assert open_to_others(folder) == []
    assert mode(folder) == (0o755 if there else 0o700)
    files = [path for path in folder.glob("catalog.db*") if path.is_file()]
    assert {path.name for path in files} == {"catalog.db", "catalog.db-wal", "catalog.db-shm"}
    assert {mode(path) for path in files} == {0o600}
    assert {mode(path) for path in folder.rglob("*") if path.is_dir()} == {0o700}
    platform.close()


def test_what_lies_open_is_found(tmp_path: Path) -> None:
    assert open_to_others(tmp_path / "nowhere") == []
    folder = tmp_path / "home"
    folder.mkdir(0o755)
    for name, given in (("catalog.db", 0o644), ("catalog.db-wal", 0o600)):
        (folder / name).touch(given)
    (folder / "blobs").mkdir(0o750)
    assert open_to_others(folder) == ["catalog.db", "blobs"]
    folder.chmod(0o700)
    assert open_to_others(folder) == []
