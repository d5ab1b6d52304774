"""Folders for their owner alone: what a platform keeps (tokens' hashes, rows, predictions) is nobody else's to read.

What it makes is private from the start. A folder that is there already stays as it is: somebody gave it its mode,
perhaps so that a group may make copies of it. Inside it the catalog's file and the folders of blobs and predictions are
private all the same, so that only what an older version made can lie open; `open_to_others` finds it, to be told.
"""

from __future__ import annotations

import stat
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_KEPT = ("catalog.db", "catalog.db-wal", "blobs", "predictions")


def make_private(folder: Path) -> None:
    """Make a folder, and those above it where they are missing, for their owner alone."""
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        place.mkdir(PRIVATE_FOLDER, exist_ok=True)


def open_to_others(folder: Path) -> list[str]:
    """What of a platform's directory others than its owner can read; nothing where they cannot enter it."""
    if not _mode(folder) & (stat.S_IXGRP | stat.S_IXOTH):
        return []
    return [name for name in _KEPT if _mode(folder / name) & (stat.S_IRGRP | stat.S_IROTH)]


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0
