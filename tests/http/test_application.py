"""The application itself: a defect shows a reference and nothing of the inside; draining is told."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from millrace.assemble import Platform
from millrace.http.application import Application


def asked(application: Application, method: str, path: str, body: bytes = b"{}") -> tuple[int, dict[str, Any]]:
    """Status and JSON of one request, without a socket."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    asyncio.run(application(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


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


def test_anything_but_http_is_left_alone(home: Platform) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("nothing is received or sent")

    assert asyncio.run(Application(home)({"type": "websocket"}, never, never)) is None  # type: ignore[arg-type, func-returns-value]
