"""Trees: a folder as a value. A sorted list of (path, digest, size), itself a blob.

A tree is put after all its blobs, so whoever can read it can read them. Its bytes are canonical: the same files give
the same digest on every machine. Writing one to disk cannot leave the folder it is written to: paths are checked when
a tree is made and again when it is read, and neither links nor special files exist in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from millrace.base.errors import MillraceError, nearest
from millrace.store.blobs import CHUNK, Blobs, Content, Digest, check_digest

MAGIC = b'{"millrace":"tree 1","entries":['
_HEAD, _TAIL = b'{"millrace":"tree 1","entries":', b"}"
_PATH_BYTES = 1_024


class Entry(NamedTuple):
    """One file: its path with '/' between parts, the digest of its bytes, and their number."""

    path: str
    digest: Digest
    size: int


class Tree(tuple[Entry, ...]):
    """The entries of a tree, sorted by path."""

    __slots__ = ()

    def entry(self, path: str) -> Entry:
        """The file at `path`. Errors: `file.unknown`."""
        for entry in self:
            if entry.path == path:
                return entry
        raise MillraceError("file.unknown", f"the tree has no file {path!r}", nearest(path, (e.path for e in self)))

    def under(self, folder: str) -> Iterator[Entry]:
        """The files below a folder, with their paths from there."""
        start = folder.rstrip("/") + "/"
        for entry in self:
            if entry.path.startswith(start):
                yield entry._replace(path=entry.path[len(start) :])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self)


def make(blobs: Blobs, files: Mapping[str, Content | Entry]) -> Digest:
    """Store files and the tree of them; its digest. An `Entry` stands for bytes that are stored already.

    Errors: tree.invalid, blob.unknown for an entry that is not stored, and what `put` raises.
    """
    for path in files:
        _check_path(path)
    entries = [value._replace(path=path) for path, value in files.items() if isinstance(value, Entry)]
    for entry in entries:
        blobs.keep(entry.digest)
    fresh = {path: value for path, value in files.items() if not isinstance(value, Entry)}
    digests = blobs.put_many(fresh.values())
    entries += [Entry(path, digest, blobs.size(digest)) for path, digest in zip(fresh, digests, strict=True)]
    return write(blobs, entries)


def write(blobs: Blobs, entries: Iterable[Entry]) -> Digest:
    """Store the tree of blobs that are stored already; the caller has just `put` or `keep`-ed them.

    Errors: tree.invalid for a bad path, a path given twice, or one that is both file and folder.
    """
    return blobs.put(encode(entries))


def read(blobs: Blobs, digest: Digest) -> Tree:
    """The tree of a digest. Errors: blob.unknown, blob.corrupt, tree.invalid."""
    return decode(blobs.get(digest), digest)


def keep(blobs: Blobs, digest: Digest) -> Tree:
    """`Blobs.keep` for a tree and every file of it. Errors also: blob.unknown when one is missing."""
    blobs.keep(digest)
    tree = read(blobs, digest)
    for entry in tree:
        blobs.keep(entry.digest)
    return tree


def keep_any(blobs: Blobs, digest: Digest) -> None:
    """`Blobs.keep`, and for a tree every file of it. Errors: as `keep`."""
    blobs.keep(digest)
    if blobs.peek(digest, len(MAGIC)) == MAGIC:
        keep(blobs, digest)


def materialise(blobs: Blobs, digest: Digest, folder: Path) -> None:
    """Write a tree to `folder`, which appears whole or not at all.

    Errors: tree.occupied if `folder` is there already, and what reading raises. Files are made read-only, because they
    may serve as a cache of what the digest says.
    """
    tree = read(blobs, digest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{os.urandom(6).hex()}"
    partial.mkdir(mode=0o700)
    try:
        for entry in tree:
            place = partial / entry.path
            place.parent.mkdir(parents=True, exist_ok=True)
            with blobs.open(entry.digest) as source, place.open("xb") as target:
                shutil.copyfileobj(source, target, CHUNK)
            place.chmod(0o444)
        try:
            # An empty folder gives way to a rename; anything else refuses it.
            partial.rename(folder)
        except OSError as fault:
            raise MillraceError("tree.occupied", f"{folder} is there already", "name a folder that is not") from fault
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def encode(entries: Iterable[Entry]) -> bytes:
    """The canonical bytes of a tree. Errors: tree.invalid."""
    ordered = sorted((Entry(*entry) for entry in entries), key=lambda entry: entry.path.encode())
    _check(ordered)
    return _HEAD + msgspec.json.encode(ordered) + _TAIL


def decode(data: bytes, digest: str = "these bytes") -> Tree:
    """The tree that `encode` made. Errors: tree.invalid."""
    hint = "give the digest of a tree, not of one file"
    if not data.startswith(_HEAD):
        raise MillraceError("tree.invalid", f"{digest} is not a tree", hint)
    try:
        entries = msgspec.json.decode(data[len(_HEAD) : -len(_TAIL)], type=list[Entry])
    except msgspec.DecodeError as fault:
        raise MillraceError("tree.invalid", f"{digest} is not a tree: {fault}", hint) from fault
    _check(entries)
    if encode(entries) != data:
        raise MillraceError("tree.invalid", f"{digest} is a tree, but not written canonically", hint)
    return Tree(entries)


def _check(entries: list[Entry]) -> None:
    """Paths are sane and distinct, and none is both a file and a folder."""
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        check_digest(entry.digest)
        path = _check_path(entry.path)
        if path in files:
            raise MillraceError("tree.invalid", f"the path {path!r} is given twice", "name each file once")
        files.add(path)
        while "/" in path:
            path = path.rpartition("/")[0]
            folders.add(path)
    for path in sorted(files & folders):
        raise MillraceError("tree.invalid", f"{path!r} is both a file and a folder", "rename one of them")


def _check_path(path: str) -> str:
    parts = path.split("/") if isinstance(path, str) else [""]
    sane = all(part not in ("", ".", "..") for part in parts)
    if not sane or "\\" in path or not path.isprintable() or len(path.encode()) > _PATH_BYTES:
        raise MillraceError(
            "tree.invalid",
            f"{path!r} cannot be a path in a tree",
            f"use a relative path of printable characters without '..' or '\\', at most {_PATH_BYTES} bytes",
        )
    return path
