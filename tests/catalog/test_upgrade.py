"""A later version takes over a catalog full of rows, whole or not at all; an earlier one leaves that catalog alone."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Connection, Double, LargeBinary, MetaData, event

from millrace.base.errors import MillraceError
from millrace.catalog import migrate as migrations
from millrace.catalog.journal import verify
from millrace.catalog.migrate import HEAD, migrate, upgrade
from millrace.catalog.postgres import PostgresEngine
from millrace.catalog.sqlite import SqliteEngine
from millrace.catalog.tables import chain
from millrace.catalog.tx import Tx
from tests.catalog.test_migrate import STEPS

Engine = SqliteEngine | PostgresEngine
Rows = dict[str, list[tuple[Any, ...]]]

LATER = '''
"""A step that a later version takes: a table, a column, an index, and rows that move."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9000", "{head}", None, None


def upgrade() -> None:
    op.create_table("later", sa.Column("follower", sa.Text(), primary_key=True))
    op.execute("INSERT INTO later SELECT follower FROM cursor")
    op.add_column("cursor", sa.Column("note", sa.Text(), nullable=True))
    op.execute("UPDATE cursor SET note = follower")
    op.create_index("ix_later", "cursor", ["note"])
'''


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def engine(request: Any, tmp_path: Path) -> Engine:
    """An empty catalog of either kind."""
    if request.param == "sqlite":
        return SqliteEngine(tmp_path / "catalog.db")
    return PostgresEngine(request.getfixturevalue("postgres_url"))


@pytest.fixture
def later(tmp_path: Path) -> Any:
    """What makes this a later version, with one step more, while it is entered."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations._MIGRATIONS, folder)
    (folder / "versions" / "9000_later.py").write_text(LATER.format(head=HEAD))

    def enter(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(migrations, "_MIGRATIONS", folder)
        patch.setattr(migrations, "HEAD", "9000")

    return enter


def filled(engine: Engine, step: str) -> Rows:
    """The rows of a catalog of that step: two in every table, and a journal of two facts."""
    bind = migrations._bind(engine)
    with bind.begin() as connection:
        upgrade(connection, step)
        for table in reflected(connection).sorted_tables:
            if table.name not in ("alembic_version", "fact"):
                connection.execute(table.insert(), [{c.name: value(c, n) for c in table.columns} for n in (1, 2)])
    bind.dispose()
    session = engine.connect()
    session.begin_write()
    for number in (1, 2):
        Tx(session.cursor, engine.statements, {}).fact("main", number, "a", "k", "s", {"x": "ö" * number})
    session.commit()
    session.close()
    return rows_of(engine)


def value(column: Any, number: int) -> Any:
    if isinstance(column.type, BigInteger):
        return number << 60
    if isinstance(column.type, Double):
        return number / 7
    return bytes([0, 255, number]) if isinstance(column.type, LargeBinary) else f"{column.name} ö'{number}"


def reflected(connection: Connection) -> MetaData:
    found = MetaData()
    found.reflect(connection)
    return found


def rows_of(engine: Engine) -> Rows:
    """Every row of every table, in an order of its own."""
    bind = migrations._bind(engine)
    with bind.begin() as connection:
        found = {
            table.name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
            for table in reflected(connection).sorted_tables
        }
    bind.dispose()
    return found


def went_up(before: Rows, after: Rows) -> bool:
    """Whether `after` is what the later step makes of `before`; or else nothing may have changed."""
    if "later" not in after:
        assert after == before
        return False
    assert after == {
        **before, "alembic_version": [("9000",)], "later": sorted((row[1],) for row in before["cursor"]),
        "cursor": [(*row, row[1]) for row in before["cursor"]],
    }  # fmt: skip
    return True


def killed_at(engine: Engine, statement: int) -> bool:
    """Whether a process that migrates was killed before that statement (a commit is one), rather than done before."""
    pid = os.fork()
    if pid == 0:
        try:
            left = iter(range(statement - 1, -1, -1))
            make = migrations._bind

            def count(*_: Any) -> None:
                if not next(left):
                    os.kill(os.getpid(), signal.SIGKILL)

            def bind(engine: Engine) -> Any:
                made = make(engine)
                event.listen(made, "before_cursor_execute", count)
                event.listen(made, "commit", count)
                return made

            migrations._bind = bind
            migrate(engine)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("step", STEPS)
def test_rows_go_up_from_every_released_schema(engine: Engine, step: str, later: Any) -> None:
    before = filled(engine, step)
    assert all(len(rows) == 2 for name, rows in before.items() if name != "alembic_version")
    with pytest.MonkeyPatch.context() as patch:
        later(patch)
        migrate(engine)
        migrate(engine)
    assert went_up(before, rows_of(engine))
    session = engine.connect()
    session.begin_read()
    assert verify(chain(Tx(session.cursor, engine.statements), "main")).number == 2
    session.close()


@pytest.mark.slow
def test_a_step_that_is_killed_leaves_the_old_or_the_new(engine: Engine, later: Any) -> None:
    before = filled(engine, HEAD)
    with pytest.MonkeyPatch.context() as patch:
        later(patch)
        deaths = 0
        while killed_at(engine, deaths + 1):
            assert not went_up(before, rows_of(engine))
            deaths += 1
    assert deaths >= 7, "each statement of the step, the version's and the commit"
    assert went_up(before, rows_of(engine))


def test_a_later_catalog_is_refused_and_left_alone(engine: Engine, later: Any) -> None:
    before = filled(engine, HEAD)
    with pytest.MonkeyPatch.context() as patch:
        later(patch)
        migrate(engine)
    with pytest.raises(MillraceError) as caught:
        migrate(engine)
    assert (caught.value.code, caught.value.hint) == ("catalog.newer", "upgrade millrace")
    assert "9000" in caught.value.message
    assert went_up(before, rows_of(engine))
