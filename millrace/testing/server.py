"""A real server in a process of its own, for tests that speak HTTP, use the client or the command line.

    from millrace.testing.server import serving

    with serving(tmp_path / "home") as server:
        server.call("experiment.make", name="flights")

The fixture `server` is one for the whole test process; what tests make there needs names of their own (`fresh`).
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from millrace.http.holder import holder

_READY_S = 60.0
_ENDED_S = 40.0
_numbers = itertools.count(1)


class Answer(NamedTuple):
    """What the server answered; `json` reads the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running server. `log` is what it wrote to standard error so far."""

    def __init__(self, folder: Path, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.folder = folder
        self.url = url
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One bare HTTP request, with exactly these headers and those that HTTP itself needs."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, op: str, request: Any = None, **headers: str) -> Answer:
        """Run a verb; `headers` are given with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = request if isinstance(request, bytes) else json.dumps({} if request is None else request).encode()
        return self.ask("POST", f"/api/v1/{op}", body, {"Content-Type": "application/json", **named})

    def call(self, op: str, **request: Any) -> Any:
        """Run a verb that must succeed; its answer."""
        answer = self.post(op, request)
        assert answer.status == 200, answer.body.decode()
        return answer.json

    def stop(self, signal_: int = signal.SIGTERM) -> int:
        """Tell the server to stop and wait for it; its exit code. Safe to call when it has ended."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal_)
        return self.process.wait(_ENDED_S)


def command(*arguments: object) -> list[str]:
    """The command line of `millrace` in this Python."""
    return [sys.executable, "-m", "millrace", *(str(argument) for argument in arguments)]


def start(folder: Path, *arguments: object, environ: Mapping[str, str] | None = None) -> Server:
    """Start `millrace up` on a folder and wait until it is ready. The caller stops it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.{next(_numbers)}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command("up", "--dir", folder, "--port", 0, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(environ or {})},
        )
    server = Server(folder, "", process, log)

    def ready() -> bool:
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{server.log}"
        held = holder(folder)
        server.url = held.url if held and held.pid == process.pid else ""
        if not server.url:
            return False
        try:
            return server.ask("GET", "/health").status == 200
        except OSError:
            return False

    try:
        until(ready, "the server is ready", _READY_S)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


@contextmanager
def serving(folder: Path, *arguments: object, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for as long as the block lasts; it must then end well, unless it has ended before."""
    server = start(folder, *arguments, environ=environ)
    try:
        yield server
        running = server.process.poll() is None
        code = server.stop()
        assert not running or code == 0, f"the server ended with {code}:\n{server.log}"
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def until(happened: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Wait until `happened` answers something true, and return it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = happened()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"in {timeout_s:g} s it did not come true that {what}")


def fresh(word: str = "name") -> str:
    """A name that nothing has yet in this test process."""
    return f"{word}-{next(_numbers)}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole test process."""
    with serving(tmp_path_factory.mktemp("server") / "home") as running:
        yield running
