"""The native API: ``POST /api/v1/noun.verb`` for every verb, facts as server-sent events, and bytes by digest."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from millrace import waist
from millrace.access.ops import still_valid
from millrace.access.records import Caller
from millrace.base.errors import MillraceError
from millrace.base.op import Op
from millrace.catalog import tables as catalog_tables
from millrace.catalog.engine import Work
from millrace.http import reads
from millrace.http.openapi import openapi
from millrace.http.pulse import Pulse
from millrace.store.blobs import CHUNK

if TYPE_CHECKING:
    from millrace.assemble import Platform

_encode = msgspec.json.encode
_PAGE = 500
_ALIVE_S = 15.0
_SPOOL = 4 << 20
_SMALL = 1 << 16  # a body that is read on the event loop itself
_WORK_AT_ONCE = 24
_NEWEST = 1 << 62


class Native:
    """The handlers; one instance per application."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._limit = platform.ground.config["body_limit_mb"] * 1_000_000
        self._document: bytes | None = None
        self._pulse = Pulse(platform.ground.catalog)
        # Heavy verbs may take minutes: they have threads of their own, so that they keep nobody else waiting.
        self._heavy = CapacityLimiter(_WORK_AT_ONCE)

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
        op = waist.find(request.path_params["op"])
        body = await _body(request, self._limit)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and media != "application/json":
            raise MillraceError(
                "request.media", f"the body says it is {media!r}", "send Content-Type: application/json"
            )
        caller, workspace, key = request.scope["caller"], _workspace(request), request.headers.get("idempotency-key")

        if op.kind == "write" and len(body) <= _SMALL:
            answer = _encode(await self._written(op, body or b"{}", caller, workspace, key))
            return Response(answer, media_type="application/json")

        def run() -> bytes:
            return _encode(self._platform.call(op.name, body or b"{}", caller, workspace, key))

        answer = await to_thread.run_sync(run, limiter=self._heavy if op.kind == "work" else None)
        return Response(answer, media_type="application/json")

    async def _written(self, op: Op, body: bytes, caller: Caller, workspace: str, key: str | None) -> Any:
        """From the event loop to the writer and back, with no thread between them that only waits."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Work[Any]] = loop.create_future()

        def tell(work: Work[Any]) -> None:
            if not future.cancelled():
                future.set_result(work)

        def done(work: Work[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
                loop.call_soon_threadsafe(tell, work)

        waist.submit(self._platform.ground, op.name, body, caller, workspace, key, done)
        work = await future
        return await to_thread.run_sync(work.end) if work.afterwards else work.end()

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
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and int(cursor) < _NEWEST):
            raise MillraceError(
                "page.invalid", f"{cursor[:80]!r} is not a fact's number", "use the id of the last event"
            )
        await run_in_threadpool(self._permit, request.scope["caller"], _workspace(request), "audit:read")
        unkept = {"Cache-Control": "no-store"}
        if request.method == "HEAD":  # nobody reads on, so nobody would end it
            return Response(media_type="text/event-stream", headers=unkept)
        stream = self._events(request, _workspace(request), int(cursor))
        return StreamingResponse(stream, media_type="text/event-stream", headers=unkept)

    async def put_blob(self, request: Request) -> Response:
        """Store the body's bytes; their digest. Bytes become reachable when a verb refers to them."""
        await run_in_threadpool(self._permit, request.scope["caller"], _workspace(request), "blob:write")
        with tempfile.SpooledTemporaryFile(_SPOOL) as spool:
            size = 0
            async for part in _parts(request, self._limit):
                size += len(part)
                await run_in_threadpool(spool.write, part)
            spool.seek(0)
            digest = await run_in_threadpool(self._platform.ground.blobs.put, cast(BinaryIO, spool))
        return Response(_encode({"digest": digest, "size": size}), media_type="application/json")

    async def get_blob(self, request: Request) -> Response:
        """The bytes of a digest, always as an attachment."""
        await run_in_threadpool(self._permit, request.scope["caller"], _workspace(request), "blob:read")
        file = await run_in_threadpool(self._platform.ground.blobs.open, request.path_params["digest"])
        return StreamingResponse(
            _chunks(file),
            media_type="application/octet-stream",
            headers={
                "Content-Length": str(file.seek(0, os.SEEK_END)),
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
        clock = self._platform.ground.clock
        caller: Caller = request.scope["caller"]

        def page() -> list[Any]:
            with catalog.read() as tx:
                still_valid(tx, caller, clock.now())
                waist.permit(tx, caller, workspace, "audit:read")
                return catalog_tables.facts_after(tx, workspace, after, _PAGE)

        yield b": facts\n\n"
        spoke = clock.monotonic()
        while not await request.is_disconnected() and not self._platform.stopping:
            tick = self._pulse.listen()
            try:
                found = await run_in_threadpool(page)
            except MillraceError:
                return  # who listens asks again from here on, and is told what is wrong
            for fact in found:
                yield b"id: %d\ndata: %s\n\n" % (fact.number, _encode(fact))
                after = fact.number
            if found:
                spoke = clock.monotonic()
                continue
            if clock.monotonic() - spoke > _ALIVE_S:
                spoke = clock.monotonic()
                yield b": alive\n\n"
            await self._pulse.wait(tick)


def _workspace(request: Request) -> str:
    return request.headers.get("millrace-workspace") or request.query_params.get("workspace") or "main"


async def _body(request: Request, limit: int) -> bytes:
    return b"".join([part async for part in _parts(request, limit)])


async def _parts(request: Request, limit: int) -> AsyncIterator[bytes]:
    told, size = request.headers.get("content-length", ""), 0
    if told.isascii() and told.isdigit() and (len(told) > 15 or int(told) > limit):
        raise _too_large(limit)
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        yield part


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(CHUNK):
            yield chunk


def _too_large(limit: int) -> MillraceError:
    return MillraceError("request.too_large", f"the body is larger than {limit} bytes", "send it in parts")
