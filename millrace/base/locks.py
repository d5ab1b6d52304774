"""Locks that a process holds on an open file, and that the system takes back when the process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Lock an open file, by its descriptor, unless another holds it; True when it is ours now, until it is closed."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def locked(file: int, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of an open file, by its descriptor, however long another holds it before."""
    fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
