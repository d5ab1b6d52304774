"""Who answers a row, and which block of event time it belongs to. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from millrace.base.clock import DAY, SECOND, Micros, to_iso
from millrace.base.errors import MillraceError
from millrace.pipelines.signature import View
from millrace.serving.records import WHOLE, Arm, Endpoint, Table

MOST_BLOCKS = 10_000  # that one call seals
_DAY_S = 86_400
_LEAP_DAYS = 366
_FIRST_EVENT: Micros = -62_135_596_800 * SECOND  # the years 1 to 9999
_LAST_EVENT: Micros = 253_402_300_800 * SECOND - 1


def check_span(since: Micros, until: Micros) -> None:
    """Errors: `request.invalid` for a window that no event time can lie in, such as one whose ends are exchanged."""
    if until <= since:
        raise MillraceError(
            "request.invalid", f"until ({until}) is not after since ({since}): nothing lies between them",
            "give the earlier time as since",
        )  # fmt: skip


def check_endpoint(made: Endpoint) -> Endpoint:
    """`made` itself. Errors: `request.invalid` for blocks that do not fill days, or a negative maturity."""
    if made.block_s <= 0 or (_DAY_S % made.block_s and made.block_s % _DAY_S):
        raise MillraceError(
            "request.invalid", f"blocks of {made.block_s} s do not fill days", "use a divisor or a multiple of 86400"
        )
    if made.maturity_s < 0:
        raise MillraceError("request.invalid", f"maturity_s = {made.maturity_s}", "use 0 or more seconds")
    return made


def check_table(arms: Sequence[Arm], shadows: Sequence[int]) -> None:
    """Errors: `route.invalid` unless the weights are a whole and no version is named twice."""
    total = sum(arm.weight for arm in arms)
    if total != WHOLE or any(arm.weight < 0 for arm in arms):
        raise MillraceError(
            "route.invalid", f"the arms' weights add up to {total}", f"weights are whole numbers, {WHOLE} in all"
        )
    named = [*(arm.number for arm in arms), *shadows]
    twice = sorted({number for number in named if named.count(number) > 1})
    if twice:
        raise MillraceError("route.invalid", f"version {twice[0]} is named twice", "name each version once")


def check_views(versions: Mapping[str, Sequence[View]]) -> None:
    """Errors: `view.changed` when two of these versions (by title) were fitted with two definitions of one view.

    They are compared on the same columns, in the gate, in the shadow and on the log.
    """
    first: dict[str, tuple[str, str]] = {}
    for title, views in versions.items():
        for view in views:
            other, digest = first.setdefault(view.name, (title, view.digest))
            if digest != view.digest:
                raise MillraceError(
                    "view.changed", f"{other} and {title} were fitted with two definitions of view {view.name!r}",
                    "give the new definition a name of its own and train with that, or route to one of them alone",
                )  # fmt: skip


def salt(origin: str, seed: int) -> str:
    """What decides which keys an arm gets: a rollout's id, or the endpoint's, and the endpoint's seed if it has one."""
    return f"{origin}#{seed}" if seed else origin


def bucket(salt: str, key: str) -> int:
    """The place of a key among 10,000, evenly spread and independent between salts."""
    digest = blake2b(key.encode(), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "little") % WHOLE


def arm_of(table: Table, place: int) -> Arm:
    """The arm that answers a bucket: later arms take buckets from 0 up, the first one what is left."""
    end = 0
    for arm in table.arms[1:]:
        end += arm.weight
        if place < end:
            return arm
    return table.arms[0]


def route(table: Table, keys: Iterable[str]) -> list[Arm]:
    """The arm of each row, by the key that routing sticks to."""
    live = [arm for arm in table.arms if arm.weight]
    if len(live) == 1:
        return [live[0] for _ in keys]
    return [arm_of(table, bucket(table.salt, key)) for key in keys]


def block_start(endpoint: Endpoint, event: Micros) -> Micros:
    """The beginning of the block that `event` lies in."""
    size = endpoint.block_s * SECOND
    return event - (event - endpoint.day_origin) % size


def reached(endpoint: Endpoint, sealed: Micros | None, until: Micros) -> Micros:
    """Up to when can be judged at `until`: what is sealed, and no more of the block that is open.

    Errors: `log.unsealed` where nothing is sealed yet, or `until` is past the open block.
    """
    if sealed is None or block_start(endpoint, until) > sealed:
        raise MillraceError(
            "log.unsealed",
            f"nothing of {endpoint.name!r} is sealed yet" if sealed is None
            else f"the log of {endpoint.name!r} is sealed up to {sealed}, and not up to {until}",
            "advance the endpoint first, and the loop judges: millrace endpoint advance; event time is in microseconds",
        )  # fmt: skip
    return min(until, sealed)


def check_event(event: Micros) -> None:
    """Errors: `request.invalid` for what is a moment in no year from 1 to 9999, so not in microseconds."""
    if not _FIRST_EVENT <= event <= _LAST_EVENT:
        raise MillraceError(
            "request.invalid", f"the event time {event} is in no year from 1 to 9999",
            "send microseconds since 1970, UTC",
        )  # fmt: skip


def first_block(endpoint: Endpoint, events: NDArray[np.int64], until: Micros) -> Micros:
    """Where the log of `events` begins that is sealed up to `until` for the first time; there is one before that.

    It begins after the last gap of over a year, and at most `MOST_BLOCKS` back: a row that says another unit's time
    must not make the log begin with the century. Errors: `request.invalid` if `until` is too far from all of them.
    """
    known = np.unique(events[events < until])
    newest = int(known[-1])
    blocks(endpoint, block_start(endpoint, newest), until)
    check_leap(endpoint.name, newest, until)
    leaps = np.flatnonzero(known[1:] - known[:-1] > _LEAP_DAYS * DAY)
    first = int(known[leaps[-1] + 1] if len(leaps) else known[0])
    return max(block_start(endpoint, first), until - MOST_BLOCKS * endpoint.block_s * SECOND)


def check_leap(name: str, newest: Micros, until: Micros) -> None:
    """Errors: `request.invalid` if event time would go on by more than a year after `newest`, the last that is known
    of: what is sealed stays sealed, and another clock is likelier than a year without an answer."""
    days = (until - newest) // DAY
    if days > _LEAP_DAYS:
        raise MillraceError(
            "request.invalid",
            f"event time of {name!r} would leap by {days:,} days without an answer, from {_date(newest)} to "
            f"{_date(until)}",
            "say when its own events are, in microseconds, not when it is now; if they were silent, advance by a year "
            "at a time",
        )  # fmt: skip


def _date(at: Micros) -> str:
    return to_iso(at) if _FIRST_EVENT <= at <= _LAST_EVENT else str(at)


def blocks(endpoint: Endpoint, since: Micros, until: Micros) -> list[tuple[Micros, Micros]]:
    """The whole blocks (since, until) in ``[since, until)``, in order; `since` begins a block.

    Errors: `request.invalid` for more than `MOST_BLOCKS`, before any is made.
    """
    size = endpoint.block_s * SECOND
    last = block_start(endpoint, until)
    count = (last - since) // size
    if count > MOST_BLOCKS:
        raise MillraceError(
            "request.invalid", f"{count} blocks would be closed at once, from {since} to {last}",
            f"advance by at most {MOST_BLOCKS} blocks; event time is in microseconds",
        )  # fmt: skip
    return [(start, start + size) for start in range(since, last, size)]
