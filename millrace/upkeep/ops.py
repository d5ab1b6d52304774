"""The verbs of upkeep. They look at all workspaces at once, so they are for admins of all of them."""

from __future__ import annotations

from msgspec import Struct

from millrace.access.context import Context
from millrace.access.ops import rule_over
from millrace.base.clock import SECOND
from millrace.base.errors import MillraceError
from millrace.base.op import Nothing, op, record_of
from millrace.store import collect as store
from millrace.store.collect import Collected, Verified
from millrace.upkeep import roots

_PERMISSION = "store:admin"
_SHORTEST_S = 3_600
_TWO_DAYS_S = 172_800


class Collect(Struct, frozen=True):
    """Without `delete` it only counts. `grace_s`, in seconds, must be longer than anything takes from storing bytes to
    recording them: a step of a pipeline, an upload."""

    delete: bool = False
    grace_s: int = _TWO_DAYS_S


@op("store.collect", permission=_PERMISSION, kind="work")
def collect(ask: Collect, cx: Context) -> Collected:
    """Remove stored bytes that no record leads to and that nobody touched lately; count them, unless told to delete.

    Errors: access.denied, request.invalid, blob.corrupt.
    """
    if not _SHORTEST_S <= ask.grace_s <= 1 << 40:
        raise MillraceError(
            "request.invalid", f"a grace of {ask.grace_s} s is not safe beside writers", f"{_SHORTEST_S} or more"
        )
    since = store.horizon(cx.blobs, ask.grace_s * SECOND)
    with cx.read() as tx:
        rule_over(tx, cx.caller, ("*",), _PERMISSION)
        rooted = set(roots.of_rows(tx))
    found = store.collect(cx.blobs, rooted, since, ask.delete)

    def told(within: Context) -> Collected:
        if found.deleted:
            within.fact("store.collected", "store", {"gone": found.gone, "bytes": found.gone_bytes})
        return found

    return cx.commit(told)


@op("store.verify", permission=_PERMISSION, kind="work")
def verify(ask: Nothing, cx: Context) -> Verified:
    """Read every stored byte, compare it with its name, and look for what records point at and is not there.

    Errors: access.denied.
    """
    with cx.read() as tx:
        rule_over(tx, cx.caller, ("*",), _PERMISSION)
        rooted = roots.of_rooms(tx)
    return store.verify(cx.blobs, rooted)


OPS = tuple(record_of(verb) for verb in (collect, verify))
