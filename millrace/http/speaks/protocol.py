"""What the server must know of a protocol: where it answers, who answers there, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from millrace.assemble import Platform
    from millrace.http.doorman import Doorman


class Protocol(NamedTuple):
    """One protocol that other tools speak.

    `prefix` is its own: it gets whatever is asked there and below, unseen. What `answer` makes asks the doorman who the
    caller is, and tells every error in the protocol's form. `paths` are those of the OpenAPI document; it is given the
    schemas of `types`, in order.
    """

    prefix: str
    answer: Callable[[Platform, Doorman], ASGIApp]
    types: tuple[type, ...]
    paths: Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
