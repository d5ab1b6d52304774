"""The client that a program uses without naming one: connected at the first need, closed when the program ends."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from millrace.base.errors import MillraceError
from millrace.base.kinds import checked
from millrace.sdk import client, forks
from millrace.sdk.client import Client

_lock = threading.Lock()
_held: list[Client] = []


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


def current() -> Client:
    """The program's client; by default that of the configured home. Errors: `step.client` in a step's process."""
    forks.act(_forked)
    if in_step() and not _held:
        raise MillraceError(
            "step.client",
            "a step's process does not reach the platform",
            "a step takes its needs as arguments; what acts stands outside of what the pipeline needs, and a name with "
            "two values brings along all that gives it one: the run's log shows the line",
        )
    with _lock:
        return _held[0] if _held else _hold(client.connect())


@checked
def connect(
    url: str | None = "", dir: str | Path | None = "", token: str | None = "", workspace: str | None = ""
) -> Client:
    """Connect to a home other than the configured one; from now on the program's client. The one before is closed.

    Without arguments the program's client as it is. Errors: `config.invalid` for `url` and `dir` at once.
    """
    if not (url or dir or token or workspace):
        return current()
    if url and dir:
        raise MillraceError("config.invalid", "a home has a url or a dir, and both are given", "leave one out")
    forks.act(_forked)
    close()
    with _lock:
        return _hold(client.connect(url or "", str(dir or ""), token or "", workspace or ""))


def close() -> None:
    """Close the program's client; the next need connects anew."""
    with _lock:
        held, _held[:] = list(_held), []
    for one in held:
        one.close()


def in_step() -> bool:
    """Whether this process runs a step: then what a program declares is only named, and nothing of it acts."""
    return "MILLRACE_STEP" in os.environ


def _hold(made: Client) -> Client:
    atexit.unregister(close)
    atexit.register(close)
    _held[:] = [made]
    if made.home.spool is not None:
        from millrace.sdk.spool import send_later

        send_later(made, made.home.spool)
    return made
