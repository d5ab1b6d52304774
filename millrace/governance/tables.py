"""The only SQL of governance."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, select

from millrace.catalog.schema import integer, table, text
from millrace.catalog.statements import insert_absent
from millrace.catalog.tx import Tx
from millrace.governance.records import Edition

_card = table(
    "card",
    text("workspace", key=True),
    text("model", key=True),
    integer("number", key=True),
    integer("edition", key=True),
    text("spec"),
)
_c = _card.c
_add = insert_absent(_card)
_all = select(_c.spec)
_newest = (
    select(_c.spec)
    .where(_c.workspace == bindparam("place"), _c.model == bindparam("which"), _c.number == bindparam("number"))
    .order_by(_c.edition.desc())
    .limit(1)
)


def add(tx: Tx, workspace: str, made: Edition) -> None:
    tx.change(
        _add, workspace=workspace, model=made.model, number=made.number, edition=made.edition,
        spec=msgspec.json.encode(made).decode(),
    )  # fmt: skip


def newest(tx: Tx, workspace: str, model: str, number: int) -> Edition | None:
    """The newest card of a version."""
    row = tx.one(_newest, place=workspace, which=model, number=number)
    return msgspec.json.decode(row[0], type=Edition) if row else None


def roots(tx: Tx) -> list[str]:
    """The kept cards of every workspace: what garbage collection must keep."""
    return [msgspec.json.decode(row[0], type=Edition).digest for row in tx.run(_all)]
