"""What governance remembers: a version's cards, each an edition that never changes."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name

FilledBy = Literal["system", "human", "both"]


class Part(Struct, frozen=True):
    """One part of a card. `evidence` is what the platform can show; `human` what a person wrote, by field.

    `serves` names what asks for this part, as evidence for it: the card claims no compliance.
    """

    name: str
    title: str
    filled_by: FilledBy
    serves: str
    evidence: dict[str, Any] = field(default_factory=dict)
    human: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


class Card(Struct, frozen=True):
    """A model card. `missing` lists the required fields that nobody wrote, so that it is `complete` only without any.

    `head` is the number of the newest fact that it could know of.
    """

    model: Name
    number: int
    tree: str
    edition: int
    made: Micros
    actor: Name
    head: int
    parts: tuple[Part, ...]
    missing: tuple[str, ...]
    complete: bool


class Edition(Struct, frozen=True):
    """A kept card: the digest of its JSON, and what people wrote for it."""

    model: Name
    number: int
    edition: int
    digest: str
    made: Micros
    complete: bool
    human: dict[str, str] = field(default_factory=dict)
