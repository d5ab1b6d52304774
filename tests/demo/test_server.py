"""The demo's server: what keeps it from coming up is told in its own words."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.base.errors import MillraceError
from millrace.demo.server import Server, _told
from millrace.http.holder import holder


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for _ in range(2):  # the log is one, whoever wrote into it before
            with pytest.raises(MillraceError) as caught:
                Server(tmp_path / "demo", port)
            assert caught.value.code == "server.port"
            assert caught.value.message == f"127.0.0.1:{port}: Address already in use"
            assert caught.value.hint == "choose another --port or --host"


@pytest.mark.parametrize(
    ("log", "code", "end"),
    [
        ("", "server.unreachable", "did not come up"),
        ("Killed\n", "server.unreachable", "did not come up; its last line: Killed"),
        ("error[no.code]: x\n", "server.unreachable", "; its last line: error[no.code]: x"),
        ("error[server.held]: x\n", "server.held", "x"),
    ],
)  # fmt: skip
def test_a_log_without_an_error_is_shown(tmp_path: Path, log: str, code: str, end: str) -> None:
    told = _told(log, tmp_path / "server.log")
    assert told.code == code and told.message.endswith(end)


@pytest.mark.slow
def test_a_demo_that_is_told_to_end_takes_its_server_along(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "millrace", "demo", "--dir", str(folder), "--search", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any("flights@1" in line for line in demo.stdout)  # it is in the middle of it
        assert holder(folder) is not None
        demo.terminate()
        _, told = demo.communicate()
    assert demo.returncode == 130 and "Traceback" not in told
    assert holder(folder) is None
