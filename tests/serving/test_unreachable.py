"""A server whose catalog goes away says so to whoever asks whether it is ready, and recovers when that is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.testing.postgres import Cluster, binaries, halt, resume, start, stop
from millrace.testing.server import serving, until
from tests.serving.server import prepare


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One of this test's own, because it is stopped."""
    found, guard = start(binaries())
    yield found
    stop(guard)


@pytest.mark.slow
def test_a_server_without_its_catalog_is_not_ready(tmp_path: Path, cluster: Cluster) -> None:
    url = cluster.url(cluster.make_database())
    prepare(tmp_path / "home", url)
    with serving(tmp_path / "home", environ={"MILLRACE_CATALOG": url}) as server:
        assert server.ask("GET", "/v2/health/ready").json == {"ready": True}
        halt(cluster)
        for _ in range(2):
            answer = server.ask("GET", "/v2/health/ready")
            assert (answer.status, answer.json["code"]) == (503, "catalog.unreachable")
            assert answer.headers["retry-after"]
        assert server.ask("GET", "/v2/models/delays/ready").status == 503
        assert server.ask("GET", "/health").status == 200
        resume(cluster)
        until(lambda: server.ask("GET", "/v2/health/ready").status == 200, "it is ready again")
