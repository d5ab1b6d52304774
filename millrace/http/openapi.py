"""OpenAPI 3.1 of the native API, derived from the op table; nothing is written by hand."""

from __future__ import annotations

from typing import Any

import msgspec

from millrace import __version__
from millrace.base.op import Op
from millrace.http.reads import MOST

_REF = "#/components/schemas/{name}"


def openapi(ops: tuple[Op, ...]) -> dict[str, Any]:
    """The document for these verbs: one POST per verb, a problem for every error."""
    types = [op.request for op in ops] + [op.answer for op in ops]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    paths = {
        f"/api/v1/{op.name}": {"post": _operation(op, schemas[i], schemas[len(ops) + i])} for i, op in enumerate(ops)
    }
    components["Problem"] = {
        "type": "object",
        "description": "RFC 9457 problem: `code` is stable, `hint` is the next step.",
        "required": ["type", "title", "status", "detail", "code", "hint"],
        "properties": {
            name: {"type": "integer" if name == "status" else "string"}
            for name in ("type", "title", "status", "detail", "code", "hint")
        },
    }
    paths["/api/v1/reads"] = {"post": _reads()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Millrace", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(op: Op, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    summary, _, rest = op.doc.partition("\n")
    return {
        "operationId": op.name,
        "tags": [op.noun],
        "summary": summary.strip(),
        "description": rest.strip(),
        "x-permission": op.permission,
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and request answer what they answered before.",
                "schema": {"type": "string"},
            },
            {"name": "Millrace-Workspace", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
        "requestBody": {"required": False, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
            "default": {
                "description": "What went wrong, with a hint.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }


def _reads() -> dict[str, Any]:
    problem = {"$ref": "#/components/schemas/Problem"}
    read = {"type": "object", "required": ["op"], "properties": {"op": {"type": "string"}, "ask": {"type": "object"}}}
    answer = {"oneOf": [
        {"type": "object", "required": ["answer"], "properties": {"answer": {}}},
        {"type": "object", "required": ["problem"], "properties": {"problem": problem}},
    ]}  # fmt: skip
    asked = {"type": "array", "maxItems": MOST, "items": read}
    return {
        "operationId": "reads",
        "tags": ["reads"],
        "summary": "Run several verbs that read, each permitted and answered by itself.",
        "requestBody": {"content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": {
                "description": "An answer or a problem each, in order.",
                "content": {"application/json": {"schema": {"type": "array", "items": answer}}},
            },
            "default": {
                "description": "What went wrong, with a hint.",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
    }
