"""A clock that moves only when it is told to."""

from __future__ import annotations

from millrace.base.clock import Micros


class FakeClock:
    """Wall time and monotonic time under the test's hand; `now` may be set backwards, as real clocks are."""

    def __init__(self, now: Micros = 1_700_000_000_000_000) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> Micros:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: Micros) -> None:
        """Let `by` microseconds pass on both clocks."""
        assert by >= 0, "time passes forwards; use set() for a wall clock that was put back"
        self._now += by
        self._monotonic += by / 1e6

    def set(self, now: Micros) -> None:
        """Put the wall clock to `now`; the monotonic clock does not notice."""
        self._now = now
