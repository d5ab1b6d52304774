"""The catalog's own rows beside the tables of the rooms: facts to read, followers' cursors, answered keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import LargeBinary, Text, bindparam, select

from millrace.base.clock import Micros
from millrace.catalog import schema
from millrace.catalog.journal import Fact, Row, hash_of
from millrace.catalog.statements import insert_absent, upsert
from millrace.catalog.tx import Tx
from millrace.store.blobs import Digest
from millrace.store.collect import named

_f, _c, _i = schema.fact.c, schema.cursor.c, schema.idempotency.c
_columns = (_f.workspace, _f.number, _f.at, _f.actor, _f.kind, _f.subject, _f.data, _f.hash)
_after = (
    select(*_columns)
    .where(_f.workspace == bindparam("place"), _f.number > bindparam("after"))
    .order_by(_f.number)
    .limit(bindparam("most"))
)
_about = (
    select(*_columns)
    .where(_f.workspace == bindparam("place"), _f.subject == bindparam("what"), _f.number > bindparam("after"))
    .order_by(_f.number)
    .limit(bindparam("most"))
)
_of_kinds = (
    select(*_columns)
    .where(_f.workspace == bindparam("place"), _f.number > bindparam("after"))
    .where(_f.kind.in_(bindparam("kinds", expanding=True)))
    .order_by(_f.number)
)
_actors = (
    select(_f.actor)
    .where(_f.workspace == bindparam("place"), _f.kind == bindparam("which"))
    .group_by(_f.actor)
    .order_by(_f.actor)
)
_workspaces = select(_f.workspace).group_by(_f.workspace).order_by(_f.workspace)
_cursor = select(_c.number).where(_c.workspace == bindparam("place"), _c.follower == bindparam("who"))
_move_cursor = upsert(schema.cursor)
_answered = select(_i.op, _i.request, _i.answer).where(
    _i.workspace == bindparam("place"), _i.actor == bindparam("who"), _i.key == bindparam("which")
)
_answer = insert_absent(schema.idempotency)
_forget = schema.idempotency.delete().where(_i.at < bindparam("before"), _i.actor != bindparam("but"))
_NOT_SCANNED = frozenset({"fact", "idempotency", "alembic_version"})


def rows_after(tx: Tx, workspace: str, after: int, most: int) -> list[Row]:
    """The next facts of a chain, oldest first, exactly as stored."""
    return [_row(row) for row in tx.run(_after, place=workspace, after=after, most=most)]


def facts_after(tx: Tx, workspace: str, after: int, most: int) -> list[Fact]:
    return [row.fact() for row in rows_after(tx, workspace, after, most)]


def facts_about(tx: Tx, workspace: str, subject: str, after: int, most: int) -> list[Fact]:
    rows = tx.run(_about, place=workspace, what=subject, after=after, most=most)
    return [_row(row).fact() for row in rows]


def facts_of(tx: Tx, workspace: str, kinds: Sequence[str], after: int) -> list[Fact]:
    """The facts of these kinds after fact `after`, oldest first."""
    return [_row(row).fact() for row in tx.run(_of_kinds, place=workspace, kinds=kinds, after=after)]


def actors_of(tx: Tx, workspace: str, kind: str) -> list[str]:
    """Who ever wrote a fact of this kind; it reads the whole journal of the workspace."""
    return [row[0] for row in tx.run(_actors, place=workspace, which=kind)]


def _row(stored: Sequence[Any]) -> Row:
    workspace, number, at, actor, kind, subject, data, link = stored
    return Row(workspace, number, at, actor, kind, subject, data, hash_of(link))


def chain(tx: Tx, workspace: str, page: int = 2_000) -> Iterator[Row]:
    """The whole chain of a workspace, a page at a time, and what was put before its first fact."""
    after = -(1 << 63)
    while rows := rows_after(tx, workspace, after, page):
        yield from rows
        after = rows[-1].number


def workspaces(tx: Tx) -> list[str]:
    """Every workspace that has a journal."""
    return [row[0] for row in tx.run(_workspaces)]


def cursor(tx: Tx, workspace: str, follower: str) -> int:
    """The number of the last fact that a follower has dealt with."""
    row = tx.one(_cursor, place=workspace, who=follower)
    return int(row[0]) if row else 0


def move_cursor(tx: Tx, workspace: str, follower: str, number: int) -> None:
    tx.change(_move_cursor, workspace=workspace, follower=follower, number=number)


def answered(tx: Tx, workspace: str, actor: str, key: str) -> tuple[str, bytes, bytes] | None:
    """(op, request digest, answer) of a call made earlier with the same idempotency key."""
    row = tx.one(_answered, place=workspace, who=actor, which=key)
    return (row[0], bytes(row[1]), bytes(row[2])) if row else None


def answer(tx: Tx, workspace: str, actor: str, key: str, op: str, request: bytes, answer: bytes, at: Micros) -> bool:
    """Remember an answer; False if another call with the key came first."""
    row = {"workspace": workspace, "actor": actor, "key": key, "op": op, "request": request, "answer": answer, "at": at}
    return tx.change(_answer, **row) == 1


def forget_answers(tx: Tx, before: Micros, but: str) -> int:
    """Drop the remembered answers of calls made before then, but for one actor's; how many."""
    return tx.change(_forget, before=before, but=but)


def named_digests(tx: Tx) -> Iterator[Digest]:
    """Every digest that a row of any table names, in text or bytes; the journal and remembered answers left out.

    What it yields may come more than once, and need not be a stored blob's.
    """
    for name, table in sorted(schema.metadata.tables.items()):
        columns = [column for column in table.columns if isinstance(column.type, Text | LargeBinary)]
        if columns and name not in _NOT_SCANNED:
            for row in tx.each(select(*columns)):
                for value in row:
                    yield from named(value if isinstance(value, str) else bytes(value or b"").decode("latin-1"))
