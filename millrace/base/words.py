"""Which words a field of a request takes, for whoever sent another one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

_FOREIGN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$(.*)`)?", re.DOTALL)
_AT = re.compile(r"Invalid (?:enum )?value .* - at `\$(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$(.*)`)?")
_STEP = re.compile(r"\.([^.\[]+)|(\[[^\]]*\])")


def words(kind: type, fault: msgspec.ValidationError) -> list[str]:
    """The words that `kind` takes where `fault` found another one or none: those of a Literal, or the tags of a union.

    Nothing where any value of a type does.
    """
    told = str(fault)
    missing, wrong = _MISSING.fullmatch(told), _AT.fullmatch(told)
    path = f"{missing[2] or ''}.{missing[1]}" if missing else wrong[1] if wrong else ""
    return sorted({word for place in _places(kind, path) for word in _words(place)}) if path else []


def foreign_field(kind: type, fault: msgspec.ValidationError) -> tuple[str, str, list[str]] | None:
    """The field that `fault` found and that is none of `kind`, where it stands ("" for at the top), and what is there.

    None for another fault.
    """
    found = _FOREIGN.fullmatch(str(fault))
    if found is None:
        return None
    places = _places(kind, found[2] or "")
    known = {field.encode_name for place in places for one in _structs(place) for field in one.fields}
    return found[1], (found[2] or "").removeprefix("."), sorted(known)


def _places(kind: type, path: str) -> list[Any]:
    """The types that may stand at a path, such as ``.policy`` or ``.arms[0]``."""
    places: list[Any] = [inspect.type_info(kind)]
    for step in _STEP.finditer(path):
        places = [inner for place in places for inner in _inside(place, step[1])]
    return places


def _structs(place: Any) -> Iterable[inspect.StructType]:
    match place:
        case inspect.UnionType():
            for one in place.types:
                yield from _structs(one)
        case inspect.StructType():
            yield place


def _inside(place: Any, name: str | None) -> Iterable[Any]:
    """The types of a field of that name, or without one those of the elements."""
    match place:
        case inspect.UnionType():
            for one in place.types:
                yield from _inside(one, name)
        case inspect.StructType() if name is not None:
            if name == place.tag_field:
                yield inspect.LiteralType((place.tag,))
            for field in place.fields:
                if field.encode_name == name:
                    yield field.type
        case inspect.DictType() if name is None:
            yield place.value_type
        case inspect.CollectionType() if name is None:
            yield place.item_type
        case inspect.TupleType() if name is None:
            yield from place.item_types


def _words(place: Any) -> Iterable[str]:
    match place:
        case inspect.UnionType():
            for one in place.types:
                yield from _words(one)
        case inspect.LiteralType():
            yield from (str(value) for value in place.values)
        case inspect.EnumType():
            yield from (str(one.value) for one in place.cls)
