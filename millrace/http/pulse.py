"""What wakes the event streams of one process: one thread that waits for commits, however many streams there are."""

from __future__ import annotations

import asyncio
import threading

from millrace.catalog.engine import Catalog

_POLL_S = 0.5


class Pulse:
    """Ticks in the event loop after each commit of this process that wrote facts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tick = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """The event of the next tick. Take it before looking at what is there, so that no commit is missed."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._watch, name="millrace-pulse", daemon=True).start()
        return self._tick

    async def wait(self, tick: asyncio.Event) -> None:
        """Wait for a tick, but never longer than half a second: other processes commit too."""
        try:
            await asyncio.wait_for(tick.wait(), _POLL_S)
        except TimeoutError:
            return

    def _watch(self) -> None:
        assert self._loop is not None
        seen = 0
        while not self._catalog.closed:
            before, seen = seen, self._catalog.wait_for_facts(seen, _POLL_S)
            if seen == before:
                continue
            try:
                self._loop.call_soon_threadsafe(self._ring)
            except RuntimeError:
                return  # the event loop has ended

    def _ring(self) -> None:
        tick, self._tick = self._tick, asyncio.Event()
        tick.set()
