"""Errors as RFC 9457 problem JSON: the code, what happened, and the next step."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from millrace.base.codes import CODES
from millrace.base.errors import MillraceError

_encode = msgspec.json.encode
_OURS = (500, 507)


def is_for_us(fault: MillraceError) -> bool:
    """Whether only who runs the server can mend it, so that its log says it; a defect is there already."""
    return fault.status in _OURS and fault.code != "internal.fault"


def told(fault: MillraceError) -> dict[str, Any]:
    """The fields of an operating error."""
    return {
        "type": f"urn:millrace:error:{fault.code}",
        "title": CODES[fault.code].meaning,
        "status": fault.status,
        "detail": fault.message,
        "code": fault.code,
        "hint": fault.hint,
    }


def problem(fault: MillraceError) -> Response:
    """The answer for an operating error."""
    headers = {"Retry-After": str(fault.after_s)} if fault.status in (429, 503) else {}
    return Response(_encode(told(fault)), fault.status, headers, "application/problem+json")


def defect(fault: BaseException, reference: str) -> Response:
    """The answer for a defect of ours: a reference to the log, and nothing of the inside."""
    told = f"a defect in Millrace; the server's log names it {reference}"
    return problem(MillraceError("internal.fault", told, "report it with that part of the log; nothing was half-made"))
