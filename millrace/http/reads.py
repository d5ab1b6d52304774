"""Several reads in one request: ``POST /api/v1/reads`` with a list of verbs, answered in order.

A page, a notebook or a script that shows many things asks once. Only verbs that read are taken; each is permitted,
answered and refused by itself, so one that fails does not hide the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from millrace import waist
from millrace.access.records import Caller
from millrace.base.errors import MillraceError
from millrace.http.problem import told

if TYPE_CHECKING:
    from millrace.assemble import Platform

MOST = 64
_NOTHING = msgspec.Raw(b"{}")


class Read(Struct, frozen=True):
    """One verb that reads, with its request."""

    op: str
    ask: msgspec.Raw = _NOTHING


def answer(platform: Platform, body: bytes, caller: Caller, workspace: str) -> list[dict[str, Any]]:
    """``[{"answer": …} or {"problem": …}]``, one each. Errors: `request.invalid`."""
    try:
        wanted = msgspec.json.decode(body, type=list[Read])
    except (msgspec.DecodeError, RecursionError) as fault:
        raise MillraceError("request.invalid", f"reads: {fault}", 'send [{"op": "noun.verb", "ask": {}}]') from fault
    if len(wanted) > MOST:
        raise MillraceError("request.invalid", f"{len(wanted)} reads in one request", f"send at most {MOST}")
    return [_one(platform, read, caller, workspace) for read in wanted]


def _one(platform: Platform, read: Read, caller: Caller, workspace: str) -> dict[str, Any]:
    try:
        if waist.find(read.op).kind != "read":
            raise MillraceError("request.invalid", f"{read.op} does more than read", f"POST /api/v1/{read.op}")
        return {"answer": platform.call(read.op, bytes(read.ask), caller, workspace)}
    except MillraceError as fault:
        return {"problem": told(fault)}
