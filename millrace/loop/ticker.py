"""What happens by the wall clock: a verb called every so often, where waiting for a fact would be too late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from millrace.base.seldom import Seldom

_log = logging.getLogger("millrace.loop")


class Ticker:
    """Calls `act` every `period_s` seconds from a thread of its own; what it raises is logged, and it goes on."""

    def __init__(self, name: str, act: Callable[[], object], period_s: float) -> None:
        self._name = name
        self._act = act
        self._period_s = period_s
        self._seldom = Seldom(_log)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"millrace-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the call under way, then end. Safe to call when it was never started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.wait(self._period_s):
            try:
                self._act()
            except Exception as fault:
                if not self._stopping.is_set():
                    self._seldom.warn(f"the {self._name} tries again", fault)
