"""OpenAPI 3.1 of everything that the server answers: the verbs, derived from their table, and what is beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from millrace import __version__
from millrace.base.op import Op
from millrace.http import beside
from millrace.http.speaks import PROTOCOLS
from millrace.http.speaks.protocol import Protocol

_REF = "#/components/schemas/{name}"


def openapi(ops: tuple[Op, ...], protocols: Sequence[Protocol] = PROTOCOLS) -> dict[str, Any]:
    """The document: one POST for each of these verbs, a problem for every error, and what is beside the verbs."""
    types = [op.request for op in ops] + [op.answer for op in ops] + [kind for one in protocols for kind in one.types]
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
    paths |= beside.paths()
    place = 2 * len(ops)
    for one in protocols:
        paths |= one.paths(schemas[place : (place := place + len(one.types))])
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
        "parameters": [beside.KEY, beside.WORKSPACE],
        "requestBody": {"required": False, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
            "default": beside.PROBLEM,
        },
    }
