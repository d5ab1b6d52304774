"""Blobs as files in a folder: the store of one machine.

    FOLDER/ab/abcdef…     one file a blob, in one of 256 folders by its first two characters, read-only
    FOLDER/.new/…         files being written; what a dead writer left is removed by `tidy`
    FOLDER/.lock          held shared while a blob is made or kept, exclusively while one is removed
    FOLDER/.clock         touched to read the file system's clock

A blob is written under a temporary name, synced, renamed to its digest, and the folder synced; so a name that can be
seen holds all its bytes. Why nothing is lost beside a collection is told in `millrace.store.collect`.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from millrace.base.clock import Micros
from millrace.base.errors import MillraceError
from millrace.base.locks import locked
from millrace.store.blobs import CHUNK, Content, Digest, Stored, check_digest, corrupt_blob, digest_of, unknown_blob
from millrace.store.disk import Disk

_GROUP = 256
_GROUP_BYTES = 64 << 20
_SYNC_ALL_FROM = 16  # at 100 files one sync of the file system costs a fifth of the CPU of syncing each
_KNOWN = 1 << 16
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _New(NamedTuple):
    """A blob that is written but not yet visible."""

    digest: Digest
    place: Path


class LocalBlobs:
    """The `Blobs` port on a folder of a local file system. Holds no descriptor and no thread; safe after a fork."""

    def __init__(self, folder: str | Path, disk: Disk | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._disk = disk or Disk()
        self._new = self.folder / ".new"
        # Digests that this process made durable or found whole: they need no second look before an answer.
        self._known: set[Digest] = set()
        # Shards whose own name is durable.
        self._shards: set[str] = set()
        with self._told():
            if not self._new.is_dir():
                # Made last: whoever finds it knows that the folder's own name is durable.
                self._disk.make_durable_folder(self.folder)
                self._disk.make_folder(self._new)

    # Writers

    def put(self, content: Content) -> Digest:
        new = self._write(content, sync=True)
        if isinstance(new, _New):
            self._show([new])
            return new.digest
        return new

    def put_many(self, contents: Iterable[Content]) -> list[Digest]:
        digests: list[Digest] = []
        group: list[Content] = []
        size = 0
        for content in contents:
            group.append(content)
            size += _size_hint(content)
            if len(group) == _GROUP or size >= _GROUP_BYTES:
                digests += self._put_group(group)
                group, size = [], 0
        return digests + self._put_group(group)

    def keep(self, digest: Digest) -> None:
        if not self._kept(check_digest(digest)):
            raise unknown_blob(digest)

    def delete(self, digest: Digest, untouched_since: Micros | None = None) -> bool:
        place = self._place(digest)
        with self._told(), self._lock():
            try:
                if untouched_since is not None and place.lstat().st_mtime_ns // 1_000 >= untouched_since:
                    return False
                self._disk.remove(place)
            except FileNotFoundError:
                return False
            finally:
                self._known.discard(digest)
        return True

    def tidy(self, before: Micros) -> int:
        gone = 0
        with self._told():
            for entry in os.scandir(self._new):
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime_ns // 1_000 < before:
                        self._disk.remove(Path(entry.path))
                        gone += 1
        return gone

    # Readers

    def get(self, digest: Digest) -> bytes:
        with self._file(digest) as file:
            data = file.read()
        _compare(digest, digest_of(data))
        return data

    def open(self, digest: Digest) -> BinaryIO:
        file = self._file(digest)
        try:
            _compare(digest, _hash_stream(file))
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return io.BufferedReader(file)

    def peek(self, digest: Digest, count: int) -> bytes:
        with self._file(digest) as file:
            return file.read(count)

    def path(self, digest: Digest) -> Path:
        self.verify(digest)
        return self._place(digest)

    def verify(self, digest: Digest) -> None:
        with self._file(digest) as file:
            _compare(digest, _hash_stream(file))

    def size(self, digest: Digest) -> int:
        try:
            return self._place(digest).lstat().st_size
        except FileNotFoundError:
            raise unknown_blob(digest) from None

    def exists(self, digest: Digest) -> bool:
        return self._place(digest).is_file()

    def iterate(self) -> Iterator[Stored]:
        with self._told():
            shards = [entry.path for entry in os.scandir(self.folder) if len(entry.name) == 2 and entry.is_dir()]
            for shard in shards:
                for entry in os.scandir(shard):
                    if len(entry.name) != 64:
                        continue
                    with suppress(FileNotFoundError):
                        stat = entry.stat(follow_symlinks=False)
                        yield Stored(entry.name, stat.st_size, stat.st_mtime_ns // 1_000)

    def now(self) -> Micros:
        probe = self.folder / ".clock"
        with self._told():
            try:
                os.utime(probe)
            except FileNotFoundError:
                probe.touch()
            return probe.stat().st_mtime_ns // 1_000

    # How

    def _put_group(self, group: list[Content]) -> list[Digest]:
        if len(group) < _SYNC_ALL_FROM:
            return self._settle(group, sync=True)
        with self._told():
            folder = self._disk.open_folder(self.folder)
        try:
            return self._settle(group, sync=False, folder=folder)
        finally:
            self._disk.close(folder)

    def _settle(self, group: list[Content], sync: bool, folder: int = -1) -> list[Digest]:
        """Write a group, make its bytes durable, then its names."""
        written: list[_New | Digest] = []
        try:
            for content in group:
                written.append(self._write(content, sync))  # noqa: PERF401 - what was written must be known on a fault
            fresh = [new for new in written if isinstance(new, _New)]
            if fresh and not sync:
                with self._told():
                    if not self._disk.sync_all(folder):
                        _sync_each(fresh)
            self._show(fresh, folder)
        except BaseException:
            for new in written:
                if isinstance(new, _New):
                    self._drop(new.place)
            raise
        return [new.digest if isinstance(new, _New) else new for new in written]

    def _write(self, content: Content, sync: bool) -> _New | Digest:
        """Write under a temporary name; or only the digest, if the bytes are there already."""
        if isinstance(content, Path):
            with _source(content) as file:
                digest = _hash_stream(file)
                if self._whole(digest):
                    return digest
                file.seek(0)
                return self._write_stream(file, sync)
        if isinstance(content, bytes | bytearray | memoryview):
            digest = digest_of(content)
            return digest if self._whole(digest) else self._write_stream(io.BytesIO(content), sync)
        return self._write_stream(content, sync)

    def _write_stream(self, source: BinaryIO | io.RawIOBase, sync: bool) -> _New:
        from blake3 import blake3

        hasher = blake3()
        place = self._new / f"{os.getpid()}-{threading.get_ident()}-{os.urandom(8).hex()}"
        with self._told():
            file = self._disk.create(place)
            try:
                while chunk := source.read(CHUNK):
                    hasher.update(chunk)
                    self._disk.write(file, chunk)
                if sync:
                    self._disk.sync(file)
            except BaseException:
                self._drop(place)
                raise
            finally:
                self._disk.close(file)
        return _New(hasher.hexdigest(), place)

    def _show(self, fresh: list[_New], folder: int = -1) -> None:
        """Rename synced files to their digests and make the names durable."""
        if not fresh:
            return
        shards = {self._place(new.digest).parent for new in fresh}
        try:
            with self._told():
                self._make_shards(shards)
                with self._lock(shared=True):
                    for new in fresh:
                        self._disk.rename(new.place, self._place(new.digest))
                if len(shards) < _SYNC_ALL_FROM or folder < 0 or not self._disk.sync_all(folder):
                    for shard in shards:
                        self._disk.sync_folder(shard)
        except BaseException:
            for new in fresh:
                self._drop(new.place)
            raise
        self._remember(new.digest for new in fresh)

    def _make_shards(self, shards: set[Path]) -> None:
        missing = [shard for shard in shards if shard.name not in self._shards]
        if missing:
            for shard in missing:
                self._disk.make_folder(shard)
            self._disk.sync_folder(self.folder)
            self._shards.update(shard.name for shard in missing)

    def _whole(self, digest: Digest) -> bool:
        """Whether the blob is there, durable and not corrupt; if so its grace starts anew."""
        if not self._kept(digest):
            return False
        if digest not in self._known:
            try:
                self.verify(digest)
            except MillraceError:
                return False
            with self._told():
                # Another process may have renamed it and not yet synced the name; our caller is told it is durable.
                shard = self._place(digest).parent
                self._make_shards({shard})
                self._disk.sync_folder(shard)
            self._remember([digest])
        return True

    def _kept(self, digest: Digest) -> bool:
        with self._told():
            try:
                with self._lock(shared=True):
                    self._disk.touch(self._place(digest))
            except FileNotFoundError:
                return False
        return True

    def _remember(self, digests: Iterable[Digest]) -> None:
        if len(self._known) > _KNOWN:
            self._known.clear()
        self._known.update(digests)

    def _drop(self, place: Path) -> None:
        with suppress(OSError):
            self._disk.remove(place)

    def _place(self, digest: Digest) -> Path:
        return self.folder / check_digest(digest)[:2] / digest

    def _file(self, digest: Digest) -> io.FileIO:
        place = self._place(digest)
        try:
            return io.FileIO(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        except FileNotFoundError:
            raise unknown_blob(digest) from None
        except OSError as fault:
            raise MillraceError(
                "store.unreadable", f"blob {digest} cannot be read: {fault}", f"look at the rights on {place}"
            ) from fault

    @contextmanager
    def _lock(self, *, shared: bool = False) -> Iterator[None]:
        # Opened anew each time: a lock belongs to an open file, so a shared descriptor would share the lock too.
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with locked(lock, shared=shared):
                yield
        finally:
            os.close(lock)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the disk says, as errors with a next step."""
        try:
            yield
        except OSError as fault:
            if fault.errno in _FULL:
                raise MillraceError(
                    "store.full",
                    f"no room is left in {self.folder}",
                    "free space on that disk, then try again: nothing was half-made, and reads go on",
                ) from fault
            raise MillraceError(
                "store.unwritable", f"{self.folder} cannot be written: {fault}", "look at the disk and its rights"
            ) from fault


def _compare(digest: Digest, found: str) -> None:
    if digest != found:
        raise corrupt_blob(digest, found)


def _hash_stream(file: io.RawIOBase) -> str:
    from blake3 import blake3

    hasher, buffer = blake3(), bytearray(CHUNK)
    view = memoryview(buffer)
    while count := file.readinto(buffer):
        hasher.update(view[:count])
    return hasher.hexdigest()


@contextmanager
def _source(path: Path) -> Iterator[io.FileIO]:
    try:
        file = io.FileIO(path)
    except OSError as fault:
        raise MillraceError("file.unreadable", f"{path} cannot be read: {fault.strerror}", "check the path") from fault
    with file:
        yield file


def _size_hint(content: Content) -> int:
    if isinstance(content, bytes | bytearray | memoryview):
        return len(content)
    if isinstance(content, Path):
        with suppress(OSError):
            return content.stat().st_size
    return _GROUP_BYTES


def _sync_each(fresh: list[_New]) -> None:
    for new in fresh:
        file = os.open(new.place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)
