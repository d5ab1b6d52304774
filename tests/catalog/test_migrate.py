"""Schemas go up from every step there is, whole or not at all, also when many processes begin at once."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

import millrace.waist  # noqa: F401 - every room's tables must be known
from millrace.base.errors import MillraceError
from millrace.catalog import migrate as migrations
from millrace.catalog.anew import names, script
from millrace.catalog.journal import verify
from millrace.catalog.migrate import HEAD, migrate, upgrade
from millrace.catalog.postgres import PostgresEngine
from millrace.catalog.schema import metadata
from millrace.catalog.sqlite import SqliteEngine
from millrace.catalog.tables import chain
from millrace.catalog.tx import Tx

STEPS = [
    str(step.revision)
    for step in reversed(list(ScriptDirectory(str(migrations._MIGRATIONS)).walk_revisions("base", "heads")))
]


def assert_current(engine: SqliteEngine | PostgresEngine) -> None:
    bind = (
        create_engine(engine.url) if isinstance(engine, PostgresEngine) else create_engine(f"sqlite:///{engine.path}")
    )
    with bind.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == [], "run: scripts.generate"
        assert MigrationContext.configure(connection).get_current_revision() == HEAD
    bind.dispose()


def test_the_steps_are_one_line_to_the_head() -> None:
    assert [f"{number:04d}" for number in range(1, len(STEPS) + 1)] == STEPS
    assert STEPS[-1] == HEAD


def test_the_scripts_make_every_table_that_a_room_declares() -> None:
    assert names("sqlite") == names("postgresql") == set(metadata.tables)


@pytest.mark.parametrize("step", STEPS)
def test_up_from_every_step_with_what_was_written(tmp_path: Path, step: str) -> None:
    engine = SqliteEngine(tmp_path / "catalog.db")
    bind = migrations._bind(engine)
    with bind.begin() as connection:
        upgrade(connection, step)
    bind.dispose()
    session = engine.connect()
    session.begin_write()
    Tx(session.cursor, engine.statements, {}).fact("main", 1, "a", "k", "s", {"x": 1})
    session.commit()
    migrate(engine)
    migrate(engine)
    assert_current(engine)
    session.begin_read()
    assert verify(chain(Tx(session.cursor, engine.statements), "main")).number == 1
    session.close()


def described(connection: Connection) -> dict[str, Any]:
    look = inspect(connection)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(table)],
            look.get_pk_constraint(table),
            sorted((index["name"], index["column_names"], index["unique"]) for index in look.get_indexes(table)),
        )
        for table in look.get_table_names()
    }


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_a_new_catalog_is_what_all_steps_make(tmp_path: Path, request: Any, kind: str) -> None:
    engine: SqliteEngine | PostgresEngine = SqliteEngine(tmp_path / "catalog.db")
    if kind == "postgresql":
        engine = PostgresEngine(request.getfixturevalue("postgres_url"))
    assert script(kind)[0] == HEAD, "run: scripts.generate"
    found = []
    for make in (upgrade, migrations._make_anew):
        bind = migrations._bind(engine)
        with bind.connect() as connection:
            make(connection)
            found.append(described(connection))
            connection.rollback()
        bind.dispose()
    assert found[0] == found[1] and len(found[0]) == 1 + len(metadata.tables)


@pytest.mark.slow
def test_postgres_has_the_same_schema(postgres_url: str) -> None:
    engine = PostgresEngine(postgres_url)
    migrate(engine)
    migrate(engine)
    assert_current(engine)


class Killed(SqliteEngine):
    """Its process dies at the n-th statement of a migration."""

    left = 0

    def connection(self) -> sqlite3.Connection:
        made = super().connection()
        made.set_trace_callback(self._count)
        return made

    def _count(self, statement: str) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(path: Path, statement: int) -> bool:
    """Whether a process that migrates was killed there, rather than done before."""
    pid = os.fork()
    if pid == 0:
        engine = Killed(path)
        engine.left = statement
        migrate(engine)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.slow
def test_killed_at_any_statement(tmp_path: Path) -> None:
    """Python's SQLite module would commit before each change of the schema, and leave half of one behind."""
    statement, deaths = 1, 0
    while killed_at(tmp_path / f"{statement}.db", statement):
        engine = SqliteEngine(tmp_path / f"{statement}.db")
        migrate(engine)
        assert_current(engine)
        deaths += 1
        statement += 23
    assert deaths >= 3


