"""Guessing is slow: an address that shows wrong tokens waits before its next one is looked at.

Only wrong tokens count; who shows none is told to show one. The first twenty cost nothing, and one is forgotten every
second, so a guesser gets one guess a second. What is remembered has a bound: addresses that guessed longest ago go
first. It is each worker's own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from math import ceil

from millrace.base.errors import MillraceError

FREE = 20
"""Wrong tokens at once that cost nothing."""

MOST = 10_000
"""Addresses that are remembered."""

_FADES_S = 1.0


class Throttle:
    """The wrong tokens that each remote address showed lately. Safe between threads. `now`: seconds that never go
    backwards."""

    def __init__(self, now: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._now = now
        self._most = most
        self._lock = threading.Lock()
        self._until: OrderedDict[str, float] = OrderedDict()  # when the last of an address's failures is forgotten

    def check(self, address: str) -> None:
        """Errors: `access.throttled` while an address has shown too many wrong tokens."""
        if not self._until:
            return
        wait_s = self._until.get(_place(address), 0.0) - self._now() - (FREE - 1) * _FADES_S
        if wait_s > 0:
            raise MillraceError(
                "access.throttled", f"{address or 'this caller'} showed too many wrong tokens",
                f"wait {ceil(wait_s)} s, and check the token", after_s=ceil(wait_s),
            )  # fmt: skip

    def failed(self, address: str) -> None:
        """The address showed a wrong token."""
        place, now = _place(address), self._now()
        with self._lock:
            self._until[place] = max(self._until.get(place, 0.0), now) + _FADES_S
            self._until.move_to_end(place)
            while len(self._until) > self._most or next(iter(self._until.values())) < now:
                self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)


def _place(address: str) -> str:
    """The address itself, or of IPv6 the /64 that a household or host has."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Address(int(IPv6Address(address.partition("%")[0])) >> 64 << 64))
    except AddressValueError:
        return address
