"""Messages between the platform and the warm parent: four bytes of length, then JSON."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
from msgspec import Struct


def send(pipe: socket.socket, message: Struct) -> None:
    """Send one message whole. Raises `OSError` when the other side is gone."""
    data = msgspec.json.encode(message)
    pipe.sendall(len(data).to_bytes(4, "big") + data)


class Inbox:
    """Puts messages together from the pieces that arrive."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The messages that `piece` completes."""
        self._held += piece
        while len(self._held) >= 4:
            size = int.from_bytes(self._held[:4], "big")
            if len(self._held) < 4 + size:
                return
            yield bytes(self._held[4 : 4 + size])
            del self._held[: 4 + size]
