"""The verbs of governance."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from millrace.access.context import Context
from millrace.base.errors import MillraceError
from millrace.base.op import op, record_of
from millrace.governance import evidence, rules, tables
from millrace.governance.records import Card, Edition
from millrace.pipelines import models
from millrace.registry import versions


class MakeCard(Struct, frozen=True):
    """`human` holds what a person wrote, by field; what was written before for this version stays.

    `like` takes what was written for another version, where nothing was for this one. `complete` asks for a card that
    lacks nothing.
    """

    model: str
    number: int
    human: dict[str, str] = field(default_factory=dict)
    like: int = 0
    complete: bool = False


class WhichCard(Struct, frozen=True):
    model: str
    number: int


class ShownCard(Struct, frozen=True):
    """A card, its digest, and the same as Markdown."""

    digest: str
    card: Card
    markdown: str


@op("card.make", permission="card:write", kind="work")
def make(ask: MakeCard, cx: Context) -> ShownCard:
    """Make a version's card from the evidence. What only a person can say is listed as missing, never invented.

    Errors: model.unknown, version.unknown, card.incomplete, card.field, model.invalid.
    """
    words = rules.check_words(ask.human)
    with cx.read() as tx:
        version = versions.find(tx, cx.workspace, ask.model, ask.number)
        for number in (ask.number, ask.like):
            before = tables.newest(tx, cx.workspace, ask.model, number) if number else None
            words = {**(before.human if before else {}), **words}
        found = evidence.gather(tx, cx.workspace, version, models.read(cx.blobs, version.tree))
        head = tx.head(cx.workspace).number
        last = tables.newest(tx, cx.workspace, ask.model, ask.number)
    parts = rules.parts(found, words)
    lacking = rules.missing(parts)
    if ask.complete:
        rules.check_complete(ask.model, ask.number, lacking)
    edition = (last.edition if last else 0) + 1
    card = Card(
        version.model, version.number, version.tree, edition, cx.now, cx.actor, head, parts, lacking, not lacking
    )  # fmt: skip
    digest = cx.blobs.put(msgspec.json.encode(card))
    kept = Edition(card.model, card.number, edition, digest, cx.now, card.complete, words)

    def write(cx: Context) -> ShownCard:
        tables.add(cx.tx, cx.workspace, kept)
        told = {"model": card.model, "number": card.number, "edition": edition, "digest": digest, "missing": lacking}
        cx.fact("card.made", version.title, told)
        return ShownCard(digest, card, rules.markdown(card))

    return cx.commit(write)


@op("card.get", permission="card:read", kind="read")
def get(ask: WhichCard, cx: Context) -> ShownCard:
    """Show the newest card of a version, as data and as Markdown.

    Errors: model.unknown, version.unknown, card.unknown, blob.corrupt.
    """
    version = versions.find(cx.tx, cx.workspace, ask.model, ask.number)
    found = tables.newest(cx.tx, cx.workspace, ask.model, ask.number)
    if found is None:
        raise MillraceError(
            "card.unknown", f"{version.title} has no card", f"millrace card make {ask.model} {ask.number}"
        )
    card = msgspec.json.decode(cx.blobs.get(found.digest), type=Card)
    return ShownCard(found.digest, card, rules.markdown(card))


OPS = tuple(record_of(verb) for verb in (make, get))
