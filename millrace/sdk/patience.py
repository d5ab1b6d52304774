"""One line for whoever waits long: what for, and where. A server that takes a call and does not answer says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONG_S = 4.0


@contextmanager
def telling(tell: Callable[[], None], after_s: float = LONG_S) -> Iterator[None]:
    """While it is open: call `tell` once, on a thread of its own, when it has been open for `after_s`."""
    timer = threading.Timer(after_s, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
