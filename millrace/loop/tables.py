"""The only SQL of the loop."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, select

from millrace.catalog.schema import table, text
from millrace.catalog.statements import upsert
from millrace.catalog.tx import Tx
from millrace.loop.records import Rule

_rule = table("loop_rule", text("workspace", key=True), text("name", key=True), text("rule"))
_put = upsert(_rule)
_all = select(_rule.c.rule).where(_rule.c.workspace == bindparam("place")).order_by(_rule.c.name)


def put(tx: Tx, workspace: str, rule: Rule) -> None:
    tx.change(_put, workspace=workspace, name=rule.name, rule=msgspec.json.encode(rule).decode())


def changed(tx: Tx, workspace: str) -> list[Rule]:
    """The rules that this workspace added, or that differ from the built-in ones."""
    return [msgspec.json.decode(row[0], type=Rule) for row in tx.run(_all, place=workspace)]
