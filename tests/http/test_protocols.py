"""A protocol is one entry of a list: the application answers by it, and the OpenAPI document describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from millrace import waist
from millrace.assemble import Platform
from millrace.http.application import Application
from millrace.http.beside import TEXT, record, told
from millrace.http.doorman import Doorman, remote_of
from millrace.http.openapi import openapi
from millrace.http.speaks import PROTOCOLS
from millrace.http.speaks.protocol import Protocol
from tests.http.test_application import asked


class Shout(Struct):
    """What is to be said loudly."""

    word: str


class Shouting:
    """The experiments' names, loudly."""

    def __init__(self, platform: Platform, doorman: Doorman) -> None:
        self._platform, self._doorman = platform, doorman

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._doorman.admit(scope["method"], dict(scope["headers"]), remote_of(scope))
        found = self._platform.call("experiment.list", {}, caller)
        body = json.dumps({"path": scope["path"], "names": [one.name.upper() for one in found.items]}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def _paths(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": schemas[0]}}}
    return {"/shout/all": {"post": told("shout.all", "All names.", record(path=TEXT), requestBody=body)}}


SHOUTING = Protocol("/shout", Shouting, (Shout,), _paths)


@pytest.mark.parametrize("path", ["/shout", "/shout/all", "/shout/"])
def test_one_more_protocol_answers_what_is_below_its_prefix(home: Platform, path: str) -> None:
    application = Application(home, protocols=(*PROTOCOLS, SHOUTING))
    home.call("experiment.make", {"name": "flights"})
    assert asked(application, "POST", path) == (200, {"path": path, "names": ["FLIGHTS"]})
    assert asked(application, "GET", "/v2/health/live") == (200, {"live": True})
    assert asked(application, "GET", "/health") == (200, {"status": "ok"})
    assert asked(application, "POST", "/api/v1/experiment.list")[1]["items"][0]["name"] == "flights"


@pytest.mark.parametrize("path", ["/v2x", "/v", "/shouts", "/v1/v2"])
def test_a_prefix_ends_where_its_word_does(home: Platform, path: str) -> None:
    application = Application(home, protocols=(*PROTOCOLS, SHOUTING))
    status, problem = asked(application, "POST", path)
    assert (status, problem["code"], problem["type"]) == (404, "op.unknown", "urn:millrace:error:op.unknown")


def test_one_more_protocol_is_described() -> None:
    document = openapi(waist.OPS, (*PROTOCOLS, SHOUTING))
    whole = openapi(waist.OPS)
    assert document["paths"].keys() - whole["paths"].keys() == {"/shout/all"}
    schema = document["paths"]["/shout/all"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Shout"}
    assert document["components"]["schemas"].keys() - whole["components"]["schemas"].keys() == {"Shout"}
    assert {path: document["paths"][path] for path in whole["paths"]} == whole["paths"]


def test_each_protocol_describes_what_is_below_its_own_prefix() -> None:
    places = [f"{one.prefix}/" for one in PROTOCOLS]
    assert len(set(places)) == len(places)
    for one in PROTOCOLS:
        described = one.paths([{}] * len(one.types))
        assert described and all(f"{path}/".startswith(f"{one.prefix}/") for path in described)
        assert not any(place.startswith(f"{one.prefix}/") for place in places if place != f"{one.prefix}/")
