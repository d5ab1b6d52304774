"""The door of `millrace.stats`: what a call is given is held against the function's own annotations before it begins.

Promise: an argument of another type than its annotation says is a `stats.*` error with a hint, never a `TypeError` from
the middle of a formula; and a value that the package defines (`Arm`, `Guard`, `Blocks` …) is looked into, so that no
NaN and no infinity hides in it. Ranges, lengths and NaN in columns are the functions' own business. A new function of
`__all__` stands behind the door without a line more; the platform's rooms, whose values are their own, import the
functions from their files and do not pay for it.

What `help` shows of a function there is its own text and then that of its file, which names the claim, the unit of
evidence, the source and what breaks it.

A field may be infinite if its default is, or its annotation says `Bound`; an array of a state may hold −∞, the
logarithm of no evidence, and NaN where its annotation says `Gapped`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from inspect import Parameter, cleandoc, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import GAPS, NO_BOUND_YET, NONE_YET, check_choice

Check = Callable[[Any, str], None]

_CODES = {"alpha": "stats.alpha", "margin": "stats.margin", "weight": "stats.weight"}
_ARRAY = frozenset(get_args(ArrayLike))
_PLAIN = frozenset((np.ndarray, list))
_SOME_ARRAY = (np.ndarray, np.generic, int, float, Sequence)
_NO_ARRAY = (str, bytes, Mapping, set, frozenset)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` behind the door, under the name that it has in `millrace.stats`."""

    @wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        places, names, rest = _checks(function)
        for (name, check), value in zip(places, given, strict=False):
            check(value, name)
        if rest:
            for value in given[len(places) :]:
                rest[1](value, rest[0])
        for name, value in named.items():
            if name in names:
                names[name](value, name)
        return function(*given, **named)

    called.__module__ = "millrace.stats"
    called.__doc__ = "\n\n".join(cleandoc(text) for text in (function.__doc__, _text_of_file(function)) if text)
    return called


def _text_of_file(function: Callable[..., Any]) -> str | None:
    return sys.modules[function.__module__].__doc__


@cache
def _checks(
    function: Callable[..., Any],
) -> tuple[list[tuple[str, Check]], dict[str, Check], tuple[str, Check] | None]:
    hints = get_type_hints(function, include_extras=True)
    places, names, rest = [], {}, None
    for name, parameter in signature(function).parameters.items():
        check = check_of(hints[name])
        if parameter.kind is Parameter.VAR_POSITIONAL:
            rest = (name, check)
            continue
        names[name] = check
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD:
            places.append((name, check))
    return places, names, rest


