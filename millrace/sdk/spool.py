"""What a server that is away could not take: a run's calls on disk, sent later, each exactly once.

A run has one file, only ever appended to: a line about its home, then a line of JSON a call, each with the idempotency
key that it was tried under. A call counts as kept once its line is synced. Beside it lies how far the server has
acknowledged it. Whoever sends holds a lock and goes on from there; a call whose answer was lost is repeated under its
own key, so it is made once, whoever was killed in between. Bytes of outputs lie beside it too, by their digest.

The program that writes holds a lock on its file for as long as it lives; the file goes when the run's end is sent, or
when everything is and its program is gone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.base.folders import make_private
from millrace.base.locks import try_lock
from millrace.sdk import forks
from millrace.sdk.client import Client

PASSING = frozenset({"server.unreachable", "server.busy", "server.stopping", "catalog.busy", "catalog.unreachable"})
"""What a server says, or its silence, when the same call may well succeed later."""

_BLOB = "blob"
_STOPPING = PASSING | {
    "access.denied", "access.required", "access.foreign", "token.invalid", "token.expired", "workspace.unknown",
    "store.full", "access.throttled",
}  # fmt: skip
_log = logging.getLogger("millrace.sdk")


class Head(Struct, frozen=True):
    """The first line: which home and workspace the calls are for (see `Home.name`), and of which run."""

    home: str
    workspace: str
    run: str


class Call(Struct, frozen=True):
    """One kept call. The op ``blob`` stores the bytes of a digest instead."""

    key: str
    op: str
    request: dict[str, Any]


class Waiting(NamedTuple):
    """A file of the spool: how many calls wait in it, how many bytes, and whether its program still runs."""

    run: str
    home: str
    calls: int
    bytes: int
    live: bool


class Sent(NamedTuple):
    """What one sending did: calls that were taken, and that were refused for good (they are kept in ``.refused``)."""

    taken: int
    refused: int


class Spool:
    """The file of one run, as the program that makes the run writes it. Safe from any thread."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.path = folder / f"{head.run}.spool"
        self._head = head
        self._file = -1
        self.forked()
        forks.mind(self)

    def forked(self) -> None:
        """The child writes into the same file, so that calls are sent in the order in which they were kept."""
        self._lock = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Whether calls lie there that the server has not acknowledged."""
        if self._file < 0:
            return False
        held = os.fstat(self._file)
        return held.st_nlink > 0 and _sent(self.path) < held.st_size

    def append(self, key: str, op: str, request: dict[str, Any]) -> None:
        """Keep a call; when it returns, it survives this program and a power cut. Errors: `spool.unwritable`."""
        line = msgspec.json.encode(Call(key, op, request)) + b"\n"
        with self._lock, _writing(self.path):
            if self._file >= 0 and not os.fstat(self._file).st_nlink:  # the run's end was sent, and the file is gone
                os.close(self._file)
                self._file = -1
            if self._file < 0:
                make_private(self.path.parent)
                _begin(self.path, self._head)
                self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                fcntl.flock(self._file, fcntl.LOCK_SH)
            before = os.fstat(self._file).st_size
            try:
                if os.write(self._file, line) != len(line):
                    raise OSError(28, os.strerror(28))
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, before)
                raise

    def keep(self, content: bytes) -> str:
        """Keep the bytes of an output; their digest. Errors: `spool.unwritable`."""
        from blake3 import blake3

        digest = blake3(content).hexdigest()
        place = self.path.with_suffix(".blobs")
        with _writing(self.path):
            make_private(place)
            part = place / f"{digest}.part"
            with part.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            part.rename(place / digest)
        self.append(digest, _BLOB, {"digest": digest})
        return digest

    def send(self, client: Client) -> Sent:
        """Send what waits, unless somebody else is at it. Errors: what the server says while it takes nothing."""
        return send(self.path, client)

    def close(self) -> None:
        """This program writes no more; what is sent whole goes."""
        with self._lock:
            if self._file >= 0:
                if not self.waiting:
                    _remove(self.path)
                os.close(self._file)
                self._file = -1


def send(path: Path, client: Client) -> Sent:
    """Send the calls of one file, in order, from where the last sending stopped.

    A call that the server refuses for good is moved to ``.refused`` and the next is sent. Errors: `server.unreachable`
    and the like, `access.denied`: then the rest waits.
    """
    taken = refused = 0
    with _sending(path) as mine:
        if not mine or not path.exists():
            return Sent(0, 0)
        head, lines = read(path, _sent(path))
        over = False
        for call, end in lines:
            try:
                _make(path, client, head, call)
                taken += 1
            except MillraceError as fault:
                if fault.code in _STOPPING:
                    raise
                taken_before = call.op == "run.finish" and fault.code == "run.over"  # so long ago that its key is gone
                if not taken_before:
                    refused += 1
                    _refuse(path, call, fault)
            _acknowledge(path, end)
            over = call.op == "run.finish"
        if over or (not _lives(path) and not read(path, _sent(path))[1]):
            _remove(path)
    return Sent(taken, refused)


def send_all(client: Client, folder: Path) -> Sent:
    """Send every file of `folder` that is for the client's home. Errors: those of `send`."""
    taken = refused = 0
    for path, _ in of_home(folder, client.home.name):
        done = send(path, client)
        taken, refused = taken + done.taken, refused + done.refused
    return Sent(taken, refused)


