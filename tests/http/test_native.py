"""The native API over a socket: verbs, problems, pages, facts as they happen, and bytes by digest."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from millrace.store.blobs import digest_of
from millrace.testing.server import Server, fresh, until


def test_a_verb(server: Server) -> None:
    name = fresh("e")
    answer = server.post("experiment.make", {"name": name})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["name"] == name


PROBLEMS: list[tuple[str, str, bytes | None, dict[str, str], int, str]] = [
    ("POST", "/api/v1/experiment.mkae", b"{}", {}, 404, "op.unknown"),
    ("POST", "/api/v1/a/b", b"{}", {}, 404, "op.unknown"),
    ("POST", "/api/v1/%2e%2e%2fetc", b"{}", {}, 404, "op.unknown"),
    ("GET", "/api/v1/openapi.json/", None, {}, 404, "op.unknown"),
    ("GET", "/api/v1/experiment.list", None, {}, 405, "request.method"),
    ("DELETE", "/api/v1/blobs/" + "0" * 64, None, {}, 405, "request.method"),
    ("POST", "/api/v1/experiment.list", b"{", {}, 400, "request.invalid"),
    ("POST", "/api/v1/experiment.list", b"{}", {"Content-Type": "text/plain"}, 415, "request.media"),
    ("POST", "/api/v1/experiment.list", b"{}", {"Content-Type": ""}, 415, "request.media"),
    ("POST", "/api/v1/experiment.list", b"{}", {"Millrace-Workspace": "nowhere"}, 404, "workspace.unknown"),
    ("POST", "/api/v1/experiment.list", b"{}", {"Millrace-Workspace": "../x'\"<b>"}, 404, "workspace.unknown"),
    ("POST", "/api/v1/experiment.list", b"{}", {"Content-Length": "9999999999"}, 413, "request.too_large"),
    ("POST", "/api/v1/experiment.make", b'{"name":"e"}', {"Idempotency-Key": "k" * 400}, 400, "request.invalid"),
    ("GET", "/api/v1/blobs/" + "0" * 64, None, {}, 404, "blob.unknown"),
    ("GET", "/api/v1/blobs/..%2f..%2fcatalog.db", None, {}, 404, "op.unknown"),
    ("GET", "/api/v1/blobs/ABC", None, {}, 400, "blob.invalid"),
    ("GET", "/api/v1/facts?after=-1", None, {}, 400, "page.invalid"),
    ("GET", "/api/v1/facts?after=%C2%B2", None, {}, 400, "page.invalid"),
    ("GET", "/api/v1/facts?after=" + "9" * 5000, None, {}, 400, "page.invalid"),
    ("GET", "/api/v1/facts", None, {"Last-Event-ID": "x"}, 400, "page.invalid"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "code"), PROBLEMS, ids=lambda v: str(v)[:40])
def test_problems(
    server: Server, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, code: str
) -> None:
    given = {"Content-Type": "application/json", **headers} if body is not None else headers
    answer = server.ask(method, path, body, given)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json
    assert (answer.status, told["status"], told["code"]) == (status, status, code)
    assert told["type"] == f"urn:millrace:error:{code}"
    assert told["title"]
    assert told["detail"]
    assert told["hint"]
    assert sorted(told) == ["code", "detail", "hint", "status", "title", "type"]


def test_what_is_not_even_http_ends_the_connection(server: Server) -> None:
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0)) as wire:
        wire.sendall(
            b"POST /api/v1/experiment.list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\nzz\r\n'
        )
        assert wire.recv(4096).startswith(b"HTTP/1.1 400")


def test_keys_over_http(server: Server) -> None:
    name = fresh("e")
    first = server.post("experiment.make", {"name": name}, Idempotency_Key=name)
    again = server.post("experiment.make", {"name": name}, Idempotency_Key=name)
    other = server.post("experiment.make", {"name": name + "x"}, Idempotency_Key=name)
    assert first.body == again.body
    assert (other.status, other.json["code"]) == (409, "idempotency.mismatch")


def test_the_same_key_at_the_same_time(server: Server) -> None:
    name = fresh("e")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: server.post("run.start", {"experiment": name}, Idempotency_Key=name), range(8))
        )
    assert {(a.status, a.body) for a in answers} == {(200, answers[0].body)}
    assert len(server.call("run.search", where=f"experiment = '{name}'")["items"]) == 1


def test_pages(server: Server) -> None:
    workspace = fresh("pages")
    server.call("workspace.make", name=workspace)
    for number in range(7):
        server.post("experiment.make", {"name": f"e{number}"}, Millrace_Workspace=workspace)
    seen, ask = [], {"limit": 3, "after": 0}
    while ask["after"] is not None:
        page = server.post("audit.facts", ask, Millrace_Workspace=workspace).json
        seen += [fact["number"] for fact in page["items"]]
        ask["after"] = page["next"]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.slow
def test_bytes_by_digest(server: Server) -> None:
    data = bytes(range(256)) * 40_000
    put = server.ask("POST", "/api/v1/blobs", data)
    assert put.json == {"digest": digest_of(data), "size": len(data)}
    got = server.ask("GET", f"/api/v1/blobs/{digest_of(data)}")
    assert got.body == data
    assert {name: got.headers[name] for name in ("content-disposition", "content-security-policy", "content-type")} == {
        "content-disposition": "attachment",
        "content-security-policy": "sandbox",
        "content-type": "application/octet-stream",
    }
    assert got.headers["x-content-type-options"] == "nosniff"


def test_bytes_that_were_spoiled_are_never_sent(server: Server) -> None:
    digest = server.ask("POST", "/api/v1/blobs", b"precious").json["digest"]
    place = server.folder / "blobs" / digest[:2] / digest
    place.chmod(0o644)
    place.write_bytes(b"prXcious")
    answer = server.ask("GET", f"/api/v1/blobs/{digest}")
    assert (answer.status, answer.json["code"]) == (500, "blob.corrupt")
    assert answer.json["hint"].startswith("restore it from a backup, or add the same data again: that mends it; ")
    place.unlink()


@contextmanager
def listening(server: Server, workspace: str, after: int = 0, secret: str = "") -> Iterator[Iterator[dict[str, Any]]]:
    """The facts of a workspace as they come."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    shown = {"Authorization": f"Bearer {secret}"} if secret else {}
    connection.request("GET", f"/api/v1/facts?workspace={workspace}", headers={"Last-Event-ID": str(after)} | shown)
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")

    def events() -> Iterator[dict[str, Any]]:
        number = 0
        for line in answer:
            if line.startswith(b"id: "):
                number = int(line[4:])
            if line.startswith(b"data: "):
                fact = json.loads(line[6:])
                assert fact["number"] == number, "the id is the cursor to continue from"
                yield fact

    try:
        yield events()
    finally:
        connection.close()


