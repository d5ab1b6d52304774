"""Files of the user's own, read and written where nothing but the standard library is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from millrace.base.errors import MillraceError


def content(path: str | Path) -> bytes:
    """The bytes of a file. Errors: `file.unknown`, `file.unreadable`."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise MillraceError("file.unknown", f"there is no file {str(path)!r}", "give a path or a frame") from None
    except OSError as fault:
        raise MillraceError("file.unreadable", f"{str(path)!r} cannot be read: {fault}", "check it") from fault


@contextmanager
def appearing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write into, which stands at `path` when the block ends: whole, synced, in the place of what was there.

    Until then, and if the block fails, nothing changes at `path`. Errors: `file.unwritable`.
    """
    place = Path(os.path.realpath(path))
    part = place.with_name(f".{os.urandom(8).hex()}.part")
    try:
        if place.exists() and not place.is_file():
            raise MillraceError("file.unwritable", f"{str(path)!r} is there and no file", "name a file")
        with part.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        if place.exists():
            shutil.copymode(place, part)
        part.replace(place)
        _sync_folder(place.parent)
    except OSError as fault:
        raise MillraceError(
            "file.unwritable", f"{str(path)!r} cannot be written: {fault}", "look at its folder and the room there"
        ) from fault
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
