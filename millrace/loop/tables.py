"""The only SQL of the loop."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, delete, select

from millrace.catalog.schema import table, text
from millrace.catalog.statements import upsert
from millrace.catalog.tx import Tx
from millrace.loop.records import Refusal, Rule

_rule = table("loop_rule", text("workspace", key=True), text("name", key=True), text("rule"))
_refusal = table(
    "loop_refusal", text("workspace", key=True), text("rule", key=True), text("subject", key=True), text("refusal")
)
_put = upsert(_rule)
_put_refusal = upsert(_refusal)
_refusals = (
    select(_refusal.c.refusal)
    .where(_refusal.c.workspace == bindparam("place"))
    .order_by(_refusal.c.rule, _refusal.c.subject)
)
_drop_refusals = delete(_refusal).where(_refusal.c.workspace == bindparam("place"), _refusal.c.rule == bindparam("of"))
_drop_refusal = _drop_refusals.where(_refusal.c.subject == bindparam("about"))
_all = select(_rule.c.rule).where(_rule.c.workspace == bindparam("place")).order_by(_rule.c.name)


def put(tx: Tx, workspace: str, rule: Rule) -> None:
    tx.change(_put, workspace=workspace, name=rule.name, rule=msgspec.json.encode(rule).decode())


def changed(tx: Tx, workspace: str) -> list[Rule]:
    """The rules that this workspace added, or that differ from the built-in ones."""
    return [msgspec.json.decode(row[0], type=Rule) for row in tx.run(_all, place=workspace)]


def refusals(tx: Tx, workspace: str) -> list[Refusal]:
    """The calls that stay refused, by rule and subject."""
    return [msgspec.json.decode(row[0], type=Refusal) for row in tx.run(_refusals, place=workspace)]


def put_refusal(tx: Tx, workspace: str, made: Refusal) -> None:
    refusal = msgspec.json.encode(made).decode()
    tx.change(_put_refusal, workspace=workspace, rule=made.rule, subject=made.subject, refusal=refusal)


def drop_refusal(tx: Tx, workspace: str, rule: str, subject: str) -> None:
    tx.change(_drop_refusal, place=workspace, of=rule, about=subject)


def drop_refusals(tx: Tx, workspace: str, rule: str) -> None:
    """A rule that is another now, or asks no more, has nothing to make good."""
    tx.change(_drop_refusals, place=workspace, of=rule)
