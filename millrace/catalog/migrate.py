"""Bring a catalog's schema up to this version's, from every released one, or refuse a newer one.

Alembic keeps the steps (`migrations/versions`); it is loaded only to go up. A new catalog is made by one script of all
steps (`anew.py`).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, text

from millrace.base.errors import MillraceError, few
from millrace.catalog.anew import NUMBER, names, script
from millrace.catalog.postgres import PostgresEngine
from millrace.catalog.schema import fact
from millrace.catalog.sqlite import SqliteEngine

HEAD = "0001"
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6D696C6C72616366


def migrate(engine: SqliteEngine | PostgresEngine) -> None:
    """Create or upgrade the schema; several processes may call it at once.

    Errors: `catalog.foreign` for another application's file, which is left as it is, `catalog.incomplete` where tables
    are gone, `catalog.newer` for a schema this version does not know, `catalog.unnumbered` for tables without a
    schema's number, `catalog.unreachable`, `catalog.corrupt`.
    """
    try:
        there = set[str]()
        if isinstance(engine, SqliteEngine):  # a database server's other tables may well be somebody else's
            there = engine.tables()
            _check_ours(engine, there)
        if _stored_version(engine) == HEAD:
            _check_whole(engine, there)
            return
        bind = _bind(engine)
        try:
            with bind.begin() as connection:
                if isinstance(engine, PostgresEngine):
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                if _make_anew(connection) != HEAD:
                    upgrade(connection, HEAD)
        finally:
            bind.dispose()
    except MillraceError:
        raise
    except Exception as fault:
        known = engine.translate(getattr(fault, "orig", None) or fault)
        if isinstance(known, MillraceError):
            raise known from fault
        raise


def _check_ours(engine: SqliteEngine, there: set[str]) -> None:
    """Errors: `catalog.foreign` for a file with tables, and hardly any of them a catalog's."""
    theirs, ours = there - {NUMBER}, names("sqlite")
    if theirs and 2 * len(theirs & ours) < len(ours):
        raise MillraceError(
            "catalog.foreign",
            f"{engine.path} is not Millrace's: it has the tables {few(sorted(theirs))}",
            "choose another --dir, or move that file away",
        )


def _check_whole(engine: SqliteEngine | PostgresEngine, there: set[str]) -> None:
    """Errors: `catalog.incomplete` where the schema's number stands without all its tables.

    `there` are those of a moment ago, when another process may not have made them yet.
    """
    ours = names("sqlite")  # both engines have the same
    if ours <= there:
        return
    gone = sorted(ours - engine.tables())
    if gone:
        raise MillraceError(
            "catalog.incomplete", f"the catalog lacks what it had: {few(gone)}", "restore it from a backup"
        )


def _make_anew(connection: Connection) -> str:
    """The number of the schema that stands there, made now where there was none.

    Errors: `catalog.unnumbered` where tables stand and no number: what is there would be made once more.
    """
    look = inspect(connection)
    if look.has_table(NUMBER) and (row := connection.execute(text(f"SELECT version_num FROM {NUMBER}")).first()):
        return str(row[0])
    if look.has_table(fact.name):
        raise MillraceError(
            "catalog.unnumbered",
            f"the catalog has tables, and {NUMBER} does not say which schema they are of",
            f"restore it from a backup; if only the number was lost, and this version wrote it: {HEAD!r} belongs there",
        )
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {NUMBER}")
    number, statements = script(connection.dialect.name)
    for statement in statements:
        connection.exec_driver_sql(statement)
    return number


def _bind(engine: SqliteEngine | PostgresEngine) -> Engine:
    """SQLAlchemy's engine, whose transactions hold all that is done in them, and the writing lock from the start."""
    if isinstance(engine, PostgresEngine):
        return create_engine(engine.url)
    # Python's own SQLite module commits before each change of the schema: a migration cut short would be half-made.
    bind = create_engine("sqlite://", creator=engine.connection, poolclass=NullPool)
    event.listen(bind, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return bind


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Run the steps up to `to` on an open connection. Errors: `catalog.newer`."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as fault:
        raise MillraceError(
            "catalog.newer", f"the catalog's schema is not known to this version: {fault}", "upgrade millrace"
        ) from fault


def _stored_version(engine: SqliteEngine | PostgresEngine) -> str | None:
    session = engine.connect()
    try:
        session.cursor.execute("SELECT version_num FROM alembic_version")
        row = session.cursor.fetchone()
        return str(row[0]) if row else None
    except Exception as fault:
        known = engine.translate(fault)
        if isinstance(known, MillraceError) and known.code != "catalog.full":
            raise known from fault
        return None
    finally:
        session.close()
