"""Several workers on one socket: all answer, one that dies is replaced, none outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from millrace.http import workers
from millrace.http.holder import holder
from millrace.testing.server import Server, command, serving, start, until


def children(server: Server) -> list[int]:
    return [child.pid for child in psutil.Process(server.process.pid).children()]


@pytest.mark.slow
def test_workers_share_one_catalog_and_one_store(tmp_path: Path) -> None:
    with serving(tmp_path / "home", "--workers", 3) as server:
        assert len(until(lambda: len(children(server)) == 3 and children(server), "all are there")) == 3
        for number in range(30):
            server.call("experiment.make", name=f"e{number}")
        assert len(server.call("experiment.list")["items"]) == 30
        assert server.call("audit.verify")["facts"] == 31
        digest = server.ask("POST", "/api/v1/blobs", b"shared").json["digest"]
        assert {server.ask("GET", f"/api/v1/blobs/{digest}").body for _ in range(10)} == {b"shared"}
    assert "Traceback" not in server.log


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path / "home", "--workers", 2) as server:
        before = until(lambda: len(children(server)) == 2 and children(server), "both are there")
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(children(server)) == 2 and before[0] not in children(server), "another one is there")
        assert server.call("experiment.list")["items"] == []
    assert "ended with status -9; starting another" in server.log


@pytest.mark.slow
def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    server = start(tmp_path / "home", "--workers", 2)
    orphans = until(lambda: len(children(server)) == 2 and children(server), "both are there")
    server.stop(signal.SIGKILL)
    until(lambda: not any(psutil.pid_exists(pid) for pid in orphans), "the workers have ended")
    with serving(tmp_path / "home") as again:
        assert again.call("experiment.list")["items"] == []


@pytest.mark.slow
def test_a_start_waits_for_the_workers_of_a_server_that_was_killed(tmp_path: Path) -> None:
    server = start(tmp_path / "home", "--workers", 2)
    orphans = until(lambda: len(children(server)) == 2 and children(server), "both are there")
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as wire:
        wire.sendall(
            b"POST /api/v1/blobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000)
        )
        until(lambda: any(established(pid) for pid in orphans), "the upload is under way")
        server.stop(signal.SIGKILL)
        with (tmp_path / "again.log").open("wb") as log:
            again = subprocess.Popen(command("up", "--dir", tmp_path / "home", "--port", 0), stderr=log)
        told = f"waiting for the workers of process {server.process.pid}, which was killed"
        until(lambda: told in (tmp_path / "again.log").read_text(), "the start has said what it waits for")
        wire.sendall(bytes(100_000))
        assert wire.recv(4096).startswith(b"HTTP/1.1 200 ")
    try:
        until(lambda: (held := holder(tmp_path / "home")) and held.pid == again.pid and held.url, "it serves")
    finally:
        again.terminate()
    assert again.wait(30) == 0


def established(pid: int) -> bool:
    """Whether a process has a connection that it took."""
    return any(link.status == psutil.CONN_ESTABLISHED for link in psutil.Process(pid).net_connections("tcp"))


def test_workers_that_die_at_once_end_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, because the parent takes over the signals."""
    pid = os.fork()
    if pid == 0:
        os._exit(workers.watch(lambda place, parent: 7, 2))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_a_signal_ends_all_of_them() -> None:
    def serve(place: int, parent: int) -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        os.kill(os.getppid(), signal.SIGTERM)
        os.read(parent, 1)
        return 1

    pid = os.fork()
    if pid == 0:
        os._exit(workers.watch(serve, 3))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
