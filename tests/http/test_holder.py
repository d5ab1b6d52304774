"""Who serves a directory: one at a time, named to whoever asks, gone with its process."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from millrace.base.errors import MillraceError
from millrace.http.holder import DirectoryLock, Holder, holder
from millrace.testing.server import until


def test_one_at_a_time(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    lock = DirectoryLock(tmp_path)
    assert holder(tmp_path) == Holder(os.getpid(), "")
    with pytest.raises(MillraceError) as starting:
        DirectoryLock(tmp_path)
    assert starting.value.message == f"{tmp_path} is served by process {os.getpid()}"
    lock.tell("http://127.0.0.1:7717")
    lock.tell("http://127.0.0.1:1")
    assert holder(tmp_path) == Holder(os.getpid(), "http://127.0.0.1:1")
    with pytest.raises(MillraceError) as held:
        DirectoryLock(tmp_path)
    assert held.value.code == "server.held"
    assert held.value.message == f"{tmp_path} is served by process {os.getpid()} at http://127.0.0.1:1"
    lock.release()
    assert holder(tmp_path) is None
    DirectoryLock(tmp_path).release()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        DirectoryLock(tmp_path).tell("http://127.0.0.1:7")
        os.write(done, b"x")
        signal.pause()
    os.read(ready, 1)
    assert holder(tmp_path) == Holder(pid, "http://127.0.0.1:7")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert holder(tmp_path) is None, "what it wrote is there, and means nothing"


def test_workers_that_stay_when_their_server_was_killed_are_named(tmp_path: Path) -> None:
    ready, done = os.pipe()
    parent = os.fork()
    if parent == 0:
        lock = DirectoryLock(tmp_path)
        worker = os.fork()
        if worker == 0:
            signal.pause()
        lock.tell("http://127.0.0.1:7", [worker])
        os.write(done, b"x")
        signal.pause()
    os.read(ready, 1)
    held = holder(tmp_path)
    assert held is not None and held.pid == parent
    (worker,) = held.workers
    try:
        with pytest.raises(MillraceError, match=f"is served by process {parent} at http://127.0.0.1:7"):
            DirectoryLock(tmp_path, 0.0)
        os.kill(parent, signal.SIGKILL)
        for _ in range(2):  # it has ended: nobody has asked about it yet, then somebody has
            with pytest.raises(MillraceError) as caught:
                DirectoryLock(tmp_path, 0.0)
            assert caught.value.code == "server.held"
            told = f"the server of {tmp_path}, process {parent}, was killed, and its workers {worker} have not left"
            assert caught.value.message == told
            with suppress(ChildProcessError):
                os.waitpid(parent, 0)
    finally:
        os.kill(worker, signal.SIGKILL)
    until(lambda: holder(tmp_path) is None, "nobody is left")
    DirectoryLock(tmp_path).release()


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}', b"\xff"])
def test_a_lock_file_that_says_nothing(tmp_path: Path, content: bytes) -> None:
    lock = DirectoryLock(tmp_path)
    (tmp_path / "server.lock").write_bytes(content)
    assert holder(tmp_path) is None
    with pytest.raises(MillraceError, match="is served by another process"):
        DirectoryLock(tmp_path)
    lock.release()


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert holder(tmp_path / "file") is None
    with pytest.raises(MillraceError) as caught:
        DirectoryLock(tmp_path / "file")
    assert caught.value.code == "server.folder"


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as without_room, pytest.raises(MillraceError, match="No space left") as caught:
        without_room.setattr(os, "pwrite", full)
        DirectoryLock(tmp_path)
    assert caught.value.code == "server.folder" and "free some disk" in caught.value.hint
    DirectoryLock(tmp_path).release()  # the one that failed has let it go
