"""The catalog in one SQLite file: write-ahead log, synced at every commit, any number of processes.

`BEGIN IMMEDIATE` is the writing lock. Readers never wait for the writer.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy.dialects import sqlite

from millrace.base.errors import MillraceError
from millrace.base.folders import PRIVATE_FILE
from millrace.catalog.statements import Statements

_BUSY_S = 30
_ROOM = 1 << 18
_making = threading.Lock()
_STATEMENTS = Statements(sqlite.dialect(paramstyle="named"))


class SqliteSession:
    """One connection; used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.cursor = connection.cursor()

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
        self.statements = _STATEMENTS

    def connection(self) -> sqlite3.Connection:
        """A connection as the catalog wants it; transactions are begun and ended by statements alone."""
        self._make_private()
        made = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=512)
        try:
            made.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1_000}")
            _use_log(made)
            for setting in ("synchronous = FULL", "foreign_keys = ON"):
                made.execute(f"PRAGMA {setting}")
        except BaseException:
            made.close()
            raise
        return made

    def _make_private(self) -> None:
        """Make the file, for its owner alone; SQLite gives its log the same mode.

        One at a time: whoever closes a file takes the locks that its process has on it.
        """
        with _making, suppress(OSError):  # what stands in the way SQLite will say
            if not self.path.exists():
                self.path.touch(PRIVATE_FILE, exist_ok=False)

    def connect(self) -> SqliteSession:
        return SqliteSession(self.connection())

    def tables(self) -> set[str]:
        """The names of the tables in the file, which stays as it is; none where there is no file."""
        if not self.path.exists():
            return set()
        looking = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)
        try:
            found = looking.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            return {name for (name,) in found}
        finally:
            looking.close()

    def translate(self, fault: Exception) -> Exception:
        if isinstance(fault, OverflowError):
            return MillraceError("request.invalid", "a whole number has more than 64 bits", "give a smaller one")
        if not isinstance(fault, sqlite3.Error):
            return fault
        name = getattr(fault, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and self._is_full()):
            return MillraceError("catalog.full", f"no room is left for {self.path}", "free some disk, then try again")
        if name.startswith("SQLITE_BUSY"):
            return MillraceError("catalog.busy", f"another process is writing {self.path}", "try again in a moment")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "decode to UTF-8" in str(fault):
            return MillraceError("catalog.corrupt", f"{self.path} is damaged: {fault}", "restore it from a backup")
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")):
            return MillraceError("catalog.unreachable", f"{self.path}: {fault}", "check the folder's permissions")
        return fault

    def _is_full(self) -> bool:
        """Beside its log SQLite maps a file of 32 kB; without room for it the disk is said to be at fault."""
        try:
            return shutil.disk_usage(self.path.parent).free < _ROOM
        except OSError:
            return False


def _use_log(connection: sqlite3.Connection) -> None:
    """Switch a file to the write-ahead log, which happens once in its life.

    While another process does the same SQLite says that it is locked, whatever the busy timeout (it fears a deadlock).
    """
    until = monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as fault:
            if not fault.sqlite_errorname.startswith("SQLITE_BUSY") or monotonic() > until:
                raise
        sleep(0.01)
