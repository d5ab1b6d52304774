"""The client that a program uses without naming one: connected at the first need, closed when the program ends."""

from __future__ import annotations

import atexit
import threading

from millrace.sdk.client import Client, connect

_lock = threading.Lock()
_held: list[Client] = []


def current() -> Client:
    """The program's client; by default that of the configured home."""
    with _lock:
        if not _held:
            _held.append(connect())
            atexit.register(close)
        return _held[0]


def use(client: Client) -> Client:
    """Make `client` the program's client; the one before is left open."""
    with _lock:
        _held[:] = [client]
    return client


def close() -> None:
    """Close the program's client; the next need connects anew."""
    with _lock:
        held, _held[:] = list(_held), []
    for client in held:
        client.close()
