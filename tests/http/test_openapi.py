"""The API's own description: valid OpenAPI 3.1, whole, and its names held by a snapshot."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from millrace import waist
from millrace.assemble import Platform
from millrace.http import beside
from millrace.http.native import Native
from millrace.http.openapi import openapi
from millrace.http.speaks import PROTOCOLS
from millrace.testing.server import Server
from scripts.promises import promises
from tests.snapshots import assert_same

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi(waist.OPS)))
_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
_WORDS = {
    "type", "$ref", "anyOf", "allOf", "oneOf", "enum", "const", "items", "prefixItems", "properties", "required",
    "additionalProperties", "title", "description", "default", "pattern", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "format", "contentEncoding", "examples",
    "discriminator", "propertyNames", "multipleOf",
}  # fmt: skip


def test_the_names_of_verbs_are_a_promise() -> None:
    """New ones are added by `scripts.generate`; one that is taken away or changed is taken from the file by hand."""
    assert_same("ops.txt", promises())


BESIDE = {*beside.paths(), *(path for one in PROTOCOLS for path in one.paths([{}] * len(one.types)))}


def test_everything_that_the_server_answers_is_described(home: Platform) -> None:
    routes = {route.path for route in Native(home).routes()} - {"/api/v1/{op}"}
    assert routes <= set(DOCUMENT["paths"])
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert operation["operationId"] and operation["summary"]
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_the_media_types_are_those_that_are_sent(server: Server) -> None:
    def media(path: str, method: str) -> set[str]:
        return set(DOCUMENT["paths"][path][method]["responses"]["200"]["content"])

    digest = server.ask("POST", "/api/v1/blobs", b"bytes").json["digest"]
    asked = (
        ("/health", "get"), ("/api/v1/openapi.json", "get"), ("/api/v1/blobs/{digest}", "get"), ("/v2", "get"),
        ("/v2/health/live", "get"), ("/v2/health/ready", "get"), ("/v2/repository/index", "post"),
    )  # fmt: skip
    for path, method in asked:
        answer = server.ask(method.upper(), path.format(digest=digest))
        assert answer.status == 200 and media(path, method) == {answer.headers["content-type"]}, path
    assert media("/api/v1/facts", "get") == {"text/event-stream"}
    missing = server.ask("GET", "/v2/models/none")
    assert (
        set(missing.json) == {"error", "code", "detail", "hint"}
        and missing.headers["content-type"] == "application/json"
    )
    for item in (item for path, item in DOCUMENT["paths"].items() if path.startswith("/v2")):
        for operation in item.values():
            assert set(operation["responses"]["default"]["content"]) == {"application/json"}


def test_the_frame_of_the_document() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    verbs = {path: item for path, item in DOCUMENT["paths"].items() if path not in BESIDE}
    assert sorted(verbs) == [f"/api/v1/{name}" for name in sorted(waist.TABLE)]
    for path, item in verbs.items():
        assert list(item) == ["post"]
        operation = item["post"]
        assert operation["operationId"] == path.rpartition("/")[2]
        assert operation["summary"]
        assert operation["x-permission"] == waist.TABLE[operation["operationId"]].permission
        assert set(operation["responses"]) == {"200", "default"}
        assert {p["name"] for p in operation["parameters"]} == {"Idempotency-Key", "Millrace-Workspace"}


@pytest.mark.parametrize("name", sorted(waist.TABLE))
def test_every_schema_is_json_schema(name: str) -> None:
    operation = DOCUMENT["paths"][f"/api/v1/{name}"]["post"]
    for schema in (
        operation["requestBody"]["content"]["application/json"]["schema"],
        operation["responses"]["200"]["content"]["application/json"]["schema"],
    ):
        checked(schema)


def test_every_component_is_json_schema_and_used() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        checked(schema)
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert used == set(DOCUMENT["components"]["schemas"])


def checked(schema: Any) -> None:
    """Assert that a schema uses the words of JSON Schema 2020-12, rightly typed, and refers to what is there."""
    if isinstance(schema, bool):
        return
    assert isinstance(schema, dict)
    assert set(schema) <= _WORDS, set(schema) - _WORDS
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert set(kinds) <= _TYPES
    if "$ref" in schema:
        start, _, name = schema["$ref"].rpartition("/")
        assert start == "#/components/schemas"
        assert name in DOCUMENT["components"]["schemas"]
    for word in ("anyOf", "allOf", "oneOf", "prefixItems"):
        for inner in schema.get(word, ()):
            checked(inner)
    for word in ("items", "additionalProperties", "propertyNames"):
        if word in schema:
            checked(schema[word])
    for inner in schema.get("properties", {}).values():
        checked(inner)
    assert set(schema.get("required", ())) <= set(schema.get("properties", {}))
    if "pattern" in schema:
        re.compile(schema["pattern"])


def test_the_server_shows_it(server: Server) -> None:
    answer = server.ask("GET", "/api/v1/openapi.json")
    assert answer.json == DOCUMENT
