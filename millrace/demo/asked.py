"""Which story a directory holds: what decides how it goes on is kept beside it, so that no other begins in its middle.

How far it is told (`--days`) decides nothing: a story that is over may be told further.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from millrace.base.errors import MillraceError

_FILE = "story.json"


class Asked(Struct, frozen=True):
    """What a telling was asked for; see `millrace.demo.story.Story`."""

    seed: int = 0
    search: int = 6
    planted: bool = True


def check(folder: Path, asked: Asked) -> None:
    """Errors: `story.other` where the directory holds a story that was begun otherwise."""
    try:
        begun = msgspec.json.decode((folder / _FILE).read_bytes(), type=Asked)
    except FileNotFoundError:
        return
    if begun != asked:
        raise MillraceError(
            "story.other",
            f"{folder} holds the story of {_flags(begun)}, and this one is of {_flags(asked)}",
            f"tell it there as it was begun, or give another --dir: millrace demo --dir {folder} {_flags(begun)}",
        )


def keep(folder: Path, asked: Asked) -> None:
    """Say what the story that begins in `folder` was asked for."""
    part = folder / f"{_FILE}.part"
    part.write_bytes(msgspec.json.encode(asked))
    part.rename(folder / _FILE)


def _flags(asked: Asked) -> str:
    return f"--seed {asked.seed} --search {asked.search}{'' if asked.planted else ' --unplanted'}"
