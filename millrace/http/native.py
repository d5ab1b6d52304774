"""The native API: ``POST /api/v1/noun.verb`` for every verb, facts as server-sent events, and bytes by digest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from millrace import waist
from millrace.access.records import Caller
from millrace.base.errors import MillraceError
from millrace.catalog import tables as catalog_tables
from millrace.http import reads
from millrace.http.openapi import openapi

if TYPE_CHECKING:
    from millrace.assemble import Platform

_encode = msgspec.json.encode
_POLL_S = 0.5
_PAGE = 500


class Native:
    """The handlers; one instance per application."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._limit = platform.ground.config["body_limit_mb"] * 1_000_000
        self._document: bytes | None = None

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/openapi.json", self.document, methods=["GET"]),
            Route("/api/v1/facts", self.facts, methods=["GET"]),
            Route("/api/v1/blobs", self.put_blob, methods=["POST"]),
            Route("/api/v1/blobs/{digest}", self.get_blob, methods=["GET"]),
            Route("/api/v1/reads", self.reads, methods=["POST"]),
            Route("/api/v1/{op}", self.call, methods=["POST"]),
        ]

    async def call(self, request: Request) -> Response:
        """Run one verb."""
        body = await _body(request, self._limit)
        answer = await run_in_threadpool(
            self._platform.call,
            request.path_params["op"],
            body or b"{}",
            request.scope["caller"],
            _workspace(request),
            request.headers.get("idempotency-key"),
        )
        return Response(_encode(answer), media_type="application/json")

    async def reads(self, request: Request) -> Response:
        """Run several verbs that read."""
        body = await _body(request, self._limit)
        caller, workspace = request.scope["caller"], _workspace(request)
        answers = await run_in_threadpool(reads.answer, self._platform, body or b"[]", caller, workspace)
        return Response(_encode(answers), media_type="application/json")

    async def document(self, request: Request) -> Response:
        """The API described as OpenAPI 3.1."""
        self._document = self._document or _encode(openapi(waist.OPS))
        return Response(self._document, media_type="application/json")

    async def facts(self, request: Request) -> Response:
        """The journal as server-sent events; the id of an event is the cursor to continue from."""
        cursor = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        if not cursor.isdigit():
            raise MillraceError("page.invalid", f"{cursor!r} is not a fact's number", "use the id of the last event")
        await run_in_threadpool(self._permit, request.scope["caller"], _workspace(request), "audit:read")
        stream = self._events(request, _workspace(request), int(cursor))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def put_blob(self, request: Request) -> Response:
        """Store the body's bytes; their digest. Bytes become reachable when a verb refers to them."""
        await run_in_threadpool(self._permit, request.scope["caller"], _workspace(request), "blob:write")
        body = await _body(request, self._limit)
        digest = await run_in_threadpool(self._platform.ground.blobs.put, body)
        return Response(_encode({"digest": digest, "size": len(body)}), media_type="application/json")

    async def get_blob(self, request: Request) -> Response:
        """The bytes of a digest, always as an attachment."""
        await run_in_threadpool(self._permit, request.scope["caller"], _workspace(request), "blob:read")
        content = await run_in_threadpool(self._platform.ground.blobs.get, request.path_params["digest"])
        return Response(
            content,
            media_type="application/octet-stream",
            headers={
                "Content-Disposition": "attachment",
                "Content-Security-Policy": "sandbox",
                "Cache-Control": "private, immutable, max-age=31536000",
            },
        )

    def _permit(self, caller: Caller, workspace: str, permission: str) -> None:
        with self._platform.ground.catalog.read() as tx:
            waist.permit(tx, caller, workspace, permission)

    async def _events(self, request: Request, workspace: str, after: int) -> AsyncIterator[bytes]:
        catalog = self._platform.ground.catalog
        seen = 0

        def page() -> list[Any]:
            with catalog.read() as tx:
                return catalog_tables.facts_after(tx, workspace, after, _PAGE)

        yield b": facts\n\n"
        while not await request.is_disconnected() and not self._platform.stopping:
            found = await run_in_threadpool(page)
            for fact in found:
                yield b"id: %d\ndata: %s\n\n" % (fact.number, _encode(fact))
                after = fact.number
            if not found:
                seen = await run_in_threadpool(catalog.wait, seen, _POLL_S)


def _workspace(request: Request) -> str:
    return request.headers.get("millrace-workspace") or request.query_params.get("workspace") or "main"


async def _body(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise MillraceError("request.too_large", f"the body is larger than {limit} bytes", "send it in parts")
        parts.append(part)
    return b"".join(parts)
