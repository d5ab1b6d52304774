"""What the loop remembers: its rules, and what it could not do. Where it stands is a cursor of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name


class Rule(Struct, frozen=True):
    """When a fact of kind `on` is written that fits `where`, `call` this verb with `request`.

    `where` maps paths of the fact (such as ``data.purpose.challenger``) to the value that must stand there; ``"*"``
    asks only that something does. In `request` a text ``$path`` is replaced by what stands there in the fact, whole;
    ``$data``, ``$subject``, ``$number``, ``$actor``, ``$workspace`` and ``$kind`` are the places to start from.
    """

    name: Name
    on: str
    call: str
    request: dict[str, Any] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)
    about: str = ""
    enabled: bool = True


class Verb(Struct, frozen=True):
    """What the loop knows of a verb: who may call it, the type of its request, and how a call's is understood."""

    permission: str
    request: type
    understand: Callable[[dict[str, Any]], Any]


class OpCall(Struct, frozen=True):
    """One call that a rule asks for."""

    op: str
    request: dict[str, Any]


class Refusal(Struct, frozen=True):
    """A call that was refused, and that no later one of the same rule about the same subject has made good.

    `fact` is the newest fact that it was refused after, `at` when (wall micros), `times` how often in a row.
    """

    rule: Name
    subject: str
    call: str
    code: str
    message: str
    hint: str
    fact: int
    at: Micros
    times: int = 1


class Standing(Struct, frozen=True):
    """How far the loop is: the number of the last fact it dealt with, the newest there is, runs under way, and the
    calls that stay refused until somebody mends their cause."""

    dealt: int
    newest: int
    running: int
    refused: list[Refusal] = []

    @property
    def settled(self) -> bool:
        return self.dealt >= self.newest and not self.running
