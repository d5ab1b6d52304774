"""Who serves a directory: one lock file with the server's process id and address.

A bind alone would not tell: with port sharing two servers on one directory raise nothing. The lock is the operating
system's, so it ends with its process, however that ends. A server's workers share it: those of one that was killed hold
it until they have answered what is under way, and the next start waits for that.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from millrace.base.errors import MillraceError
from millrace.base.folders import make_private
from millrace.base.locks import try_lock

_log = logging.getLogger("millrace")
_ASKED_S, _PAUSE_S = 0.25, 0.01
_LEAVE_S = 25.0  # a worker drains for twenty seconds at most
_ROOM = 4_096


class Holder(msgspec.Struct, frozen=True):
    """The server that holds a directory, and the workers that it has. Its `url` is empty while it is starting."""

    pid: int
    url: str
    workers: tuple[int, ...] = ()


class DirectoryLock:
    """Held from construction until `release`. Errors: `server.held`, which names the holder; `server.folder`."""

    def __init__(self, folder: Path, patience_s: float = _LEAVE_S) -> None:
        """`patience_s`: how long the workers of a server that was killed may take to leave."""
        self._folder = folder
        try:
            make_private(folder)
            self._file = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise _unusable(folder, fault) from fault
        try:
            self._take(folder, patience_s)
            self.tell("")
        except BaseException:
            os.close(self._file)
            raise

    def tell(self, url: str, workers: Iterable[int] = ()) -> None:
        """Write down where this process answers, and by which workers. Errors: `server.folder`, as on a full disk."""
        told = msgspec.json.encode(Holder(os.getpid(), url, tuple(workers)))
        told = told.ljust(min(os.fstat(self._file).st_size, _ROOM))  # who reads meanwhile reads no end of what was
        try:
            os.pwrite(self._file, told, 0)
            os.ftruncate(self._file, len(told))
        except OSError as fault:
            raise _unusable(self._folder, fault) from fault

    def _take(self, folder: Path, patience_s: float) -> None:
        """Who only asks for the holder has the lock for a moment, so one refusal says nothing."""
        if self._taken_within(_ASKED_S):
            return
        held = holder(folder)
        if held is not None and _was_killed(held):
            _log.info("waiting for the workers of process %d, which was killed, to leave %s", held.pid, folder)
            until = time.monotonic() + patience_s
            while holder(folder) in (held, None) and time.monotonic() < until:
                if self._taken_within(_ASKED_S):
                    return
            held = holder(folder)
        raise _held(folder, held)

    def _taken_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not try_lock(self._file):
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE_S)
        return True

    def release(self) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(folder: Path) -> Holder | None:
    """The server of a directory, or None; also one that was killed while its workers have not left."""
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


def _unusable(folder: Path, fault: OSError) -> MillraceError:
    full = fault.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "free some disk, then try again" if full else "choose another --dir"
    return MillraceError("server.folder", f"{folder} cannot be used: {fault.strerror}", hint)


def _held(folder: Path, held: Holder | None) -> MillraceError:
    if held is not None and _was_killed(held):
        left = ", ".join(str(pid) for pid in held.workers if _lives(pid))
        told = f"the server of {folder}, process {held.pid}, was killed, and its workers {left} have not left"
        return MillraceError("server.held", told, "end them, or try again once they have answered what is under way")
    where = f" at {held.url}" if held and held.url else ""
    who = f"process {held.pid}{where}" if held else "another process"
    return MillraceError("server.held", f"{folder} is served by {who}", "use that server, or stop it first")


def _was_killed(held: Holder) -> bool:
    """Whether only workers of it are left. The lock of a server without any ends with it."""
    return any(_lives(pid) for pid in held.workers) and not _lives(held.pid)


def _lives(pid: int) -> bool:
    """Whether a process goes on; not one that has ended and that nobody has asked about yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return True
