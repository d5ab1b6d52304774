"""A trouble that lasts is told when it begins and then once a minute, with how often it came: it fills no log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from millrace.base.errors import MillraceError

_EVERY_S = 60.0


class Seldom:
    """Writes warnings, one line each, and defects whole. Safe between threads."""

    def __init__(
        self, log: logging.Logger, every_s: float = _EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], tuple[float, int]] = {}  # trouble → when it was told, how often it came since

    def warn(self, what: str, fault: Exception) -> None:
        """Tell that `what` met `fault`, unless that of the same code was told within the minute: then count it.

        Whatever is none of our errors is a defect: it is told with its trace, each time.
        """
        if not isinstance(fault, MillraceError):
            self._log.error("%s", what, exc_info=fault)
            return
        now, trouble = self._clock(), (what, fault.code)
        with self._lock:
            at, count = self._told.get(trouble, (-self._every_s, 0))
            quiet = now - at < self._every_s
            self._told[trouble] = (at, count + 1) if quiet else (now, 0)
        if not quiet:
            since = f" ({count} more since it was last told)" if count else ""
            text = " ".join(fault.message.split())
            self._log.warning("%s: %s: %s%s", what, fault.code, text, since)
