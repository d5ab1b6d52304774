"""The contract of `millrace up`: foreground, log lines, readiness, who holds what, draining, several workers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from millrace.http.holder import holder
from millrace.http.server import _url
from millrace.testing.server import Server, command, serving, start, until


def second_start(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command("up", *arguments), capture_output=True, text=True, timeout=60)


def test_the_contract_of_a_server(tmp_path: Path) -> None:
    with serving(tmp_path / "home", environ={"MILLRACE_BODY_LIMIT_MB": "1"}) as server:
        assert server.ask("GET", "/health").json == {"status": "ok"}
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert [sorted(line) for line in lines] == [["at", "from", "level", "message"]]
        assert lines[0]["message"] == f"millrace is ready at {server.url}, everything lives in {server.folder}"
        held = second_start("--dir", server.folder)
        assert held.returncode == 1
        assert held.stderr == (
            f"error[server.held]: {server.folder} is served by process {server.process.pid} at {server.url}\n"
            "hint: use that server, or stop it first\n"
        )
        port = server.url.rpartition(":")[2]
        busy = second_start("--dir", tmp_path / "other", "--port", port)
        assert busy.returncode == 1
        assert busy.stderr == (
            f"error[server.port]: 127.0.0.1:{port}: Address already in use\nhint: choose another --port or --host\n"
        )
        large = server.post("experiment.list", b'{"x":"' + b"x" * 1_000_000 + b'"}')
        assert (large.status, large.json["code"]) == (413, "request.too_large")
        assert in_pieces(server, 20, 100_000) == 413
        answers = under_way(server)
        assert server.stop() == 0, "what is under way does not hold it up"
        assert until(lambda: len(answers) == 2, "both callers got an answer")
        assert "Traceback" not in server.log
        assert json.loads(server.log.splitlines()[-1])["message"] == "millrace has stopped"
    assert holder(server.folder) is None


@pytest.mark.slow
def test_a_directory_that_others_can_read_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(0o755)
    with serving(home) as server:
        assert "others can read" not in server.log
    (home / "catalog.db").chmod(0o644)
    with serving(home) as server:
        told = [json.loads(line) for line in server.log.splitlines()]
        assert (told[0]["level"], told[0]["message"]) == (
            "warning", f"others can read catalog.db in {home}: chmod -R go= {home}",
        )  # fmt: skip


def in_pieces(server: Server, count: int, size: int) -> int:
    """The status of a body that does not say how long it is."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as wire:
        wire.sendall(b"POST /api/v1/blobs HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(count):
                wire.sendall(b"%x\r\n" % size + bytes(size) + b"\r\n")
            wire.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # it did not want to hear the rest
        return int(wire.recv(4096).split()[1])


def under_way(server: Server) -> list[object]:
    """An event stream and a verb that waits, both going on; what they end with."""
    answers: list[object] = []

    def listen() -> None:
        answers.append(server.ask("GET", "/api/v1/facts").status)

    def settle() -> None:
        try:
            answers.append(server.post("loop.settle", {"timeout_s": 3000}).status)
        except OSError as fault:
            answers.append(fault)

    for run in (listen, settle):
        threading.Thread(target=run, daemon=True).start()
    return answers


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--port", "70000"), 2, "error[config.invalid]: --port: port = 70000 is not a whole number from 0 to 65535"),
        (("--port", "x"), 2, "Invalid value for '--port': 'x' is not a valid integer."),
        (("--port", "0", "--host", "no.such.host.invalid"), 2, "error[server.unsafe]"),
        (("--port", "0", "--host", "0.0.0.0"), 2, "error[server.unsafe]: binding to 0.0.0.0 without authentication"),
        (("--workers", "0"), 2, "Invalid value for '--workers': 0 is not in the range 1<=x<=64."),
    ],
)
@pytest.mark.slow
def test_what_cannot_start_says_why(tmp_path: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = second_start("--dir", tmp_path / "home", *arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = second_start("--dir", tmp_path / "file", "--port", 0)
    assert (done.returncode, "error[server.folder]" in done.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize(("content", "code"), [(b"not a database" * 1000, "catalog.corrupt")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_catalog_that_cannot_be_opened(tmp_path: Path, content: bytes, code: str, workers: int) -> None:
    (tmp_path / "catalog.db").write_bytes(content)
    done = second_start("--dir", tmp_path, "--port", 0, "--workers", workers)
    assert (done.returncode, f"error[{code}]" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
    assert holder(tmp_path) is None


@pytest.mark.slow
def test_told_to_stop_before_it_is_ready(tmp_path: Path) -> None:
    process = subprocess.Popen(command("up", "--dir", tmp_path / "home", "--port", 0), stderr=subprocess.PIPE)
    until(lambda: holder(tmp_path / "home"), "it holds the directory")
    process.terminate()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_killed_and_started_again(tmp_path: Path) -> None:
    server = start(tmp_path / "home")
    server.call("experiment.make", name="kept")
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with serving(tmp_path / "home") as server:
        assert [e["name"] for e in server.call("experiment.list")["items"]] == ["kept"]
        assert server.call("audit.verify")["facts"] == 2


@pytest.mark.slow
def test_interrupted_from_the_keyboard(tmp_path: Path) -> None:
    server = start(tmp_path / "home")
    assert server.stop(signal.SIGINT) == 0


def test_addresses() -> None:
    assert [_url(host, 7) for host in ("127.0.0.1", "localhost", "::1", "[::1]")] == [
        "http://127.0.0.1:7",
        "http://localhost:7",
        "http://[::1]:7",
        "http://[::1]:7",
    ]
