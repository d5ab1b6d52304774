"""Ids that sort by the time they were made: 26 characters of Crockford's base 32, as ULID defines them.

48 bits of wall milliseconds, then 80 random bits. Within one process ids never go backwards: a second id of the
same millisecond (or of a clock that stepped back) is the last one plus one.
"""

from __future__ import annotations

import os
import threading

from millrace.base.clock import Clock, SystemClock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SHIFTS = tuple(range(120, -1, -10))
_PAIRS = tuple(one + two for one in _ALPHABET for two in _ALPHABET)


class Ids:
    """A maker of sortable ids; safe from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last = 0

    def new(self) -> str:
        """A new id, greater than every id this maker gave before."""
        fresh = (self._clock.now() // 1_000) << 80 | int.from_bytes(os.urandom(10), "big")
        with self._lock:
            self._last = fresh if fresh > self._last else self._last + 1
            return encode(self._last)


def encode(number: int) -> str:
    """128 bits as 26 characters, so that text order is number order."""
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])
