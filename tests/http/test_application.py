"""The application itself: a defect shows a reference and nothing of the inside; draining is told."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest

from millrace import __version__
from millrace.assemble import Platform
from millrace.http.application import Application


def asked(application: Application, method: str, path: str, body: bytes = b"{}") -> tuple[int, dict[str, Any]]:
    """Status and JSON of one request, without a socket."""
    status, _, content = sent(application, method, path, body)
    return status, json.loads(content)


def sent(
    application: Application, method: str, path: str, body: bytes = b"", accept: str = "*/*"
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of one request, without a socket."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"accept", accept.encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    asyncio.run(asyncio.wait_for(application(scope, receive, send), 30))
    content = b"".join(message.get("body", b"") for message in messages[1:])
    return messages[0]["status"], dict(messages[0]["headers"]), content


def test_a_defect_shows_nothing_of_the_inside(
    home: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(home, "call", broken)
    with caplog.at_level(logging.ERROR):
        status, told = asked(Application(home), "POST", "/api/v1/experiment.list")
    assert (status, told["code"]) == (500, "internal.fault")
    assert "secret" not in json.dumps(told)
    reference = told["detail"].rpartition(" ")[2]
    assert reference in caplog.text
    assert "secret inside" in caplog.text
    assert told["hint"]


def test_a_server_that_drains_says_so(home: Platform) -> None:
    assert asked(Application(home), "GET", "/health") == (200, {"status": "ok"})
    home.stopping = True
    assert asked(Application(home), "GET", "/health")[0] == 503


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/html,*/*;q=0.8"])
def test_the_front_tells_everybody_where_to_go_on(home: Platform, accept: str) -> None:
    application = Application(home)
    status, headers, content = sent(application, "GET", "/", accept=accept)
    assert status == 200 and headers[b"vary"] == b"Accept, Accept-Encoding"
    if "html" in accept:
        assert content.startswith(b"<!doctype html>")
    else:
        told = json.loads(content)
        assert told["name"] == "millrace" and told["version"] == __version__
        for name in ("page", "health", "openapi", "predictions"):
            assert sent(application, "GET", told[name])[0] == 200
    again = sent(application, "HEAD", "/", accept=accept)
    assert again[0] == 200 and dict(again[1]) == headers


def test_what_answers_get_answers_head(home: Platform) -> None:
    application = Application(home)
    document = sent(application, "GET", "/", accept="text/html")[2].decode()
    file = re.findall(r'src="([^"]+app\.js)"', document)[0]
    for path in (file, "/health", "/api/v1/openapi.json", "/v2", "/v2/health/live"):
        got, told = sent(application, "GET", path), sent(application, "HEAD", path)
        assert got[0] == told[0] == 200 and got[1] == told[1]
    status, headers, content = sent(application, "HEAD", "/api/v1/facts")
    assert (status, headers[b"content-type"], content) == (200, b"text/event-stream; charset=utf-8", b"")


def test_anything_but_http_is_left_alone(home: Platform) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("nothing is received or sent")

    assert asyncio.run(Application(home)({"type": "websocket"}, never, never)) is None  # type: ignore[arg-type, func-returns-value]
