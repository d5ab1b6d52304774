"""The catalog in one SQLite file: write-ahead log, synced at every commit, any number of processes.

`BEGIN IMMEDIATE` is the writing lock. Readers never wait for the writer.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.dialects import sqlite

from millrace.base.errors import MillraceError
from millrace.catalog.statements import Statements

_BUSY_MS = 30_000


class SqliteSession:
    """One connection; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        self.cursor = self._connection.cursor()
        self.cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self.cursor.execute("PRAGMA journal_mode = WAL")
        self.cursor.execute("PRAGMA synchronous = FULL")
        self.cursor.execute("PRAGMA foreign_keys = ON")

    def begin_write(self) -> None:
        self.cursor.execute("BEGIN IMMEDIATE")

    def begin_read(self) -> None:
        self.cursor.execute("BEGIN")

    def commit(self) -> None:
        self.cursor.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self.cursor.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


class SqliteEngine:
    """SQLite behind the catalog's port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.statements = Statements(sqlite.dialect(paramstyle="named"))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def connect(self) -> SqliteSession:
        return SqliteSession(self.path)

    def translate(self, fault: Exception) -> Exception:
        if not isinstance(fault, sqlite3.Error):
            return fault
        name = getattr(fault, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            return MillraceError("catalog.full", f"no room is left for {self.path}", "free some disk, then try again")
        if name.startswith("SQLITE_BUSY"):
            return MillraceError("catalog.busy", f"another process is writing {self.path}", "try again in a moment")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return MillraceError("catalog.corrupt", f"{self.path} is damaged: {fault}", "restore it from a backup")
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")):
            return MillraceError("catalog.unreachable", f"{self.path}: {fault}", "check the folder's permissions")
        return fault