def check_of(hint: Any) -> Check:
    """What holds a value against an annotation; it is given the value and the name to tell."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return _anything
    if origin is Annotated:
        return check_of(inner[0])
    if origin in (Union, UnionType):
        return _either(inner)
    if origin is Literal:
        return lambda value, name: check_choice(value, name, inner)
    if origin is tuple:
        return _tuple(inner)
    if origin in (list, Sequence):
        return _sequence(inner[0])
    if origin in (dict, Mapping):
        return _mapping(*inner)
    if origin is np.ndarray:
        return _array
    kind = origin or hint
    if hasattr(kind, "_fields") or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return _fields(kind)
    return _SCALARS.get(kind) or _instance(kind)


def _anything(value: Any, name: str) -> None:
    return None


def _named(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"


def _refuse(value: Any, name: str, hint: str) -> MillraceError:
    told = f"{value!r:.60}" if isinstance(value, str | int | float | NoneType) else _named(type(value))
    return MillraceError(_CODES.get(name, "stats.data"), f"{name} is {told}", f"give {hint}")


def _number(value: Any, name: str) -> None:
    if type(value) is not float and (
        isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating)
    ):
        raise _refuse(value, name, "one number")


def _not_nan(value: Any, name: str) -> None:
    _number(value, name)
    if value != value:
        raise _refuse(value, name, "a number")


def _whole(value: Any, name: str) -> None:
    _number(value, name)
    if not (isinstance(value, int | np.integer) or value == value // 1):
        raise _refuse(value, name, "a whole number")


def _flag(value: Any, name: str) -> None:
    if not isinstance(value, bool | np.bool_):
        raise _refuse(value, name, "True or False")


def _is(kind: type | tuple[type, ...], hint: str) -> Check:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, kind):
            raise _refuse(value, name, hint)

    return check


def _callable(value: Any, name: str) -> None:
    if not callable(value):
        raise _refuse(value, name, "a function")


def _class(value: Any, name: str) -> None:
    if not (isinstance(value, type) and hasattr(value, "_fields")):
        raise _refuse(value, name, "the class of a state, such as Guard")


def _iterable(value: Any, name: str) -> None:
    if isinstance(value, _NO_ARRAY) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise _refuse(value, name, "a list")


def _array(value: Any, name: str) -> None:
    if type(value) in _PLAIN or (isinstance(value, _SOME_ARRAY) and not isinstance(value, _NO_ARRAY)):
        return
    if not hasattr(value, "__array__") or isinstance(value, type):
        raise _refuse(value, name, "an array or a list")


_SCALARS: dict[Any, Check] = {
    float: _not_nan,
    int: _whole,
    bool: _flag,
    str: _is(str, "text"),
    bytes: _is((bytes, bytearray, memoryview), "bytes"),
    NoneType: _is(NoneType, "None"),
    Callable: _callable,
    type: _class,
    Iterable: _iterable,
}


def _instance(kind: type) -> Check:
    return _is(kind, _named(kind))


def _either(hints: Sequence[Any]) -> Check:
    """Any of the hints; the error is that of the first."""
    if set(hints) >= _ARRAY:
        left = [hint for hint in hints if hint not in _ARRAY]
        return _optional(_array) if left == [NoneType] else _array
    known = [check_of(hint) for hint in hints if hint is not NoneType]
    if len(known) == 1:
        return _optional(known[0])

    def check(value: Any, name: str) -> None:
        troubles = []
        for one in known:
            try:
                one(value, name)
            except MillraceError as trouble:
                troubles.append(trouble)
        if len(troubles) == len(known):
            raise troubles[0]

    return _optional(check) if NoneType in hints else check


def _optional(check: Check) -> Check:
    return lambda value, name: None if value is None else check(value, name)


def _tuple(inner: Sequence[Any]) -> Check:
    if inner[-1] is Ellipsis:
        return _sequence(inner[0])
    checks = [check_of(hint) for hint in inner]

    def check(value: Any, name: str) -> None:
        if not isinstance(value, tuple | list) or len(value) != len(checks):
            raise _refuse(value, name, f"{len(checks)} values in a tuple")
        for one, part in zip(checks, value, strict=True):
            one(part, name)

    return check


def _sequence(hint: Any) -> Check:
    one = check_of(hint)

    def check(value: Any, name: str) -> None:
        if not isinstance(value, tuple | list):
            raise _refuse(value, name, "a list")
        for part in value:
            one(part, name)

    return check


def _mapping(key: Any, hint: Any) -> Check:
    keys, values = check_of(key), check_of(hint)

    def check(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            raise _refuse(value, name, "a mapping of names to values")
        for known, part in value.items():
            keys(known, f"a name in {name}")
            values(part, f"{name}[{known!r:.40}]")

    return check


@cache
def _fields(kind: Any) -> Check:
    """A value of the class `kind`, and what its fields hold."""
    hints = get_type_hints(kind, include_extras=True)
    defaults = getattr(kind, "_field_defaults", {})
    if issubclass(kind, msgspec.Struct):
        defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    names = getattr(kind, "_fields", None) or kind.__struct_fields__
    parts: list[tuple[str, Check]] = []
    fits = getattr(kind, "fits", None)

    def check(value: Any, name: str) -> None:
        if not isinstance(value, kind):
            raise _refuse(value, name, _named(kind))
        own = value if isinstance(value, tuple) else [getattr(value, field) for field in names]
        for (told, one), part in zip(parts, own, strict=True):
            one(part, told)
        if fits is not None:
            fits(value)

    for field in names:
        told, default = f"{kind.__name__}.{field}", defaults.get(field)
        endless = isinstance(default, float) and math.isinf(default)
        parts.append((told, _sound(hints[field], endless)))
    return check


def _sound(hint: Any, endless: bool) -> Check:
    """As `check_of`, for a field: numbers are finite besides, and arrays hold neither NaN nor +∞."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is float:
        return _not_nan if endless else _finite
    if hint is int:
        return _from(0)
    if origin is Annotated:
        return {GAPS: _array, NONE_YET: _from(-1), NO_BOUND_YET: _not_nan}[inner[1]]
    if origin in (Union, UnionType) and inner[-1] is NoneType and len(inner) == 2:
        return _optional(_sound(inner[0], endless))
    if origin is np.ndarray and inner[-1] is not Any:
        return _solid
    return check_of(hint)


def _from(least: int) -> Check:
    def check(value: Any, name: str) -> None:
        if type(value) is not int:
            _whole(value, name)
        if value < least:
            raise _refuse(value, name, f"a whole number from {least}")

    return check


def _finite(value: Any, name: str) -> None:
    if type(value) is not float or not math.isfinite(value):
        _number(value, name)
        if not abs(value) < math.inf:
            raise _refuse(value, name, "a finite number")


def _solid(value: Any, name: str) -> None:
    if type(value) is not np.ndarray:
        _array(value, name)
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    kind = array.dtype.kind
    if not array.ndim or kind not in "biuf":
        raise _refuse(value, name, "an array or a list of numbers")
    # the place of the largest is that of a NaN if there is one, and costs a third of the largest itself
    if kind == "f" and array.size and not array.item(array.argmax()) < math.inf:
        raise MillraceError("stats.data", f"{name} holds NaN or infinity", "start anew, or read it from its store")
