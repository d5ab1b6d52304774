"""The audit chain's verbs: read the journal, take down its head, verify it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from millrace.access.context import Context
from millrace.base.errors import MillraceError
from millrace.base.op import Nothing, op, record_of
from millrace.base.page import page_size
from millrace.catalog import journal, tables
from millrace.catalog.journal import Fact, Head
from millrace.store.collect import NAMED


class ReadFacts(Struct, frozen=True):
    """Facts after number `after`, oldest first; of one `subject` only, when given."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: int = 100
    subject: str = ""


class Facts(Struct, frozen=True):
    """A page of facts; ask again with ``after=next`` while `next` is not None."""

    items: list[Fact]
    next: int | None


class Verify(Struct, frozen=True):
    """`head_hash` and `head_number`: a head written down earlier, elsewhere; the chain must still contain it."""

    head_number: int = 0
    head_hash: str = ""


class Verified(Struct, frozen=True):
    """The chain holds; `head` is its newest link."""

    workspace: str
    facts: int
    head: Head


@op("audit.facts", permission="audit:read", kind="read")
def facts(ask: ReadFacts, cx: Context) -> Facts:
    """Read the journal from a cursor.

    Errors: page.invalid.
    """
    limit = page_size(ask.limit)
    if ask.subject:
        items = tables.facts_about(cx.tx, cx.workspace, ask.subject, ask.after, limit)
    else:
        items = tables.facts_after(cx.tx, cx.workspace, ask.after, limit)
    return Facts(items, items[-1].number if len(items) == limit else None)


@op("audit.head", permission="audit:read", kind="read")
def head(ask: Nothing, cx: Context) -> Head:
    """The newest fact's number and hash: write it down elsewhere, and a cut tail can be shown later."""
    return cx.tx.head(cx.workspace)


@op("audit.verify", permission="audit:read", kind="read")
def verify(ask: Verify, cx: Context) -> Verified:
    """Recompute the whole chain of hashes and name the first broken row.

    Errors: journal.broken, request.invalid.
    """
    if ask.head_hash and (ask.head_number < 1 or not NAMED.fullmatch(ask.head_hash)):
        raise MillraceError(
            "request.invalid",
            f"fact {ask.head_number} with the hash {ask.head_hash[:80]!r} is no head",
            "give both as audit.head told them",
        )
    rows = tables.chain(cx.tx, cx.workspace)
    expected = Head(ask.head_number, ask.head_hash) if ask.head_hash else None
    found = journal.verify(journal.watched(rows, expected))
    return Verified(cx.workspace, found.number, found)


OPS = tuple(record_of(verb) for verb in (facts, head, verify))
