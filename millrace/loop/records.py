"""What the loop remembers: its rules. Where it stands in the journal is a cursor of the catalog."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

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


class OpCall(Struct, frozen=True):
    """One call that a rule asks for."""

    op: str
    request: dict[str, Any]


class Standing(Struct, frozen=True):
    """How far the loop is: the number of the last fact it dealt with, the newest there is, and runs under way."""

    dealt: int
    newest: int
    running: int

    @property
    def settled(self) -> bool:
        return self.dealt >= self.newest and not self.running
