"""The journal: one append-only, hash-chained list of facts per workspace.

A fact is written in the transaction of the records it describes. Its number and hash are assigned there, behind the
catalog's writing lock, so a chain has no gaps and no forks. A fact holds ids and digests, never personal data. A chain
alone does not show that its tail was cut: compare its head with one that was written down elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from blake3 import blake3

from millrace.base.clock import Micros
from millrace.base.errors import MillraceError

ROOT = bytes(32)


class Fact(msgspec.Struct, frozen=True):
    """One journal entry: `kind` happened to `subject`, because `actor` acted; `data` holds ids, digests, verdicts."""

    workspace: str
    number: int
    at: Micros
    actor: str
    kind: str
    subject: str
    data: dict[str, Any]
    hash: str


class Head(msgspec.Struct, frozen=True):
    """The newest link of a chain: its number (0 when empty) and its hash in lower hex."""

    number: int
    hash: str


class Row(msgspec.Struct, frozen=True):
    """A fact as it is stored: `data` is the exact JSON text that was hashed."""

    workspace: str
    number: int
    at: Micros
    actor: str
    kind: str
    subject: str
    data: str
    hash: bytes

    def fact(self) -> Fact:
        """Errors: `journal.broken` for a row whose data is no JSON object any more."""
        try:
            data = msgspec.json.decode(self.data, type=dict[str, Any])
        except (msgspec.DecodeError, TypeError) as fault:
            raise broken(self.workspace, self.number, self.kind) from fault
        return Fact(self.workspace, self.number, self.at, self.actor, self.kind, self.subject, data, self.hash.hex())


_encode = msgspec.json.Encoder(order="deterministic").encode


def data_text(data: Any) -> str:
    """`data` as the JSON text that is stored and hashed: sorted keys, no spaces."""
    return _encode(data).decode()


def link(
    before: bytes, workspace: str, number: int, at: Micros, actor: str, kind: str, subject: str, data: str
) -> bytes:
    """The hash of a fact: BLAKE3 over the previous hash and the fact's own columns as one JSON array."""
    return blake3(before + _encode([workspace, number, at, actor, kind, subject, data])).digest()


def hash_of(stored: Any) -> bytes:
    """A hash as its column holds it; of another type, it is the hash of nothing."""
    return bytes(stored) if isinstance(stored, bytes | bytearray | memoryview) else b""


def broken(workspace: str, number: int, kind: str) -> MillraceError:
    """The error for a row that is not what was written."""
    told = f"fact {number} of workspace {workspace!r} ({kind}) was changed after it was written"
    return MillraceError("journal.broken", told, _RESTORE)


def verify(rows: Iterable[Row], before: Head | None = None) -> Head:
    """Walk a chain in order and return its head. Errors: `journal.broken`, which names the first broken row."""
    number, chained = (before.number, bytes.fromhex(before.hash)) if before else (0, ROOT)
    for row in rows:
        if row.number != number + 1:
            comes = f"after fact {number} comes fact {row.number} of workspace {row.workspace!r}"
            raise MillraceError("journal.broken", comes, _RESTORE)
        chained = link(chained, row.workspace, row.number, row.at, row.actor, row.kind, row.subject, row.data)
        if chained != row.hash:
            raise broken(row.workspace, row.number, row.kind)
        number = row.number
    return Head(number, chained.hex())


def watched(rows: Iterable[Row], expected: Head | None) -> Iterator[Row]:
    """Pass `rows` through and check that the chain still contains `expected`. Errors: `journal.broken`."""
    met = expected is None
    for row in rows:
        if expected is not None and row.number == expected.number:
            if row.hash.hex() != expected.hash:
                raise MillraceError("journal.broken", f"fact {row.number} is not the one written down before", _RESTORE)
            met = True
        yield row
    if not met and expected is not None:
        raise MillraceError("journal.broken", f"the chain ends before fact {expected.number}: it was cut", _RESTORE)


_RESTORE = "restore the catalog from a copy made before the change; everything after this row is in doubt"
