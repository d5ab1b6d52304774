"""The Open Inference Protocol's paths for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.http.beside import BYTES, TEXT, WHOLE, WORKSPACE, many, record, told


def paths(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The protocol's paths; `schemas` holds that of a request."""
    (question,) = schemas
    tensor = record(name=TEXT, datatype=TEXT, shape=many(WHOLE))
    output = {**tensor, "properties": {**tensor["properties"], "data": {"type": "array"}}}
    answer = record(model_name=TEXT, model_version=TEXT, id=TEXT, outputs=many(output))
    about = record(name=TEXT, versions=many(TEXT), platform=TEXT, inputs=many(tensor), outputs=many(tensor))
    state = record(name=TEXT, version=TEXT, state={"enum": ["READY", "UNAVAILABLE"]}, reason=TEXT)
    ready = record(name=TEXT, ready={"type": "boolean"})
    server = record(name=TEXT, version=TEXT, extensions=many(TEXT))
    body = {"required": True, "content": {"application/json": {"schema": question}, **BYTES}}
    found = {
        "/v2": {"get": _open("server", "What answers.", server)},
        "/v2/health/live": {"get": _open("live", "Whether the server answers.", record(live={"type": "boolean"}))},
        "/v2/health/ready": {
            "get": _open("ready", "Whether every routed endpoint can answer.", record(ready={"type": "boolean"}))
        },
        "/v2/repository/index": {"post": _open("index", "The endpoints, and which can answer.", many(state))},
    }
    for suffix, more in (("", []), ("/versions/{version}", ["version"])):
        path, names = f"/v2/models/{{name}}{suffix}", ["name", *more]
        tail = "_version" if more else ""
        found[path] = {"get": _open(f"metadata{tail}", "What an endpoint takes and answers.", about, names)}
        found[f"{path}/ready"] = {"get": _open(f"model_ready{tail}", "Whether it can answer.", ready, names)}
        infer = _open(f"infer{tail}", "Answer rows.", answer, names, requestBody=body)
        found[f"{path}/infer"] = {"post": {**infer, "x-permission": "prediction:run"}}
    return found


def _open(
    name: str, summary: str, schema: dict[str, Any], names: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    """An operation of the prediction protocol, which tells errors in its own form."""
    parts = dict.fromkeys(("error", "code", "detail", "hint"), TEXT)
    fault = {"type": "object", "required": ["error"], "properties": parts}
    parameters: list[Any] = [{"name": one, "in": "path", "required": True, "schema": TEXT} for one in names or ()]
    whole = told(f"v2.{name}", summary, schema, tags=["predictions"], parameters=[*parameters, WORKSPACE], **more)
    wrong = {"description": "What went wrong.", "content": {"application/json": {"schema": fault}}}
    return {**whole, "responses": {**whole["responses"], "default": wrong}}
