"""One client, two homes: the same program answers the same, errors included; retries act once."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.assemble import Platform
from millrace.base.errors import MillraceError
from millrace.sdk import current
from millrace.sdk.client import Client, Embedded, Record, Remote, connect, record, told
from millrace.store.blobs import digest_of
from millrace.testing.server import Server, fresh


def program(client: Client) -> list[Any]:
    """Something of everything, and what it answered; what differs by nature (ids, times, hashes) is left out."""
    seen: list[Any] = []

    def note(value: Any) -> None:
        seen.append(scrubbed(value))

    def fails(op: str, **request: Any) -> None:
        with pytest.raises(MillraceError) as caught:
            client.call(op, **request)
        seen.append((caught.value.code, caught.value.message, caught.value.hint))

    note(client.call("experiment.make", name="flights", about="late?"))
    run = client.call("run.start", experiment="flights", params={"depth": np.int64(6), "rate": 0.1, "none": None})
    note(run)
    points = [["loss", value, step, step + 1] for step, value in enumerate(np.array([1.0, 0.5, float("nan")]))]
    note(client.call("run.log", run=run.id, points=points))
    note(client.call("run.finish", run=run.id))
    note(client.call("run.metrics", run=run.id, key="loss"))
    note(list(client.pages("audit.facts", limit=2)))
    note(client.call("token.make", actor="local", scopes=("model:*",)).token.scopes)
    fails("experiment.make", name="flights")
    fails("experiment.make", name="a/b")
    fails("experiment.make", nmae="x")
    fails("experiment.make", name=7)
    fails("experiment.mkae")
    fails("experiment.make", name=object())
    fails("audit.facts", limit=0)
    note(client.home.get(client.home.put(b"bytes")))
    with pytest.raises(MillraceError) as caught:
        client.home.get(digest_of(b"other"))
    note((caught.value.code, caught.value.hint))
    return seen


def scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "…" if k in _OWN else scrubbed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    return value


_OWN = ("id", "made", "at", "hash", "queued", "started", "ended", "subject", "run", "data", "name", "wall", "since")


@pytest.fixture
def embedded(home: Platform) -> Iterator[Client]:
    folder = str(home.ground.folder)
    home.close()
    client = connect(dir=folder)
    yield client
    client.close()


@pytest.mark.slow
def test_both_homes_answer_the_same(embedded: Client, server: Server) -> None:
    """The same program twice, each in a workspace of its own of the same name."""
    assert isinstance(embedded.home, Embedded)
    remote = connect(url=server.url)
    assert isinstance(remote.home, Remote)
    place = fresh("same")
    answers = []
    for client in (embedded, remote):
        client.call("workspace.make", name=place)
        client.workspace = place
        answers.append(program(client))
    remote.close()
    assert answers[0] == answers[1]


def test_a_held_directory_is_reached_through_its_server(server: Server) -> None:
    client = connect(dir=str(server.folder))
    assert isinstance(client.home, Remote)
    assert client.home.url == server.url
    name = fresh("e")
    client.call("experiment.make", name=name)
    assert name in {e["name"] for e in server.call("experiment.list")["items"]}
    client.close()


def test_workspaces_and_tokens(server: Server) -> None:
    place, name = fresh("team"), fresh("ann")
    admin = connect(url=server.url)
    admin.call("workspace.make", name=place)
    admin.call("actor.add", name=name)
    admin.call("actor.grant", actor=name, role="editor", workspace=place)
    mine = connect(url=server.url, token=admin.call("token.make", actor=name).secret, workspace=place)
    assert mine.call("experiment.make", name="e").name == "e"
    with pytest.raises(MillraceError) as caught:
        mine.call("actor.add", name="bob")
    assert (caught.value.code, caught.value.exit_code) == ("access.denied", 4)


def test_records() -> None:
    found = record({"a": [{"b": 1}], "items": 2})
    assert isinstance(found, Record)
    assert (found.a[0].b, found["items"]) == (1, 2)
    with pytest.raises(AttributeError, match="no field 'c'; there are: a, items"):
        _ = found.c


class _Answers(BaseHTTPRequestHandler):
    """Answers what the server below was told to, one after the other; `None` cuts the connection."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.keys.append(self.headers["Idempotency-Key"])  # type: ignore[attr-defined]
        answer = self.server.answers.pop(0)  # type: ignore[attr-defined]
        if answer is None:
            self.close_connection = True
            return
        status, body, *cut = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: cut[0]] if cut else body)
        self.close_connection = bool(cut)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def shaky() -> Iterator[Any]:
    made = HTTPServer(("127.0.0.1", 0), _Answers)
    made.keys, made.answers = [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


BUSY = b'{"code":"catalog.busy","detail":"later","hint":"wait"}'


@pytest.mark.slow
def test_a_lost_connection_is_retried_with_the_same_key(shaky: Any) -> None:
    shaky.answers = [None, (503, BUSY), (200, b"[]")]
    client = connect(url=f"http://127.0.0.1:{shaky.server_port}")
    assert client.call("experiment.list") == []
    assert len(shaky.keys) == 3
    assert len(set(shaky.keys)) == 1
    shaky.answers = [(200, b"[]")]
    client.call("experiment.list")
    assert len(set(shaky.keys)) == 2, "another call has another key"


@pytest.mark.slow
def test_what_is_refused_is_not_retried(shaky: Any) -> None:
    shaky.answers = [(409, b'{"code":"experiment.exists","detail":"d","hint":"h"}'), (404, b"<html>")]
    client = connect(url=f"http://127.0.0.1:{shaky.server_port}")
    for code in ("experiment.exists", "server.unreachable"):
        with pytest.raises(MillraceError) as caught:
            client.call("experiment.list")
        assert caught.value.code == code
    shaky.answers = [(503, BUSY)] * 9
    with pytest.raises(MillraceError) as caught:
        client.call("experiment.list")
    assert (caught.value.code, len(shaky.answers)) == ("catalog.busy", 5)


@pytest.mark.slow
def test_a_download_that_breaks_off_begins_anew_and_is_checked(shaky: Any, tmp_path: Path) -> None:
    client, place = connect(url=f"http://127.0.0.1:{shaky.server_port}"), tmp_path / "log.parquet"
    content = bytes(range(256)) * 9_000
    shaky.answers = [(200, content, 2_000_000), (503, BUSY), (200, content)]
    assert client.save(digest_of(content), place) == place
    assert place.read_bytes() == content
    for answers, code in (
        ([(200, b"others")], "blob.corrupt"),
        ([(200, content, 9)] * 4, "server.unreachable"),
        ([(404, b'{"code":"blob.unknown","detail":"d","hint":"h"}')], "blob.unknown"),
    ):
        shaky.answers = answers
        with pytest.raises(MillraceError) as caught:
            client.save(digest_of(content), place)
        assert caught.value.code == code
        assert place.read_bytes() == content
    assert list(tmp_path.iterdir()) == [place]


def check_memory(client: Client, place: Path) -> None:
    content = bytes(48 << 20)
    digest = client.home.put(content)
    tracemalloc.start()
    try:
        client.save(digest, place)
        assert tracemalloc.get_traced_memory()[1] < len(content) / 4
    finally:
        tracemalloc.stop()
    assert place.read_bytes() == content


def test_a_large_file_is_never_in_memory_whole(embedded: Client, tmp_path: Path) -> None:
    check_memory(embedded, tmp_path / "large")


@pytest.mark.slow
def test_a_large_file_of_a_server_is_never_in_memory_whole(server: Server, tmp_path: Path) -> None:
    client = connect(url=server.url)
    check_memory(client, tmp_path / "large")
    client.close()


@pytest.mark.parametrize("url", ["notaurl", "ftp://127.0.0.1", "http://", "https:///path", "127.0.0.1:8000"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(MillraceError) as caught:
        connect(url=url)
    assert caught.value.code == "config.invalid" and url in caught.value.message and "http://" in caught.value.hint


def test_an_answer_that_is_not_ours() -> None:
    assert told(b"<html>", 502).code == "server.unreachable"
    assert told(b"[]", 502).code == "server.unreachable"
    assert told(b'{"code":"new.code","detail":"d","hint":"h"}', 400).code == "internal.fault"


def test_the_programs_own_client(server: Server) -> None:
    try:
        mine = current.connect(url=server.url)
        assert current.current() is mine
        assert "main" in {w.name for w in mine.call("workspace.list")["items"]}
    finally:
        current.close()


@pytest.mark.parametrize(
    ("act", "lacks"),
    [
        ("mr.dataset('x').versions", "sqlalchemy"),
        ("datasets._content({'a': [1]})", "numpy"),
        ("main()", "sqlalchemy"),
    ],
)
def test_the_bare_client_says_what_is_missing(tmp_path: Path, act: str, lacks: str) -> None:
    program = (
        f"import sys; sys.modules[{lacks!r}] = None; sys.argv[1:] = ['up']; import millrace as mr\n"
        f"from millrace.cli.main import main; from millrace.sdk import datasets\n{act}"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error[platform.missing]: " in done.stderr
    assert f"needs {lacks}, which is not installed here" in done.stderr
    assert 'pip install "millrace[platform]"' in done.stderr


def test_what_answers_whole_has_no_pages(client: Client) -> None:
    with pytest.raises(MillraceError, match=r"'audit\.verify' does not answer in pages") as caught:
        list(client.pages("audit.verify"))
    assert caught.value.code == "request.invalid" and "call('audit.verify'" in caught.value.hint


@pytest.mark.parametrize("token", ["mr_a\nb", "mr_☃"])
def test_a_token_that_no_header_can_carry(token: str) -> None:
    with pytest.raises(MillraceError) as caught:
        Remote("http://127.0.0.1:9", token)
    assert caught.value.code == "token.invalid" and "MILLRACE_TOKEN" in caught.value.hint


def test_a_token_may_come_with_the_end_of_its_line(server: Server) -> None:
    client = Client(Remote(server.url), "main")
    name = fresh("ann")
    client.call("actor.add", name=name)
    client.call("actor.grant", actor=name, role="viewer", workspace="main")
    secret = client.call("token.make", actor=name)["secret"]
    assert Client(Remote(server.url, f"{secret}\r\n"), "main").call("workspace.list")["items"]


def test_a_workspace_that_no_header_can_carry_is_not_there(server: Server) -> None:
    for act in (lambda: Client(Remote(server.url), "☃").call("run.search"),
                lambda: Client(Remote(server.url), "a\nb").predict("late", {"hour": [1]})):  # fmt: skip
        with pytest.raises(MillraceError) as caught:
            act()
        assert caught.value.code == "workspace.unknown"
