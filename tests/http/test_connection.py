"""The head of an answer travels with its body, and never stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from millrace.http.connection import Connection

HEAD = {"type": "http.response.start", "status": 200}


class Recorder(asyncio.Transport):
    """A transport that remembers what was written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None: ...


def answered(application: Callable[..., Any], request: bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") -> Recorder:
    """What a connection wrote for one request to `application`."""

    async def run() -> Recorder:
        settings = uvicorn.Config(application, http=Connection, lifespan="off", log_config=None, date_header=False)
        settings.load()
        state = uvicorn.server.ServerState()
        connection = Connection(config=settings, server_state=state, app_state={})
        transport = Recorder()
        connection.connection_made(transport)
        connection.data_received(request)
        while state.tasks:
            await asyncio.gather(*state.tasks, return_exceptions=True)
        connection.connection_lost(None)
        return transport

    return asyncio.run(run())


def told(*parts: bytes, length: int | None = None) -> Callable[..., Any]:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        await send({**HEAD, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


def test_head_and_body_are_one_write() -> None:
    writes = answered(told(b"abc", length=3)).writes
    assert len([part for part in writes if part]) == 1
    assert writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert writes[0].endswith(b"\r\n\r\nabc")


def test_a_large_body_is_not_copied() -> None:
    large = bytes(100_000)
    head, body = (part for part in answered(told(large, length=len(large))).writes if part)
    assert head.endswith(b"\r\n\r\n")
    assert body == large


def test_a_stream_without_a_length_begins_at_once() -> None:
    writes = answered(told(b"abc")).writes
    assert writes[0].endswith(b"\r\n\r\n")
    assert writes[1] == b"3\r\nabc\r\n"


def test_an_answer_to_head_ends_with_its_head() -> None:
    writes = answered(told(length=3), b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").writes
    assert b"".join(writes).endswith(b"content-length: 3\r\n\r\n")


@pytest.mark.parametrize("body", [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", b"\r\n\r\n"])
def test_a_body_that_looks_like_a_head_arrives(body: bytes) -> None:
    assert b"".join(answered(told(body, length=len(body))).writes).endswith(b"\r\n\r\n" + body)


def test_what_fails_after_its_head_is_closed_with_the_head_sent() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({**HEAD, "headers": [(b"content-length", b"3")]})
        raise ValueError("broken")

    transport = answered(broken)
    assert b"".join(transport.writes).endswith(b"\r\n\r\n")
    assert transport.closed
