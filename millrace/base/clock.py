"""Time, always as integer microseconds since 1970 in UTC.

*Wall time* is when we learned something; it comes from a `Clock`. *Event time* is when it happened in the user's
world; it arrives with the data and never comes from here.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol

from msgspec import Meta

from millrace.base.errors import MillraceError

Micros = Annotated[int, Meta(extra_json_schema={"format": "micros"})]
"""The type says of a field that it is a time; whoever shows one to a person may write it as a date."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of wall time. Calls are safe from any thread."""

    def now(self) -> Micros:
        """Wall time in microseconds since 1970, UTC. It may step backwards; never order by it."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for leases and deadlines."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Micros:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()


def to_iso(at: Micros) -> str:
    """`at` as ISO 8601 in UTC, with only as many fraction digits as it needs."""
    seconds, micros = divmod(at, SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    return text + (f".{micros:06d}".rstrip("0") if micros else "") + "Z"


def from_iso(text: str) -> Micros:
    """Parse ISO 8601; a stamp without a zone is taken as UTC. Errors: `request.invalid`."""
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as fault:
        raise MillraceError("request.invalid", f"{text!r} is not a time", "write it as 2013-03-01T12:00:00Z") from fault
    return from_datetime(stamp)


def from_datetime(stamp: datetime) -> Micros:
    """Exact microseconds of `stamp`; a naive one is taken as UTC."""
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    delta = stamp - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
