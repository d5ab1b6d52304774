"""Statements: SQLAlchemy Core constructs, compiled once per dialect and run on the bare DB-API cursor.

A statement built once at module level costs its compilation once. The DB-API road is taken because it costs a third
of SQLAlchemy's own execution; it holds as long as the columns keep to `millrace.catalog.schema`'s types, which need
no conversion on either engine.

An `insert(table)` binds every column of its table; what is not given is NULL. An `update` names what it sets:
``update(t).where(t.c.id == bindparam("which")).values(state=bindparam("to"))``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert as _insert  # both dialects render it alike
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

_KEPT = 2_048


class _Compiled(NamedTuple):
    statement: ClauseElement  # held, so that its id stays its own
    sql: str
    defaults: dict[str, Any]
    expands: Any  # the compiled statement itself, where a list of values is spelled out at each run


class Statements:
    """The compiled SQL of one dialect; shared by all catalogs of its kind."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled: OrderedDict[int, _Compiled] = OrderedDict()

    def sql(self, statement: ClauseElement, values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """The text and the complete parameters of `statement` with `values` bound."""
        found = self._compiled.get(id(statement)) or self._compile(statement)
        if found.expands is not None:
            late = found.expands.construct_expanded_state({**found.defaults, **values})
            return late.statement, dict(late.parameters)
        return found.sql, values if len(values) == len(found.defaults) else {**found.defaults, **values}

    def _compile(self, statement: ClauseElement) -> _Compiled:
        compiled: Any = statement.compile(dialect=self._dialect)
        expands = compiled if compiled.post_compile_params else None
        entry = _Compiled(statement, str(compiled), dict(compiled.params), expands)
        self._compiled[id(statement)] = entry
        while len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return entry


def upsert(table: Table, keep: Iterable[str] = ()) -> ClauseElement:
    """Insert, or replace every column but the primary key and `keep` of the row that has the same primary key."""
    statement = _insert(table)
    keys = [column.name for column in table.primary_key]
    kept = {*keys, *keep}
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in kept}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def insert_absent(table: Table) -> ClauseElement:
    """Insert unless a row with the same primary key exists; `Tx.change` tells which by its count of rows."""
    return _insert(table).on_conflict_do_nothing(index_elements=[column.name for column in table.primary_key])
