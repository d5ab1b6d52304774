"""What an argument may be, said by its annotation and told at the call, before it fails somewhere inside.

@checked
def dataset(name: str, *, key: Sequence[str] | str = ()) -> DatasetHandle: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple, ParamSpec, TypeVar

from millrace.base.errors import MillraceError

P = ParamSpec("P")
R = TypeVar("R")


class _Kind(NamedTuple):
    fits: Callable[[Any], bool]
    told: str


def _is(kind: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _are_texts(value: Any) -> bool:
    """An index or an array may hold them as well as a list."""
    if isinstance(value, list | tuple):
        return all(isinstance(one, str) for one in value)
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, Real) for one in value)


# By the words of an annotation. One with any other word in it is not looked at.
_KINDS = {
    "None": _Kind(_is(type(None)), ""),
    "str": _Kind(_is(str), "a text"),
    "bytes": _Kind(_is(bytes), "bytes"),
    "int": _Kind(_is(Integral), "a whole number"),
    "float": _Kind(_is(Real), "a number"),
    "Path": _Kind(_is(PathLike), "a path"),
    "Time": _Kind(_is((str, datetime, Integral)), "a time (ISO text, datetime or microseconds)"),
    "Sequence[str]": _Kind(_are_texts, "a list of texts"),
    "Sequence[float]": _Kind(_are_numbers, "a list of numbers"),
    "Mapping[str, Any]": _Kind(_is(Mapping), "a mapping"),
    "Mapping[str, str]": _Kind(_is(Mapping), "a mapping"),
    "Client": _Kind(lambda value: hasattr(value, "home"), "a client"),
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which first refuses arguments of another kind than its annotations say.

    Errors: `request.invalid`.
    """
    signature = inspect.signature(function)
    wanted = {name: _kinds(one.annotation) for name, one in signature.parameters.items()}
    several = {name for name, one in signature.parameters.items() if one.kind is one.VAR_POSITIONAL}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # which says it better
        for name, value in given.items():
            for one in value if name in several else (value,):
                if wanted[name] and not any(kind.fits(one) for kind in wanted[name]):
                    raise wrong_kind(f"{function.__name__}: {name}", one, " or ".join(_told(wanted[name])))
        return function(*args, **kwargs)

    return call


def wrong_kind(what: str, value: object, wanted: str) -> MillraceError:
    """The error for a value of a kind that is not taken."""
    shown = repr(value)
    return MillraceError(
        "request.invalid", f"{what} is {shown[:80]}{'…' * (len(shown) > 80)}, not {wanted}", f"give {wanted}"
    )


def _kinds(annotation: Any) -> Sequence[_Kind]:
    words = annotation.split(" | ") if isinstance(annotation, str) else ()
    return [_KINDS[word] for word in words] if all(word in _KINDS for word in words) else ()


def _told(kinds: Sequence[_Kind]) -> list[str]:
    return [kind.told for kind in kinds if kind.told]
