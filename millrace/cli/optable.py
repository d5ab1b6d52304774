"""The verbs as the command line sees them: names, fields and first lines, without loading any of the platform.

`ops.json` beside this file is written by ``python -m millrace.cli.optable`` and held current by a test.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

_TIME = "micros"
_LOOKS = frozenset({"store.verify"})  # which takes an admin, and changes nothing
_FILE = Path(__file__).parent / "ops.json"


class Field(NamedTuple):
    """One field of a request. `kind` is the JSON type: string, integer, number, boolean, array, object.

    `time` says that it holds micros, or a list of them.
    """

    name: str
    kind: str
    required: bool
    default: Any
    choices: tuple[str, ...]
    time: bool = False


class Verb(NamedTuple):
    """One verb of the table. After one that `changes` something may be otherwise; one that `pages` lists in pages."""

    name: str
    kind: str
    doc: str
    fields: tuple[Field, ...]
    changes: bool = False

    @property
    def pages(self) -> bool:
        return {"after", "limit"} <= {field.name for field in self.fields}


def verbs() -> dict[str, Verb]:
    """Every verb by its name."""
    table = json.loads(_FILE.read_text("utf-8"))
    return {
        name: Verb(
            name,
            row["kind"],
            row["doc"],
            tuple(Field(f[0], f[1], f[2], f[3], tuple(f[4]), len(f) > 5) for f in row["fields"]),
            row["changes"],
        )
        for name, row in table.items()
    }


@functools.cache
def times() -> frozenset[str]:
    """The names of fields that hold micros in some answer; none holds any other whole number in another."""
    table = json.loads(_FILE.read_text("utf-8"))
    return frozenset(name for row in table.values() for name in row["times"])


def written() -> str:
    """What `ops.json` should hold for the current op table."""
    from millrace.waist import OPS

    return json.dumps({op.name: _row(op) for op in sorted(OPS)}, indent=1, ensure_ascii=False) + "\n"


def _row(op: Any) -> dict[str, Any]:
    import msgspec

    schema, components = msgspec.json.schema_components([op.request], ref_template="{name}")
    body = components[schema[0]["$ref"]]
    required = set(body.get("required", ()))
    fields = []
    for name, told in body["properties"].items():
        plain = _plain(told, components)
        shown = [name, plain.get("type", "object"), name in required, told.get("default"), plain.get("enum", [])]
        fields.append([*shown, True] if _is_time(told, components) else shown)
    looks = op.kind == "read" or op.permission.endswith(":read") or op.name in _LOOKS
    return {"kind": op.kind, "doc": op.doc, "fields": fields, "times": _times(op), "changes": not looks}


def _times(op: Any) -> list[str]:
    import msgspec

    _, components = msgspec.json.schema_components([op.answer], ref_template="{name}")
    bodies = (body.get("properties", {}) for body in components.values())
    return sorted({name for body in bodies for name, told in body.items() if _is_time(told, components)})


def _is_time(told: dict[str, Any], components: dict[str, Any]) -> bool:
    plain = _plain(told, components)
    return _plain(plain.get("items") or {}, components).get("format") == _TIME or plain.get("format") == _TIME


def _plain(told: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in told:
        return _plain(components[told["$ref"]], components)
    options = [option for option in told.get("anyOf", ()) if option.get("type") != "null"]
    plain = _plain(options[0], components) if options else told
    if "enum" in plain and "type" not in plain:
        return {**plain, "type": "string"}
    return plain


if __name__ == "__main__":
    _FILE.write_text(written(), "utf-8")
