"""The few acts on a disk that the local store is made of, one method each.

They are gathered here so that `millrace.testing.faults` can stand between the store and the disk: fail the n-th act, or
cut the power between any two and take back what was not synced.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from millrace.base.folders import PRIVATE_FOLDER


class Disk:
    """The real disk. Every method raises `OSError` as the system does."""

    def create(self, path: Path) -> int:
        """A new empty file, open for writing. It can be read by its owner and written by nobody else."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444)

    def write(self, file: int, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(file, rest) :]

    def sync(self, file: int) -> None:
        os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Make a folder, for its owner alone, if it is not there; its parent is."""
        path.mkdir(PRIVATE_FOLDER, exist_ok=True)

    def make_durable_folder(self, path: Path) -> None:
        """Make a folder and those above it where they are missing; its name, and each that was made, is durable."""
        missing = [place for place in path.parents if not place.is_dir()]
        for place in (*reversed(missing), path):  # itself also when it is there: who made it may not have come further
            self.make_folder(place)
            self.sync_folder(place.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names inside a folder durable."""
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def touch(self, path: Path) -> None:
        os.utime(path, follow_symlinks=False)

    def open_folder(self, path: Path) -> int:
        """A descriptor for `sync_all`; taken before the writes, because it reports the faults that came after it."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def sync_all(self, folder: int) -> bool:
        """Sync the whole file system that holds the folder: data and names; False where this system cannot."""
        if sys.platform != "linux":
            return False
        if ctypes.CDLL(None, use_errno=True).syncfs(folder) != 0:
            fault = ctypes.get_errno()
            raise OSError(fault, os.strerror(fault))
        return True
