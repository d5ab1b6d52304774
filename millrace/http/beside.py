"""What the server answers beside the verbs, for its OpenAPI document.

These are facts as events, bytes and several reads at once; each protocol in `speaks/` describes its own.
"""

from __future__ import annotations

from typing import Any

from millrace.http.page import FRONT
from millrace.http.reads import MOST

PROBLEM = {
    "description": "What went wrong, with a hint.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and request answer what they answered before.",
    "schema": {"type": "string"},
}
WORKSPACE = {"name": "Millrace-Workspace", "in": "header", "required": False, "schema": {"type": "string"}}
TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
BYTES: dict[str, Any] = {"application/octet-stream": {}}  # 3.1: bytes have a media type and no schema


def paths() -> dict[str, Any]:
    """The paths."""
    return {
        "/": {"get": _front()},
        "/health": {"get": told("health", "Whether the server answers.", record(status=TEXT), security=[{}])},
        "/api/v1/openapi.json": {"get": told("openapi", "This document.", {"type": "object"})},
        "/api/v1/reads": {"post": _reads()},
        "/api/v1/facts": {"get": _facts()},
        "/api/v1/blobs": {"post": _put_blob()},
        "/api/v1/blobs/{digest}": {"get": _get_blob()},
    }


def _front() -> dict[str, Any]:
    summary = "Name, version and where to go on; the page for whoever takes HTML."
    return told("front", summary, record(**dict.fromkeys(FRONT, TEXT)), security=[{}])


def told(name: str, summary: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An operation that answers JSON of `schema`; `more` are its other parts."""
    answer = {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    return {
        "operationId": name, "tags": ["server"], "summary": summary, "responses": {"200": answer, "default": PROBLEM},
        **more,
    }  # fmt: skip


def record(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def many(items: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "items": items}


def _reads() -> dict[str, Any]:
    read = {"type": "object", "required": ["op"], "properties": {"op": TEXT, "ask": {"type": "object"}}}
    answer = {"oneOf": [record(answer={}), record(problem={"$ref": "#/components/schemas/Problem"})]}
    asked = {"type": "array", "maxItems": MOST, "items": read}
    return told(
        "reads", "Run several verbs that read, each permitted and answered by itself, in order.", many(answer),
        tags=["reads"], parameters=[WORKSPACE],
        requestBody={"content": {"application/json": {"schema": asked}}},
    )  # fmt: skip


def _facts() -> dict[str, Any]:
    cursor = "The number of the last fact that was seen; 0 begins at the first."
    return {
        "operationId": "facts",
        "tags": ["facts"],
        "summary": "The journal as server-sent events, from a cursor on and then live.",
        "description": "One event a fact: `id` is its number, the cursor to go on from; `data` is the fact as JSON.",
        "x-permission": "audit:read",
        "parameters": [
            {"name": "after", "in": "query", "required": False, "description": cursor, "schema": WHOLE},
            {"name": "Last-Event-ID", "in": "header", "required": False, "description": cursor, "schema": WHOLE},
            {"name": "workspace", "in": "query", "required": False, "schema": TEXT},
            WORKSPACE,
        ],
        "responses": {
            "200": {"description": "Events, without end.", "content": {"text/event-stream": {"schema": TEXT}}},
            "default": PROBLEM,
        },
    }


def _put_blob() -> dict[str, Any]:
    return told(
        "blobs.put", "Store the body's bytes; their digest, which verbs take.", record(digest=TEXT, size=WHOLE),
        tags=["blobs"], parameters=[WORKSPACE], requestBody={"required": True, "content": BYTES},
        **{"x-permission": "blob:write"},
    )  # fmt: skip


def _get_blob() -> dict[str, Any]:
    digest = {
        "name": "digest",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }
    return {
        "operationId": "blobs.get",
        "tags": ["blobs"],
        "summary": "The bytes of a digest.",
        "x-permission": "blob:read",
        "parameters": [digest, WORKSPACE],
        "responses": {"200": {"description": "The bytes.", "content": BYTES}, "default": PROBLEM},
    }
