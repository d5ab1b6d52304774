"""The only SQL of features."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, select

from millrace.catalog.schema import integer, table, text
from millrace.catalog.statements import insert_absent
from millrace.catalog.tx import Tx
from millrace.features.records import View

_view = table(
    "feature_view",
    text("workspace", key=True),
    text("name", key=True),
    integer("number", key=True),
    text("digest"),
    text("view"),
)
_v = _view.c
_add = insert_absent(_view)
_all = select(_v.view).where(_v.workspace == bindparam("place")).order_by(_v.name, _v.number)
_newest = (
    select(_v.view)
    .where(_v.workspace == bindparam("place"), _v.name == bindparam("which"))
    .order_by(_v.number.desc())
    .limit(1)
)
_one = (
    select(_v.view)
    .where(_v.workspace == bindparam("place"), _v.name == bindparam("which"), _v.digest == bindparam("digest"))
    .order_by(_v.number.desc())
    .limit(1)
)
_digests = select(_v.name, _v.digest).where(_v.workspace == bindparam("place")).order_by(_v.name, _v.number)


def add(tx: Tx, workspace: str, view: View) -> None:
    tx.change(
        _add,
        workspace=workspace, name=view.name, number=view.number, digest=view.digest,
        view=msgspec.json.encode(view).decode(),
    )  # fmt: skip


def view(tx: Tx, workspace: str, name: str) -> View | None:
    """The newest definition of a view."""
    row = tx.one(_newest, place=workspace, which=name)
    return msgspec.json.decode(row[0], type=View) if row else None


def definition(tx: Tx, workspace: str, name: str, digest: str) -> View | None:
    """The definition of a view that has this digest, newest or not."""
    row = tx.one(_one, place=workspace, which=name, digest=digest)
    return msgspec.json.decode(row[0], type=View) if row else None


def views(tx: Tx, workspace: str) -> list[View]:
    """The newest definition of every view, by name."""
    found = (msgspec.json.decode(row[0], type=View) for row in tx.run(_all, place=workspace))
    return list({view.name: view for view in found}.values())


def digests(tx: Tx, workspace: str) -> dict[str, str]:
    """The digest of every view's newest definition, by name."""
    return {row[0]: row[1] for row in tx.run(_digests, place=workspace)}
