"""A tape: an append-only file of checksummed frames that one process writes and any may read.

    frame = length (4 bytes, little endian) · CRC-32 of the body (4 bytes) · body

One `append` is one write. A process that dies in the middle of one leaves a torn tail, which readers leave out: its
frames were never acknowledged. A write that fails is cut off again, so that a tape holds whole frames only. The writer
holds the file's lock, so others can tell a tape that may still grow.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from millrace.base.locks import try_lock

_HEAD = 8
_CHUNK = 1 << 20
LONGEST = 1 << 30


class Frame(NamedTuple):
    """One body, and where it stands: `end` is the offset to read on from."""

    start: int
    end: int
    body: bytes


class Tape:
    """The writing end. Used by one thread at a time; `sync` may run beside `append`. Errors: OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.size = 0
        self._synced = 0
        _sync_folder(path.parent)

    def append(self, bodies: Iterable[bytes]) -> list[Frame]:
        """Write the frames of `bodies` with one write; all of them or, on an error, none."""
        parts: list[bytes] = []
        frames: list[Frame] = []
        start = self.size
        for body in bodies:
            assert len(body) < LONGEST
            parts += (len(body).to_bytes(4, "little"), zlib.crc32(body).to_bytes(4, "little"), body)
            end = start + _HEAD + len(body)
            frames.append(Frame(start, end, body))
            start = end
        data = b"".join(parts)
        try:
            done = os.write(self._file, data)
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size = start
        return frames

    def check(self, room: int) -> None:
        """Errors: OSError where `room` bytes more cannot be appended now. Readers take them for a torn tail."""
        try:
            done = 0
            while done < room:
                done += os.write(self._file, b"\xff" * (room - done))
        finally:
            os.ftruncate(self._file, self.size)

    def sync(self) -> None:
        """Make what was appended survive a power cut."""
        size = self.size
        if size > self._synced:
            os.fdatasync(self._file)
            self._synced = size

    def close(self) -> None:
        self.sync()
        os.close(self._file)


def read(path: Path, start: int = 0) -> Iterator[Frame]:
    """The whole frames from offset `start`, which must be the end of one; stops before a torn tail."""
    with path.open("rb", buffering=_CHUNK) as file:
        file.seek(start)
        while len(head := file.read(_HEAD)) == _HEAD:
            length = int.from_bytes(head[:4], "little")
            if length >= LONGEST:
                return
            body = file.read(length)
            if len(body) < length or zlib.crc32(body) != int.from_bytes(head[4:], "little"):
                return
            end = start + _HEAD + length
            yield Frame(start, end, body)
            start = end


def grows(path: Path) -> bool:
    """Whether a living process may still append to the tape."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not try_lock(file, shared=True)
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
