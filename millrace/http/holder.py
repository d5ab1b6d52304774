"""Who serves a directory: one lock file with the server's process id and address.

A bind alone would not tell: with port sharing two servers on one directory raise nothing. The lock is the operating
system's, so it ends with its process, however that ends.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from millrace.base.errors import MillraceError
from millrace.base.locks import try_lock

_TRIES, _PAUSE_S = 25, 0.01


class Holder(msgspec.Struct, frozen=True):
    """The server that holds a directory. Its `url` is empty while it is starting."""

    pid: int
    url: str


class DirectoryLock:
    """Held from construction until `release`. Errors: `server.held`, which names the holder; `server.folder`."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise MillraceError(
                "server.folder", f"{folder} cannot be used: {fault.strerror}", "choose another --dir"
            ) from fault
        if not self._take():
            os.close(self._file)
            held = holder(folder)
            where = f" at {held.url}" if held and held.url else ""
            who = f"process {held.pid}{where}" if held else "another process"
            raise MillraceError("server.held", f"{folder} is served by {who}", "use that server, or stop it first")
        self.tell("")

    def tell(self, url: str) -> None:
        """Write down where this process answers."""
        told = msgspec.json.encode(Holder(os.getpid(), url))
        os.pwrite(self._file, told, 0)
        os.ftruncate(self._file, len(told))

    def _take(self) -> bool:
        """Whether the lock is ours. Who only asks for the holder has it for a moment, so one refusal says nothing."""
        for _ in range(_TRIES):
            if try_lock(self._file):
                return True
            time.sleep(_PAUSE_S)
        return False

    def release(self) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(folder: Path) -> Holder | None:
    """The live server of a directory, or None."""
    path = folder / "server.lock"
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if try_lock(file, shared=True) else msgspec.json.decode(path.read_bytes(), type=Holder)
    except msgspec.DecodeError:
        return None
    finally:
        os.close(file)
