"""A client of each home: a platform inside the test's process, and a server's HTTP API, with one platform behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.sdk import current
from millrace.sdk.client import Client
from millrace.store.tree import Entry, encode
from millrace.testing.server import serving
from tests.registry.made import files


@pytest.fixture(params=["embedded", pytest.param("remote", marks=pytest.mark.slow)])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """The program's client, embedded or over HTTP: whatever is tested with it holds for both."""
    if request.param == "embedded":
        yield current.connect(dir=str(tmp_path / "home"))
        current.close()
        return
    with serving(tmp_path / "home") as server:
        yield current.connect(url=server.url)
        current.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Client]:
    """The program's client on a platform inside this process."""
    yield current.connect(dir=str(tmp_path / "home"))
    current.close()


def fitted(client: Client, slope: float = 1.0, **metrics: float) -> str:
    """The id of a finished run whose output is a model of the columns hour and dest, with these metrics."""
    stored = {path: (client.home.put(data), len(data)) for path, data in files(slope).items()}
    tree = client.home.put(encode(Entry(path, digest, size) for path, (digest, size) in stored.items()))
    run = client.call("run.start", experiment="flights")["id"]
    client.call("run.log", run=run, metrics=metrics)
    client.call("run.finish", run=run, outputs={"train": tree})
    return str(run)
