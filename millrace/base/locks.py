"""Locks that a process holds on an open file, and that the system takes back when the process ends, however it ends."""

from __future__ import annotations

import fcntl


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Lock an open file, by its descriptor, unless another holds it; True when it is ours now, until it is closed."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
