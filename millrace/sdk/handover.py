"""How forked children hand their points to the program that forked them.

A pipe: what a child wrote into it is there although the child is killed right after, as `multiprocessing.Pool` does to
its workers at the end of a `with`. A write takes two microseconds and never waits: where there is no room, or nobody
who reads any more, the child is told so and writes its points by itself.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import time
from contextlib import suppress

import msgspec

Point = tuple[str, float | None, int, int]

_ROOM = 1 << 20
_LOOK_S = 0.01
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Point).decode


class Handover:
    """The pipe of one run: its program takes, children of any depth give. Safe from any thread that holds its lock."""

    def __init__(self) -> None:
        """Errors: `OSError` where no more files can be opened."""
        self._from, self._into = os.pipe()
        for end in self._from, self._into:
            os.set_blocking(end, False)
        with suppress(OSError, AttributeError):  # no more than the usual room, then
            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, _ROOM)
        self._rounds = mmap.mmap(-1, 1)  # shared with the children
        self._torn = b""

    def forked(self) -> None:
        """A child gives; it does not take."""
        if self._from >= 0:
            os.close(self._from)
            self._from = -1

    def give(self, point: Point) -> bool:
        """Hand a point over, whole or not at all; whether it is."""
        line = _encode(point) + b"\n"
        if len(line) > select.PIPE_BUF:
            return False
        try:
            return os.write(self._into, line) > 0
        except OSError:  # full, or nobody reads
            return False

    def take(self, most: int) -> list[Point]:
        """What was given since the last time; about `most` points of it."""
        taken: list[Point] = []
        while len(taken) < most:
            try:
                part = os.read(self._from, _ROOM)
            except BlockingIOError:
                break
            *lines, self._torn = (self._torn + part).split(b"\n")
            taken += [_decode(line) for line in lines if line]
        return taken

    def done(self) -> None:
        """Tell the children that all that was taken is written."""
        self._rounds[0] = (self._rounds[0] + 1) % 256

    def wait(self, most_s: float) -> bool:
        """In a child: wait until what it gave is written. False after `most_s` seconds."""
        until = time.monotonic() + most_s
        for _ in range(2):  # the first may have been on its way before the last point was given
            before = self._rounds[0]
            while self._rounds[0] == before:
                try:
                    os.write(self._into, b"\n")
                except BlockingIOError:
                    pass
                except OSError:
                    return True  # the run is over: it took what was given before
                if time.monotonic() > until:
                    return False
                time.sleep(_LOOK_S)
        return True

    def close(self) -> None:
        """Take no more: from now on nothing can be given."""
        os.close(self._from)
        os.close(self._into)
