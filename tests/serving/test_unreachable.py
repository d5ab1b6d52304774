"""A server whose catalog goes away says so to whoever asks and, in one line each, in its log; it recovers by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from millrace.testing.postgres import Cluster, binaries, halt, resume, start, stop
from millrace.testing.server import Server, serving, until
from tests.serving.server import prepare, question

ASKED = json.dumps(question([3])).encode()


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
    with serving(tmp_path / "home", environ={"MILLRACE_CATALOG": url}) as server, ThreadPoolExecutor(1) as pool:
        assert server.ask("GET", "/v2/health/ready").json == {"ready": True}
        assert server.ask("POST", "/v2/models/delays/infer", ASKED).status == 200
        facts = pool.submit(server.ask, "GET", "/api/v1/facts")
        halt(cluster)
        for _ in range(2):
            answer = server.ask("GET", "/v2/health/ready")
            assert (answer.status, answer.json["code"]) == (503, "catalog.unreachable")
            assert answer.headers["retry-after"]
        assert server.ask("GET", "/v2/models/delays/ready").status == 503
        assert server.ask("GET", "/health").status == 200
        assert facts.result(30).status in (200, 503), "an open stream ends"
        told = ("guard", "loop", "runs", "tables")
        until(lambda: all(word in " ".join(troubles(server)) for word in told), "each part has said what it lacks")
        resume(cluster)
        until(lambda: server.ask("GET", "/v2/health/ready").status == 200, "it is ready again")
    assert "Traceback" not in server.log
    assert len([line for line in troubles(server) if "more since" not in line]) == 4, "each part once in a minute"
    assert all("catalog.unreachable: the catalog's database: " in line for line in troubles(server))


def troubles(server: Server) -> list[str]:
    """The messages of the log but for those that the server began and ended with."""
    found = [json.loads(line) for line in server.log.splitlines()]
    return [line["message"] for line in found if line["level"] != "info"]
