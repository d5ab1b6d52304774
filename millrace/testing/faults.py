"""A disk and a catalog that fail when they are told to: at the n-th act, or by losing power between any two.

`FaultyDisk` stands in for `millrace.store.disk.Disk`, `FaultyEngine` around the SQLite engine. Both count what they do,
so a test runs its scenario once to learn how many acts there are, and then once for each of them:

    disk = FaultyDisk(folder)
    scenario(LocalBlobs(folder, disk))
    for n in range(disk.acts):
        scenario(LocalBlobs(other := tmp_path / str(n), FaultyDisk(other, fail_at=n)))

A power cut is `PowerCut`, no `Exception`, so that nothing on the way takes it for an error; from then on every act
raises it. `restart` puts the files into a state that a machine may find after it: what was synced is there, and of
everything else nothing, all, or a part.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any, Literal

from millrace.catalog.sqlite import SqliteEngine, SqliteSession
from millrace.store.disk import Disk

Left = Literal["nothing", "all", "names", "part"]
"""What a power cut leaves of what was not synced: nothing, all of it, names without their bytes, or some of each."""
LEFT: tuple[Left, ...] = ("nothing", "all", "names", "part")


class PowerCut(BaseException):
    """The machine is off."""


class _Counter:
    """Counts acts, and fails or cuts at the one it was told."""

    def __init__(self, fail_at: int = -1, cut_at: int = -1, fault: Exception | None = None) -> None:
        self.acts = 0
        self.off = False
        self._fail_at = fail_at
        self._cut_at = cut_at
        self._fault = fault
        self._lock = threading.Lock()

    def act(self) -> Exception | None:
        """Count one act; the fault to raise halfway through it, or None. Raises `PowerCut` before the act."""
        with self._lock:
            if self.off or self.acts == self._cut_at:
                self.off = True
                raise PowerCut
            self.acts += 1
            return self._fault if self.acts - 1 == self._fail_at else None


class FaultyDisk(Disk):
    """A disk that fails the n-th act with `fault`, or is off from the n-th act on. Knows what was synced below
    `folder`; whatever is there when it is made counts as synced."""

    def __init__(self, folder: Path, fail_at: int = -1, cut_at: int = -1, fault: int = errno.ENOSPC) -> None:
        self._counter = _Counter(fail_at, cut_at, OSError(fault, os.strerror(fault)))
        self._folder = folder.absolute()
        self._lock = threading.RLock()
        self._open: dict[int, int] = {}  # descriptor -> file
        self._files: dict[int, bytes] = {}  # file -> its bytes as last synced
        self._now: dict[Path, int] = {}  # name -> file, 0 for a folder
        self._waiting: list[tuple[Path, int | None]] = []  # names made (or, None, taken away) and not yet synced
        for place in [self._folder, *self._folder.rglob("*")]:
            if place.exists():
                self._now[place] = 0 if place.is_dir() else self._new(place.read_bytes())
        self._kept = dict(self._now)

    @property
    def acts(self) -> int:
        return self._counter.acts

    def restart(self, left: Left = "nothing", seed: int = 0) -> None:
        """Make the files what the machine finds after the cut."""
        chance = random.Random(seed)
        bytes_now = {file: path.read_bytes() for path, file in self._now.items() if file and path.is_file()}
        names = dict(self._kept)
        for path, file in self._waiting:
            if left in ("all", "names") or (left == "part" and chance.random() < 0.5):
                if file is None:
                    names.pop(path, None)
                else:
                    names[path] = file
        for path in sorted((path for path in self._now if path not in names), reverse=True):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for path in sorted(names):
            file = names[path]
            if any(parent not in names for parent in path.parents if parent.is_relative_to(self._folder)):
                continue  # the folder's own name was lost
            if not file:
                path.mkdir(parents=True, exist_ok=True)
                continue
            content = self._files[file]
            if left == "all" or (left == "part" and chance.random() < 0.5):
                whole = bytes_now.get(file, content)
                content = (
                    whole if left == "all" else whole[: chance.randint(len(content), max(len(whole), len(content)))]
                )
            if not path.is_file() or path.read_bytes() != content:
                path.unlink(missing_ok=True)
                path.write_bytes(content)
                path.chmod(0o444)

    # The acts of a disk

    def create(self, path: Path) -> int:
        self._act()
        file = super().create(path)
        with self._lock:
            self._open[file] = self._new(b"")
            self._name(path, self._open[file])
        return file

    def write(self, file: int, data: bytes | bytearray | memoryview) -> None:
        fault = self._counter.act()
        if fault:
            super().write(file, memoryview(data)[: len(data) // 2])
            raise fault
        super().write(file, data)

    def sync(self, file: int) -> None:
        self._act()
        with self._lock:
            number = self._open[file]
            path = next(path for path, held in self._now.items() if held == number)
            self._files[number] = path.read_bytes()

    def close(self, file: int) -> None:
        self._open.pop(file, None)
        super().close(file)
        if self._counter.off:
            raise PowerCut

    def rename(self, source: Path, target: Path) -> None:
        self._act()
        with self._lock:
            super().rename(source, target)
            self._name(target, self._now[source])
            self._name(source, None)

    def remove(self, path: Path) -> None:
        self._act()
        with self._lock:
            super().remove(path)
            self._name(path, None)

    def make_folder(self, path: Path) -> None:
        self._act()
        with self._lock:
            missing = not path.is_dir()
            super().make_folder(path)
            if missing:
                self._name(path, 0)

    def sync_folder(self, path: Path) -> None:
        self._act()
        with self._lock:
            for waiting in [entry for entry in self._waiting if entry[0].parent == path]:
                self._settle(waiting)

    def touch(self, path: Path) -> None:
        self._act()
        super().touch(path)

    def sync_all(self, folder: int) -> bool:
        self._act()
        with self._lock:
            for path, file in self._now.items():
                if file:
                    self._files[file] = path.read_bytes()
            for waiting in list(self._waiting):
                self._settle(waiting)
        return True

    # What is known of the files

    def _act(self) -> None:
        fault = self._counter.act()
        if fault:
            raise fault

    def _new(self, content: bytes) -> int:
        number = len(self._files) + 1
        self._files[number] = content
        return number

    def _name(self, path: Path, file: int | None) -> None:
        if file is None:
            self._now.pop(path, None)
        else:
            self._now[path] = file
        self._waiting.append((path, file))

    def _settle(self, waiting: tuple[Path, int | None]) -> None:
        self._waiting.remove(waiting)
        path, file = waiting
        if file is None:
            self._kept.pop(path, None)
        else:
            self._kept[path] = file


class FaultyEngine(SqliteEngine):
    """SQLite that fails the n-th statement (`fail_at`), fails the n-th just after it was done (`fail_after`, so that a
    commit is done and yet told to have failed), or is off from the n-th statement on. Beginnings and commits count.

    `restart` puts back the database's files as they were after the last commit ("nothing"), as they were at the cut
    ("all"), or with a part of what the write-ahead log had gained since ("names", "part").
    """

    def __init__(self, path: Path, fail_at: int = -1, fail_after: int = -1, cut_at: int = -1) -> None:
        super().__init__(path)
        fault = sqlite3.OperationalError("disk I/O error")
        fault.sqlite_errorname = "SQLITE_IOERR_WRITE"
        self._counter = _Counter(max(fail_at, fail_after), cut_at, fault)
        self._late = fail_after >= 0
        self._synced = self._bytes()
        self._at_cut: dict[str, bytes] = {}

    @property
    def acts(self) -> int:
        return self._counter.acts

    def connect(self) -> SqliteSession:
        if self._counter.off:
            raise PowerCut
        return _FaultySession(self)

    def restart(self, left: Left = "nothing", seed: int = 0) -> None:
        """Make the files what the machine finds after the cut; every session must have ended."""
        found = dict(self._at_cut or self._synced) if left != "nothing" else dict(self._synced)
        before, log = self._synced.get("-wal", b""), found.get("-wal", b"")
        if left in ("names", "part") and log.startswith(before) and len(log) > len(before):
            found["-wal"] = log[: random.Random(seed).randint(len(before), len(log) - 1)]
        for suffix in ("", "-wal", "-shm"):
            place = Path(f"{self.path}{suffix}")
            place.unlink(missing_ok=True)
            if suffix in found:
                place.write_bytes(found[suffix])

    def act(self, run: Any, commits: bool = False) -> Any:
        """Do one thing that counts."""
        try:
            fault = self._counter.act()
        except PowerCut:
            self._at_cut = self._at_cut or self._bytes()
            raise
        if fault and not self._late:
            raise fault
        answer = run()
        if commits:
            self._synced = self._bytes()
        if fault:
            raise fault
        return answer

    @property
    def off(self) -> bool:
        return self._counter.off

    def _bytes(self) -> dict[str, bytes]:
        places = {suffix: Path(f"{self.path}{suffix}") for suffix in ("", "-wal")}
        return {suffix: place.read_bytes() for suffix, place in places.items() if place.is_file()}


class _FaultyCursor:
    """A cursor whose statements count."""

    def __init__(self, cursor: sqlite3.Cursor, engine: FaultyEngine) -> None:
        self._cursor = cursor
        self._engine = engine

    def execute(self, sql: str, values: Any = ()) -> Any:
        return self._engine.act(lambda: self._cursor.execute(sql, values))

    def executemany(self, sql: str, values: Any) -> Any:
        return self._engine.act(lambda: self._cursor.executemany(sql, values))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class _FaultySession(SqliteSession):
    """A connection whose statements count, and that says nothing more once the machine is off."""

    def __init__(self, engine: FaultyEngine) -> None:
        super().__init__(engine.connection())
        self._engine = engine
        self.cursor = _FaultyCursor(self.cursor, engine)  # type: ignore[assignment]  # it does what a cursor does

    def commit(self) -> None:
        self._engine.act(lambda: self._connection.execute("COMMIT"), commits=True)

    def rollback(self) -> None:
        if not self._engine.off and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
