"""Which words a field of a request takes, for whoever sent another one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

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
    if not path:
        return []
    places: list[Any] = [inspect.type_info(kind)]
    for step in _STEP.finditer(path):
        places = [inner for place in places for inner in _inside(place, step[1])]
    return sorted({word for place in places for word in _words(place)})


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
