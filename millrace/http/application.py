"""The ASGI application: doorman first, then the hot path, then everything else.

A callable of (scope, receive, send) like everything it is made of. Other tools' protocols, predictions among them, take
a bare route ahead of any framework; see `millrace.http.speaks`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millrace.base.errors import MillraceError
from millrace.base.ids import Ids
from millrace.base.seldom import Seldom
from millrace.http.doorman import Doorman, remote_of
from millrace.http.native import Native
from millrace.http.page import Page
from millrace.http.problem import defect, is_for_us, problem
from millrace.http.speaks import PROTOCOLS
from millrace.http.speaks.protocol import Protocol

if TYPE_CHECKING:
    from millrace.assemble import Platform

_log = logging.getLogger("millrace.http")
_NOSNIFF = (b"x-content-type-options", b"nosniff")


class Application:
    """Everything the server answers."""

    def __init__(self, platform: Platform, host: str = "127.0.0.1", protocols: Sequence[Protocol] = PROTOCOLS) -> None:
        self._platform = platform
        self._doorman = Doorman(platform.ground, host)
        self._ids = Ids()
        self._seldom = Seldom(_log)
        self._protocols = tuple(
            (f"{one.prefix}/", one.prefix, one.answer(platform, self._doorman)) for one in protocols
        )
        self._page = Page()
        self._framework: ASGIApp = Router(routes=Native(platform).routes(), default=_nowhere, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        for below, prefix, protocol in self._protocols:
            if path.startswith(below) or path == prefix:
                await protocol(scope, receive, send)  # tells its own errors, in its own words
                return
        if path == "/health":
            await self._health()(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                headers = message.setdefault("headers", [])
                if _NOSNIFF not in headers:
                    headers.append(_NOSNIFF)
            await send(message)

        try:
            headers = dict(scope["headers"])
            if scope["method"] in ("GET", "HEAD"):
                self._doorman.refuse_foreign(scope["method"], headers)
                page = self._page.answer(scope["path"], headers)
                if page is not None:
                    await page(scope, receive, watched)
                    return
            scope["app"] = self  # so that the framework raises where it would answer a refusal in plain text
            scope["caller"] = self._doorman.admit(scope["method"], headers, remote_of(scope))
            await self._framework(scope, receive, watched)
        except MillraceError as fault:
            if is_for_us(fault):
                self._seldom.warn("requests are refused", fault)
            if not started:
                await problem(fault)(scope, receive, send)
        except ClientDisconnect:
            return
        except HTTPException as fault:
            if not started:
                await problem(_refused(fault, scope))(scope, receive, send)
        except Exception as fault:
            reference = self._ids.new()
            _log.exception("defect %s at %s %s", reference, scope["method"], scope["path"])
            if not started:
                await defect(fault, reference)(scope, receive, send)

    def _health(self) -> Response:
        if self._platform.stopping:
            return problem(MillraceError("server.stopping", "the server is shutting down", "try another one"))
        return Response(b'{"status":"ok"}', media_type="application/json")


def _refused(fault: HTTPException, scope: Scope) -> MillraceError:
    """What the framework itself refused, as one of our errors."""
    if fault.status_code == 405:
        allowed = (fault.headers or {}).get("Allow", "")
        return MillraceError("request.method", f"{scope['path']} does not answer {scope['method']}", f"use {allowed}")
    return _nothing_at(scope)


def _nothing_at(scope: Scope) -> MillraceError:
    return MillraceError("op.unknown", f"nothing answers {scope['method']} {scope['path']}", "see /api/v1/openapi.json")


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise _nothing_at(scope)
