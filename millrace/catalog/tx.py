"""A transaction as a room sees it: run a statement, change rows, write a fact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import bindparam, insert, select
from sqlalchemy.sql import ClauseElement

from millrace.base.clock import Micros
from millrace.catalog import journal, schema
from millrace.catalog.statements import Statements

_fact = schema.fact.c
_head = select(_fact.number, _fact.hash).where(_fact.workspace == bindparam("w")).order_by(_fact.number.desc()).limit(1)
_append = insert(schema.fact)

_MANY = 1_000
Heads = dict[str, tuple[int, bytes]]


class Cursor(Protocol):
    """What both engines' DB-API cursors share."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, values: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, values: Any, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchmany(self, count: int, /) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class Tx:
    """One transaction, used by one thread. A reading one sees a snapshot; a writing one holds the writing lock."""

    def __init__(self, cursor: Cursor, statements: Statements, heads: Heads | None = None) -> None:
        self._cursor = cursor
        self._statements = statements
        self._heads = heads
        self.facts = 0
        self.afterwards: list[Callable[[], None]] = []
        """What the caller's own thread does once this is durable, before its call returns. It may not raise."""

    @property
    def writes(self) -> bool:
        return self._heads is not None

    def run(self, statement: ClauseElement, /, **values: Any) -> list[Any]:
        """All rows of a query, as tuples."""
        self._cursor.execute(*self._statements.sql(statement, values))
        return self._cursor.fetchall()

    def each(self, statement: ClauseElement, /, **values: Any) -> Iterator[Any]:
        """The rows of a query one after the other, for many of them. Run nothing else until the last has come."""
        self._cursor.execute(*self._statements.sql(statement, values))
        while rows := self._cursor.fetchmany(_MANY):
            yield from rows

    def one(self, statement: ClauseElement, /, **values: Any) -> Any | None:
        """The first row of a query, or None."""
        self._cursor.execute(*self._statements.sql(statement, values))
        return self._cursor.fetchone()

    def change(self, statement: ClauseElement, /, **values: Any) -> int:
        """Run an insert, update or delete; the number of rows it touched."""
        assert self.writes, "a reading transaction cannot change rows: declare the op as kind='write'"
        self._cursor.execute(*self._statements.sql(statement, values))
        return self._cursor.rowcount

    def change_many(self, statement: ClauseElement, rows: Sequence[Mapping[str, Any]], /) -> None:
        """Run one insert, update or delete for each of `rows`."""
        assert self.writes, "a reading transaction cannot change rows: declare the op as kind='write'"
        if rows:
            sql, _ = self._statements.sql(statement, rows[0])
            self._cursor.executemany(sql, [self._statements.sql(statement, row)[1] for row in rows])

    def fact(self, workspace: str, at: Micros, actor: str, kind: str, subject: str, data: Mapping[str, Any]) -> int:
        """Append a fact to the workspace's journal; its number. Errors: `journal.broken`."""
        assert self._heads is not None, "a reading transaction cannot write facts: declare the op as kind='write'"
        number, before = self._heads.get(workspace) or self._stored_head(workspace)
        number += 1
        text = journal.data_text(data)
        link = journal.link(before, workspace, number, at, actor, kind, subject, text)
        self.change(
            _append,
            workspace=workspace, number=number, at=at, actor=actor, kind=kind, subject=subject, data=text, hash=link,
        )  # fmt: skip
        self._heads[workspace] = (number, link)
        self.facts += 1
        return number

    def head(self, workspace: str) -> journal.Head:
        """The newest fact's number and hash as this transaction sees them."""
        number, link = self._stored_head(workspace)
        return journal.Head(number, link.hex())

    def _stored_head(self, workspace: str) -> tuple[int, bytes]:
        row = self.one(_head, w=workspace)
        if row is None:
            return 0, journal.ROOT
        number, link = row[0], journal.hash_of(row[1])
        if not link:
            raise journal.broken(workspace, number, "the newest")
        return number, link