def test_facts_arrive_as_they_happen_and_from_a_cursor(server: Server) -> None:
    workspace = fresh("live")
    server.call("workspace.make", name=workspace)
    with listening(server, workspace) as facts:
        for number in range(3):
            server.post("experiment.make", {"name": f"e{number}"}, Millrace_Workspace=workspace)
            fact = next(facts)
            assert (fact["number"], fact["kind"], fact["subject"]) == (number + 1, "experiment.made", f"e{number}")
    with listening(server, workspace, after=2) as facts:
        assert next(facts)["subject"] == "e2"


@pytest.mark.parametrize("taken", ["token", "role"])
def test_a_stream_ends_with_the_right_to_it(server: Server, taken: str) -> None:
    workspace, actor = fresh("watched"), fresh("ann")
    server.call("workspace.make", name=workspace)
    server.call("actor.add", name=actor)
    server.call("actor.grant", actor=actor, role="viewer", workspace=workspace)
    token = server.call("token.make", actor=actor)
    with listening(server, workspace, 0, token["secret"]) as facts:
        server.post("experiment.make", {"name": "seen"}, Millrace_Workspace=workspace)
        assert next(facts)["subject"] == "seen"
        if taken == "token":
            server.call("token.revoke", id=token["token"]["id"])
        else:
            server.call("actor.withdraw", actor=actor, role="viewer", workspace=workspace)
        server.post("experiment.make", {"name": "unseen"}, Millrace_Workspace=workspace)
        assert list(facts) == []


def test_many_listeners_keep_nobody_waiting(server: Server) -> None:
    """More streams than there are threads for verbs: each is one waiting coroutine."""
    workspace = fresh("crowd")
    server.call("workspace.make", name=workspace)
    streams = [listening(server, workspace) for _ in range(60)]
    opened = [stream.__enter__() for stream in streams]
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: server.call("experiment.list")["items"], range(20)))
        server.post("experiment.make", {"name": "e"}, Millrace_Workspace=workspace)
        assert {next(facts)["subject"] for facts in opened} == {"e"}
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_client_that_goes_away_is_no_defect(server: Server) -> None:
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0)) as wire:
        wire.sendall(
            b"POST /api/v1/experiment.list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
    assert until(lambda: server.call("experiment.list") is not None, "the server still answers")
    assert "defect" not in server.log
    assert "Traceback" not in server.log
