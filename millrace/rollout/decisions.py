"""The decisions of an endpoint as one list and one digest, which two runs over the same events share.

What depends on the wall clock stands under ``wall`` in a fact and is left out, with the fact's own time and number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from blake3 import blake3
from msgspec import Struct

from millrace.catalog.journal import Fact

KINDS = ("gate.", "rollout.", "monitor.breached", "monitor.due", "incident.")


class Told(Struct, frozen=True):
    """One decision: what was decided about whom, with its evidence, and the number of its fact."""

    kind: str
    subject: str
    data: dict[str, Any]
    fact: int


class Decisions(Struct, frozen=True):
    """In the order of the journal; `digest` covers kinds, subjects and data, and neither wall time nor fact numbers."""

    digest: str
    items: list[Told]


def of(facts: Iterable[Fact], endpoint: str) -> Decisions:
    """The decisions about an endpoint among these facts; "" takes all."""
    found = [
        Told(fact.kind, fact.subject, {name: value for name, value in fact.data.items() if name != "wall"}, fact.number)
        for fact in facts
        if fact.kind.startswith(KINDS) and endpoint in ("", fact.data.get("endpoint"))
    ]
    told = [[one.kind, one.subject, one.data] for one in found]
    encoded = msgspec.json.Encoder(order="deterministic").encode(told)
    return Decisions(blake3(encoded).hexdigest(), found)
