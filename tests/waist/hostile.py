"""Requests of every verb, made from its own schema: fitting ones with values at the edges, and ones that do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from millrace.base.op import Op

EDGE_TEXTS = (
    "", " ", "a", "main", "local", "*", "a/b", "../../etc/passwd", "..", "a..b", "%2e%2e", "\x00", "a\x00b", "\n", "ä",
    "🙂", "x" * 300, "'; DROP TABLE fact; --", '"', "<script>alert(1)</script>", "$subject", "{}", "-1", "NaN",
    "0" * 64,
    "f" * 64, "g" * 64, "metrics.m1 < 0", "(" * 200, "a.b", "2013-01-01T00:00:00Z", "\u202e",
)  # fmt: skip
EDGE_INTEGERS = (0, 1, -1, 2, 100, 2**31, -(2**31), 2**53, 2**63 - 1, -(2**63), 2**63, 2**64, -(2**63) - 1, 10**40)
EDGE_NUMBERS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 1e308, -1e308, 3.7)

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from(EDGE_INTEGERS) | st.sampled_from(EDGE_NUMBERS)
    | st.sampled_from(EDGE_TEXTS) | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(EDGE_TEXTS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def requests(op: Op, known: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Bodies for a verb. `known` are names of things that there are, so that a request comes further than the door."""
    [schema], components = msgspec.json.schema_components([op.request], ref_template="{name}")
    fitting = _fitting(schema, components, known)
    broken = st.one_of(
        anything,
        st.tuples(fitting, st.sampled_from([*op.request.__struct_fields__, "other"]), anything).map(
            lambda parts: {**parts[0], parts[1]: parts[2]}
        ),
    )
    bodies = st.one_of(fitting, fitting, broken).map(lambda body: json.dumps(body).encode())
    return bodies | st.binary(max_size=20) | bodies.map(lambda body: body[:-1])


def _fitting(schema: dict[str, Any], components: dict[str, Any], known: Sequence[str]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _fitting(components[schema["$ref"]], components, known)
    if "anyOf" in schema:
        return st.one_of([_fitting(option, components, known) for option in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.sampled_from(EDGE_INTEGERS) | st.integers(-5, 1_000)
        case "number":
            return st.sampled_from(EDGE_NUMBERS) | st.floats(-10, 10) | st.sampled_from(EDGE_INTEGERS)
        case "string":
            return st.sampled_from(tuple(known)) | st.sampled_from(EDGE_TEXTS)
        case "array":
            return _array(schema, components, known)
        case "object":
            return _object(schema, components, known)
    return anything


def _array(schema: dict[str, Any], components: dict[str, Any], known: Sequence[str]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(_fitting(item, components, known) for item in schema["prefixItems"])).map(list)
    return st.lists(_fitting(schema.get("items", {}), components, known), max_size=4)


def _object(schema: dict[str, Any], components: dict[str, Any], known: Sequence[str]) -> st.SearchStrategy[Any]:
    fields = {name: _fitting(told, components, known) for name, told in schema.get("properties", {}).items()}
    if not fields:
        names = st.sampled_from(tuple(known)) | st.sampled_from(EDGE_TEXTS)
        inner = schema.get("additionalProperties", {})
        return st.dictionaries(names, _fitting(inner, components, known) if inner else anything, max_size=3)
    required = set(schema.get("required", ()))
    needed = {name: fields[name] for name in fields if name in required}
    return st.fixed_dictionaries(needed, optional={n: s for n, s in fields.items() if n not in required})
