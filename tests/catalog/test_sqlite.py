"""The catalog's promises on SQLite, and what only a file can suffer."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from millrace.base.errors import MillraceError
from millrace.catalog import tables
from millrace.catalog.engine import Catalog
from millrace.catalog.migrate import migrate
from millrace.catalog.sqlite import SqliteEngine
from millrace.testing.catalog_suite import CatalogSuite


class TestSqlite(CatalogSuite):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> SqliteEngine:
        made = SqliteEngine(tmp_path / "catalog.db")
        migrate(made)
        return made


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(MillraceError) as caught:
        migrate(SqliteEngine(tmp_path / "catalog.db"))
    assert caught.value.code == "catalog.corrupt"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MillraceError) as caught:
        migrate(SqliteEngine(tmp_path / "nowhere" / "catalog.db"))
    assert caught.value.code == "catalog.unreachable"


def test_a_schema_from_the_future_is_refused(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / "catalog.db")
    migrate(engine)
    with sqlite3.connect(engine.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MillraceError) as caught:
        migrate(engine)
    assert caught.value.code == "catalog.newer"


def test_no_room_left_keeps_what_was_there_and_recovers(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / "catalog.db")
    migrate(engine)
    small = _Small(tmp_path / "catalog.db")
    catalog = Catalog(small)
    catalog.write(lambda tx: tables.move_cursor(tx, "w", "kept", 1))
    with pytest.raises(MillraceError) as caught:
        catalog.write(lambda tx: tx.fact("w", 1, "a", "k", "s", {"much": "x" * 4_000_000}))
    assert caught.value.code == "catalog.full"
    catalog.write(lambda tx: tables.move_cursor(tx, "w", "after", 2))
    with catalog.read() as tx:
        assert tables.cursor(tx, "w", "kept") == 1
        assert tables.cursor(tx, "w", "after") == 2
        assert tables.facts_after(tx, "w", 0, 10) == []
    catalog.close()


@pytest.mark.parametrize(("free", "code"), [(4_096, "catalog.full"), (1 << 30, "catalog.unreachable")])
def test_a_fault_of_the_disk_may_be_a_full_one(
    tmp_path: Path, free: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made up, for nobody may fill this machine's disk: the file of the log's index finds no room."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    known = SqliteEngine(tmp_path / "catalog.db").translate(fault)
    assert isinstance(known, MillraceError) and known.code == code


class _Small(SqliteEngine):
    """A catalog whose file may not grow beyond a megabyte, as on a full disk."""

    def connect(self):  # type: ignore[no-untyped-def]
        session = super().connect()
        session.cursor.execute("PRAGMA max_page_count = 250")
        return session
