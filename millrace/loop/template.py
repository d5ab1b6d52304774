"""A rule's request before there is a fact: what it looks like once its ``$paths`` are replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import inspect


def is_path(value: Any) -> bool:
    """Whether a value of a request stands for one of the fact's."""
    return isinstance(value, str) and value.startswith("$")


def sample(kind: type, request: dict[str, Any]) -> dict[str, Any]:
    """`request` with each path replaced by some value of the type that `kind` has in its place, None without one."""
    return {name: _sampled(value, _under(_one(kind), name, request)) for name, value in request.items()}


def _one(kind: type) -> list[Any]:
    return [inspect.type_info(kind)]


def _sampled(value: Any, places: list[Any]) -> Any:
    if is_path(value):
        return _some(places)
    if isinstance(value, dict):
        return {name: _sampled(item, _under(places, name, value)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sampled(item, [inner for place in _flat(places) for inner in _items(place)]) for item in value]
    return value


def _under(places: list[Any], name: str, value: dict[str, Any]) -> list[Any]:
    """The types of what stands under a name of a mapping which itself is of one of these types."""
    found: list[Any] = []
    for place in _flat(places):
        match place:
            case inspect.StructType():
                tag = value.get(place.tag_field, place.tag) if place.tag_field else place.tag
                if place.tag_field == name:
                    found.append(inspect.LiteralType((place.tag,)))
                elif tag == place.tag or is_path(tag):
                    found += [field.type for field in place.fields if field.encode_name == name]
            case inspect.DictType():
                found.append(place.value_type)
    return found


def _items(place: Any) -> Iterable[Any]:
    match place:
        case inspect.TupleType():
            yield from place.item_types
        case inspect.CollectionType():
            yield place.item_type


def _flat(places: Iterable[Any]) -> Iterable[Any]:
    for place in places:
        if isinstance(place, inspect.UnionType):
            yield from _flat(place.types)
        elif isinstance(place, inspect.Metadata):
            yield from _flat([place.type])
        else:
            yield place


def _some(places: list[Any]) -> Any:
    """A value of the first of these types that is not nothing."""
    for place in _flat(places):
        match place:
            case inspect.NoneType():
                continue
            case inspect.BoolType():
                return False
            case inspect.IntType() | inspect.FloatType():
                return place.ge if place.ge is not None else 0
            case inspect.StrType():
                return "0" * 64 if place.pattern else "x"
            case inspect.LiteralType():
                return place.values[0]
            case inspect.TupleType():
                return [_some([inner]) for inner in place.item_types]
            case inspect.CollectionType():
                return []
            case inspect.DictType():
                return {}
            case inspect.StructType():
                tagged = {place.tag_field: place.tag} if place.tag_field else {}
                return tagged | {field.encode_name: _some([field.type]) for field in place.fields if field.required}
    return None
