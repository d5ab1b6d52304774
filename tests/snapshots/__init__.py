"""Texts that callers lean on, kept as files beside this one: a change must be meant.

To accept what the code says now, run the tests once with MILLRACE_SNAPSHOTS=write, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(__file__).parent


def assert_same(name: str, text: str) -> None:
    """Assert that `text` is what the file `name` holds."""
    path = _FOLDER / name
    if os.environ.get("MILLRACE_SNAPSHOTS") == "write":
        path.write_text(text, "utf-8")
    assert path.is_file(), f"{name} is not kept yet: run with MILLRACE_SNAPSHOTS=write, and read it"
    assert text == path.read_text("utf-8"), f"{name} has changed: run with MILLRACE_SNAPSHOTS=write if it is meant"