def send_later(client: Client, folder: Path) -> None:
    """Send what waits for the client's home on a thread of its own; what cannot be sent waits on."""
    if not any(of_home(folder, client.home.name)):
        return

    def work() -> None:
        try:
            done = send_all(client, folder)
        except MillraceError as fault:
            _log.info("the spool waits on: %s", fault)
        else:
            if done.taken or done.refused:
                _log.info("the spool sent %d calls, %d were refused", done.taken, done.refused)

    threading.Thread(target=work, name="millrace-spool", daemon=True).start()


def of_home(folder: Path, home: str) -> Iterator[tuple[Path, Head]]:
    """The files of a home, oldest run first."""
    for path in sorted(folder.glob("*.spool")):
        head = _head(path)
        if head is not None and head.home == home:
            yield path, head


def listed(folder: Path) -> list[Waiting]:
    """What waits in `folder`, oldest run first."""
    found = []
    for path in sorted(folder.glob("*.spool")):
        head = _head(path)
        if head is not None:
            _, lines = read(path, _sent(path))
            size = path.stat().st_size - _sent(path)
            found.append(Waiting(head.run, head.home, len(lines), size, _lives(path)))
    return found


def read(path: Path, start: int) -> tuple[Head, list[tuple[Call, int]]]:
    """The head of a file, and (call, offset of its end) of the whole lines from `start` on; a torn line is none."""
    found: list[tuple[Call, int]] = []
    with path.open("rb") as file:
        head = msgspec.json.decode(file.readline(), type=Head)
        place = max(start, file.tell())
        file.seek(place)
        for line in file:
            if line.endswith(b"\n"):
                place += len(line)
                found.append((msgspec.json.decode(line, type=Call), place))
    return head, found


def _begin(path: Path, head: Head) -> None:
    """Make the file of a run with its first line, whole, unless it is there."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(head) + b"\n")
    try:
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        part.unlink()


def _make(path: Path, client: Client, head: Head, call: Call) -> None:
    if call.op != _BLOB:
        client.home.call(call.op, call.request, head.workspace, call.key)
        return
    kept = path.with_suffix(".blobs") / call.request["digest"]
    client.home.put(kept.read_bytes())


def _head(path: Path) -> Head | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.readline(), type=Head)
    except (OSError, msgspec.DecodeError):
        return None  # it has just been sent, or its first line is torn


def _sent(path: Path) -> int:
    """How far the server has acknowledged."""
    try:
        return int(path.with_suffix(".sent").read_bytes() or b"0")
    except FileNotFoundError:
        return 0


def _acknowledge(path: Path, end: int) -> None:
    part = path.with_suffix(".sent.part")
    part.write_bytes(b"%d" % end)
    part.rename(path.with_suffix(".sent"))


def _refuse(path: Path, call: Call, fault: MillraceError) -> None:
    _log.error("%s of run %s was refused: %s", call.op, path.stem, fault)
    told = {"call": call, "code": fault.code, "message": fault.message}
    with path.with_suffix(".refused").open("ab") as out:
        out.write(msgspec.json.encode(told) + b"\n")


def _lives(path: Path) -> bool:
    """Whether the program that writes it still runs."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(file)
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    for suffix in (".spool", ".sent"):
        path.with_suffix(suffix).unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(".blobs"), ignore_errors=True)


@contextmanager
def _sending(path: Path) -> Iterator[bool]:
    """Whether this is the one who sends the file now."""
    forks.act(_forked)
    lock = path.parent / ".sending"
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _locks.add(file)
    try:
        yield try_lock(file)
    finally:
        _locks.discard(file)
        os.close(file)


def _forked() -> None:
    """A lock lasts until the last copy of its file is closed, and the child's would outlast the sending."""
    while _locks:
        os.close(_locks.pop())


_locks: set[int] = set()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise MillraceError(
            "spool.unwritable",
            f"{path} cannot be written: {fault.strerror}",
            "set MILLRACE_SPOOL to a folder with room",
        ) from fault
