"""The catalog in PostgreSQL, for several servers at once.

The writing lock is one transaction-level advisory lock, taken at the start of a writing transaction, so that both
engines have the same semantics: writers decide on what they see, and nobody else writes meanwhile. Group commit pays
for it (`docs/decisions/0001-one-writer-at-a-time.md`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql

from millrace.base.errors import MillraceError
from millrace.catalog.statements import Statements

if TYPE_CHECKING:
    import psycopg

_LOCK = 0x6D696C6C72616365  # "millrace"
_STATEMENTS = Statements(postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]


class PostgresSession:
    """One connection; used by one thread at a time."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self.cursor: Any = self._connection.cursor()

    def begin_write(self) -> None:
        self.cursor.execute("BEGIN")
        self.cursor.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")

    def begin_read(self) -> None:
        self.cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        self.cursor.execute("COMMIT")

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class PostgresEngine:
    """PostgreSQL behind the catalog's port. `url` is a libpq URL: ``postgresql://user@host/database``."""

    def __init__(self, url: str) -> None:
        """Errors: `config.invalid` for what is no such URL."""
        _check(url)
        self._url = url
        self.statements = _STATEMENTS

    @property
    def url(self) -> str:
        return "postgresql+psycopg://" + self._url.partition("://")[2]

    def connect(self) -> PostgresSession:
        return PostgresSession(self._url)

    def tables(self) -> set[str]:
        """The names of the tables in the schema that the catalog is in."""
        session = self.connect()
        try:
            session.begin_read()
            session.cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            return {str(row[0]) for row in session.cursor.fetchall()}
        finally:
            session.close()

    def translate(self, fault: Exception) -> Exception:
        import psycopg

        if not isinstance(fault, psycopg.Error):
            return fault
        if isinstance(fault, psycopg.errors.DiskFull):
            return MillraceError(
                "catalog.full", "the database server has no room left", "free disk there, then try again"
            )
        if isinstance(fault, psycopg.DataError):
            return MillraceError(
                "request.invalid",
                f"a value that the catalog cannot hold: {fault}",
                "numbers have 64 bits, and text has no NUL",
            )
        if isinstance(fault, psycopg.OperationalError):
            return MillraceError(
                "catalog.unreachable", f"the catalog's database: {fault}", "check `catalog` and that it runs"
            )
        return fault


def _check(url: str) -> None:
    import psycopg.conninfo
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        psycopg.conninfo.conninfo_to_dict(url)
        make_url(url)
    except (psycopg.ProgrammingError, ArgumentError, ValueError):
        told = "`catalog` is not a URL that PostgreSQL's clients read"
        raise MillraceError("config.invalid", told, "postgresql://USER@HOST:5432/DATABASE") from None
