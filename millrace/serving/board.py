"""Where the workers of one server tell each other how far they are: generations in memory that they share.

A generation counts the changes of routing tables (`tables.generation`). Each worker has one place of three numbers:
its process, the newest generation that it committed, and the generation that it answers by. Only the worker of a place
writes there, and its parent once it has ended, so nothing is ever lost between two writers; a number is written whole.
Memory and bells are made before the fork; a platform that serves alone has a board with one place, in its own memory.
"""

from __future__ import annotations

import mmap
import os
import select
import threading
import time
from contextlib import suppress

ABSENT = -1
"""The generation of a place that answers nothing: whoever begins there reads the newest table first."""

_PROCESS, _COMMITTED, _SERVED, _SIZE = 0, 1, 2, 3
_BYTES = 8
_LOOK_S = 0.001


class Board:
    """The places of all workers. Safe between threads and forked processes."""

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self._alone = threading.Event()
        self._writing = threading.Lock()
        self._bells = [os.pipe() for _ in range(places)] if places > 1 else []
        for end in (end for bell in self._bells for end in bell):
            os.set_blocking(end, False)
        shared = mmap.mmap(-1, _BYTES * _SIZE * places) if places > 1 else bytearray(_BYTES * _SIZE)
        self._numbers = memoryview(shared).cast("q")
        for place in range(places):
            self.leave(place)

    def newest(self) -> int:
        """The newest generation that any worker committed."""
        numbers = self._numbers
        if self.places == 1:
            return numbers[_COMMITTED]
        return max(numbers[_COMMITTED::_SIZE])

    def announce(self, place: int, generation: int) -> None:
        """The worker of `place` committed `generation`: wake the others."""
        cell = _SIZE * place + _COMMITTED
        with self._writing:
            self._numbers[cell] = max(generation, self._numbers[cell])
        for bell in range(self.places):
            self.ring(bell)

    def report(self, place: int, generation: int) -> None:
        """From now on the worker of `place` answers by `generation` alone."""
        self._numbers[_SIZE * place + _PROCESS] = os.getpid()
        self._numbers[_SIZE * place + _SERVED] = generation

    def leave(self, place: int) -> None:
        """Nobody answers at `place`."""
        self._numbers[_SIZE * place + _SERVED] = ABSENT

    def behind(self, generation: int) -> list[int]:
        """The processes that answer by an earlier one."""
        every = (self._numbers[_SIZE * place : _SIZE * (place + 1)] for place in range(self.places))
        return [numbers[_PROCESS] for numbers in every if ABSENT < numbers[_SERVED] < generation]

    def wait(self, generation: int, timeout_s: float) -> list[int]:
        """Wait until every worker answers by `generation` or the time is over; the processes that do not by then."""
        until = time.monotonic() + timeout_s
        while (late := self.behind(generation)) and time.monotonic() < until:
            time.sleep(_LOOK_S)
        return late

    def ring(self, place: int) -> None:
        """Wake whoever listens at `place`."""
        if not self._bells:
            self._alone.set()
            return
        with suppress(BlockingIOError):  # a full pipe has woken it already
            os.write(self._bells[place][1], b"!")

    def listen(self, place: int, timeout_s: float) -> None:
        """Wait for the bell of `place`, but no longer than `timeout_s`."""
        if not self._bells:
            self._alone.wait(timeout_s)
            self._alone.clear()
            return
        end = self._bells[place][0]
        if select.select([end], [], [], timeout_s)[0]:
            with suppress(BlockingIOError):
                os.read(end, 4_096)
