"""How a process of many threads holds its memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_ARENAS = -8  # M_ARENA_MAX of glibc's malloc.h


def few_arenas() -> None:
    """Before the first thread begins: let them all allocate from two arenas.

    glibc gives each thread an arena of its own, and what one has freed stays its own; threads that take turns, as
    Python's do, gain nothing by that. Another C library is left alone.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENAS, 2)
