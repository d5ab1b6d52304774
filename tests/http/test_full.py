"""A server whose disk is full: 507 with the next step, reads go on, and it recovers without a restart."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from millrace.testing.server import serving

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
