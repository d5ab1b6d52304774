"""A server whose disk is full: 507 with the next step, reads go on, and it recovers without a restart."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from millrace.testing.server import serving
from tests.serving.server import prepare, question

_PLENTY = resource.RLIM_INFINITY


@pytest.mark.slow
def test_no_room_for_bytes(tmp_path: Path) -> None:
    """A real limit of the system, set from outside: no file of the server's may grow beyond a megabyte."""
    with serving(tmp_path / "home") as server:
        small = server.ask("POST", "/api/v1/blobs", b"small").json["digest"]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1_000_000, _PLENTY))
        full = server.ask("POST", "/api/v1/blobs", bytes(3_000_000))
        assert (full.status, full.json["code"]) == (507, "store.full")
        assert full.json["hint"].startswith("free space on that disk, then try again")
        assert server.ask("GET", f"/api/v1/blobs/{small}").body == b"small"
        assert server.ask("POST", "/api/v1/blobs", b"another small one").status == 200
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (_PLENTY, _PLENTY))
        assert server.ask("POST", "/api/v1/blobs", bytes(3_000_000)).status == 200
        assert server.call("store.verify")["corrupt"] == []
    assert "Traceback" not in server.log


@pytest.mark.slow
def test_what_is_refused_for_want_of_room_is_one_line_of_the_log(tmp_path: Path) -> None:
    prepare(tmp_path / "home")
    asked = json.dumps(question([3] * 2_000)).encode()
    with serving(tmp_path / "home") as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1_000_000, _PLENTY))
        answers = [server.ask("POST", "/v2/models/delays/infer", asked) for _ in range(100)]
        refused = [answer.json["code"] for answer in answers if answer.status != 200]
        assert len(refused) > 10 and set(refused) == {"log.full"}
        for path in ("/v2/models/delays/ready", "/v2/models/delays/versions/1/ready"):
            told = server.ask("GET", path)
            assert (told.status, told.json["code"]) == (507, "log.full")
        ready = server.ask("GET", "/v2/health/ready")
        assert (ready.status, ready.json["code"]) == (503, "server.unready")
        (listed,) = server.ask("POST", "/v2/repository/index").json
        assert listed["state"] == "UNAVAILABLE" and listed["reason"].startswith("log.full: ")
        assert [server.ask("POST", "/api/v1/blobs", bytes(3_000_000)).status for _ in range(3)] == [507] * 3
        assert server.ask("GET", "/v2/models/none").status == 404
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (_PLENTY, _PLENTY))
        for path in ("/v2/models/delays/ready", "/v2/models/delays/versions/1/ready", "/v2/health/ready"):
            assert server.ask("GET", path).status == 200
        assert server.ask("POST", "/v2/models/delays/infer", asked).status == 200
    told = [line for line in map(json.loads, server.log.splitlines()) if line["level"] != "info"]
    first = [line["message"].rpartition(": ")[0] for line in told if "more since" not in line["message"]]
    assert first == ["predictions are refused: log.full", "requests are refused: store.full"]