def alter(engine: SqliteEngine | PostgresEngine, statement: str) -> None:
    """What somebody does to a catalog by hand."""
    session = engine.connect()
    session.begin_write()
    session.cursor.execute(statement)
    session.commit()
    session.close()


def test_many_processes_begin_at_once(tmp_path: Path) -> None:
    ready, go = os.pipe()
    children = []
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(ready, 1)
            try:
                migrate(SqliteEngine(tmp_path / "catalog.db"))
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    os.close(go)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 5
    assert_current(SqliteEngine(tmp_path / "catalog.db"))


@pytest.mark.parametrize("lost", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_tables_whose_number_was_lost_are_told_and_left_alone(tmp_path: Path, postgres_url: str, lost: str) -> None:
    for engine in (SqliteEngine(tmp_path / "catalog.db"), PostgresEngine(postgres_url)):
        migrate(engine)
        session = engine.connect()
        session.begin_write()
        Tx(session.cursor, engine.statements, {}).fact("main", 1, "a", "k", "s", {"x": 1})
        session.cursor.execute(lost)
        session.commit()
        with pytest.raises(MillraceError) as caught:
            migrate(engine)
        assert (caught.value.code, HEAD in caught.value.hint) == ("catalog.unnumbered", True)
        session.cursor.execute("SELECT count(*) FROM fact")
        assert session.cursor.fetchone()[0] == 1
        session.close()


@pytest.mark.parametrize(
    "made",
    [
        ["CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')"],
        ["CREATE TABLE fact (id)", "CREATE TABLE sales (fact)"],  # a warehouse's
        ["CREATE TABLE run (id)", "CREATE TABLE alembic_version (version_num)",
         f"INSERT INTO alembic_version VALUES ('{HEAD}')"],
    ],
)  # fmt: skip
def test_another_application_s_file_is_refused_and_left_alone(tmp_path: Path, made: list[str]) -> None:
    engine = SqliteEngine(tmp_path / "catalog.db")
    with sqlite3.connect(engine.path) as theirs:
        for statement in made:
            theirs.execute(statement)
    theirs.close()
    before = engine.path.read_bytes()
    with pytest.raises(MillraceError, match="is not Millrace's: it has the tables") as caught:
        migrate(engine)
    assert (caught.value.code, caught.value.hint) == ("catalog.foreign", "choose another --dir, or move that file away")
    assert engine.path.read_bytes() == before and list(tmp_path.iterdir()) == [engine.path]


@pytest.mark.parametrize("empty", [b"", None])
def test_an_empty_file_is_a_new_catalog(tmp_path: Path, empty: bytes | None) -> None:
    engine = SqliteEngine(tmp_path / "catalog.db")
    if empty is not None:
        engine.path.write_bytes(empty)
    migrate(engine)
    assert_current(engine)


def test_a_table_that_is_gone_is_told(tmp_path: Path, postgres_url: str) -> None:
    for engine in (SqliteEngine(tmp_path / "catalog.db"), PostgresEngine(postgres_url)):
        migrate(engine)
        alter(engine, "DROP TABLE model_version")
        with pytest.raises(MillraceError) as caught:
            migrate(engine)
        assert (caught.value.code, caught.value.message, caught.value.hint) == (
            "catalog.incomplete", "the catalog lacks what it had: model_version", "restore it from a backup",
        )  # fmt: skip


@pytest.mark.slow
def test_a_schema_from_the_future_is_refused_and_left_alone(tmp_path: Path, postgres_url: str) -> None:
    lite, post = SqliteEngine(tmp_path / "catalog.db"), PostgresEngine(postgres_url)
    for engine in (lite, post):
        migrate(engine)
        alter(engine, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(MillraceError) as caught:
            migrate(engine)
        assert (caught.value.code, caught.value.hint) == ("catalog.newer", "upgrade millrace")
