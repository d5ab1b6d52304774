"""Files of the user's own, read where nothing but the standard library is installed."""

from __future__ import annotations

from pathlib import Path

from millrace.base.errors import MillraceError


def content(path: str | Path) -> bytes:
    """The bytes of a file. Errors: `file.unknown`, `file.unreadable`."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise MillraceError("file.unknown", f"there is no file {str(path)!r}", "give a path or a frame") from None
    except OSError as fault:
        raise MillraceError("file.unreadable", f"{str(path)!r} cannot be read: {fault}", "check it") from fault
