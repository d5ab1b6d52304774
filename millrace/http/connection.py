"""A connection that sends the head of an answer together with its body: one packet and one system call instead of two.

uvicorn writes them apart, and uvloop passes on each write at once. On a one-row prediction the second write costs as
much as the model. It also counts who comes: the event loop reads all that has come before it begins any of it, so that
whoever finds one arrival is alone, and need not wait for others.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_JOINED = 65_536  # bytes of a body that are copied rather than written by themselves


class Arrivals:
    """How many requests have come to this process since somebody asked."""

    def __init__(self) -> None:
        self.count = 0

    def alone(self) -> bool:
        """Whether no more than one has; the count begins anew."""
        count, self.count = self.count, 0
        return count <= 1


class Connection(HttpToolsProtocol):
    """uvicorn's connection over a transport that holds a head back until what follows it."""

    arrivals = Arrivals()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._holding = _Holding(transport)
        super().connection_made(cast(asyncio.Transport, self._holding))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.arrivals.count += 1
        self.scope["arrivals"] = self.arrivals  # type: ignore[typeddict-unknown-key]  # beside what ASGI says

    def on_response_complete(self) -> None:
        self._holding.let_go()
        super().on_response_complete()


class _Holding:
    """A transport. Only a head that announces a length is held: something always follows it, or the answer ends."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) <= _JOINED:
                self._transport.write(head + data)
                return
            self._transport.write(head)
        elif data.startswith(b"HTTP/1.1 ") and b"\r\ncontent-length: " in data and data.endswith(b"\r\n\r\n"):
            self._head = data
            return
        self._transport.write(data)

    def let_go(self) -> None:
        """Send what is held."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self.let_go()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
