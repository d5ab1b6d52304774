"""The port of the store: immutable bytes named by what they are.

An adapter keeps bytes; nobody else opens a place by a name that a caller gave. Every adapter passes
`millrace.testing.blobs_suite`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple, Protocol

import msgspec

from millrace.base.clock import Micros
from millrace.base.errors import MillraceError

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""The BLAKE3 hash of some bytes: 64 lower-case hexadecimal characters."""

Content = bytes | bytearray | memoryview | Path | BinaryIO
"""What can be put: bytes, a file (by `Path`, never by a bare string) or a binary stream."""

CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Stored(NamedTuple):
    """One blob as `iterate` shows it: its size in bytes, and when it was last put or kept (the store's clock)."""

    digest: Digest
    size: int
    touched: Micros


class Blobs(Protocol):
    """Blobs behind one port.

    **Durable.** When `put` or `put_many` returns, the bytes survive a power cut and `get` gives them back. A call that
    raises has stored nothing half: a blob that can be seen is whole, also when its writer failed after it could be.

    **True.** Every read but `peek` compares the bytes with the digest, before the caller sees the first of them.

    **Safe.** All methods may be called from any thread and any process at once, also after a fork. Two writers of the
    same bytes both succeed.

    **Kept.** Whoever makes a record that points at a blob must have `put` or `keep`-ed it shortly before. Both start
    its grace anew: `delete(digest, untouched_since=t)` spares a blob that was touched at `t` or later, and no
    interleaving lets a blob vanish between a `put` or `keep` and the end of its grace. See `millrace.store.collect`.

    **Owned by nobody.** A digest is no permission: who may read is decided above the store.

    Errors of every method that takes a digest: ``blob.invalid`` (not a digest). Writers: ``store.full``,
    ``store.unwritable``. Readers: ``blob.unknown``, ``blob.corrupt``, ``store.unreadable``.
    """

    def put(self, content: Content) -> Digest:
        """Keep `content`; its digest. Bytes that are there already are kept once, and mended if they were corrupt."""
        ...

    def put_many(self, contents: Iterable[Content]) -> list[Digest]:
        """Keep several at the cost of few syncs; their digests in order. On an error, some may have been kept."""
        ...

    def get(self, digest: Digest) -> bytes:
        """The bytes, checked."""
        ...

    def open(self, digest: Digest) -> BinaryIO:
        """The bytes as a seekable stream, checked whole beforehand in constant memory. The caller closes it."""
        ...

    def peek(self, digest: Digest, count: int) -> bytes:
        """The first `count` bytes, or fewer if there are no more; unchecked, to tell what kind of blob it is."""
        ...

    def path(self, digest: Digest) -> Path:
        """A file on this machine that holds the bytes, checked now, for libraries that want one. Never write to it."""
        ...

    def size(self, digest: Digest) -> int:
        """Number of bytes, unchecked."""
        ...

    def exists(self, digest: Digest) -> bool:
        """Whether the blob is there now; promises nothing about the next moment (`keep` does)."""
        ...

    def keep(self, digest: Digest) -> None:
        """Start the blob's grace anew, because a record is about to point at it. Errors also: ``blob.unknown``."""
        ...

    def verify(self, digest: Digest) -> None:
        """Read and compare; returns nothing, raises what a read would."""
        ...

    def delete(self, digest: Digest, untouched_since: Micros | None = None) -> bool:
        """Remove a blob unless it was touched at `untouched_since` or later; whether it was there and is gone now."""
        ...

    def iterate(self) -> Iterator[Stored]:
        """Every blob in no order. One that comes or goes meanwhile may or may not be shown."""
        ...

    def now(self) -> Micros:
        """Wall time by the clock that stamps `Stored.touched`, so that a grace never compares two clocks."""
        ...

    def tidy(self, before: Micros) -> int:
        """Remove what writers that died left half-written before `before`; how many pieces."""
        ...


def digest_of(content: bytes | bytearray | memoryview) -> Digest:
    """The digest of bytes in memory."""
    from blake3 import blake3

    return blake3(content).hexdigest()


def check_digest(digest: str) -> Digest:
    """`digest` itself if it has a digest's form, so that it can stand in a path. Errors: `blob.invalid`."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        shown = str(digest)[:80]
        raise MillraceError("blob.invalid", f"{shown!r} is not a digest", "a digest is 64 characters of 0-9 and a-f")
    return digest


def unknown_blob(digest: Digest) -> MillraceError:
    """The error for a blob that is not there."""
    return MillraceError(
        "blob.unknown", f"no blob {digest} is stored here", "put its bytes first, or restore it from a backup"
    )


def corrupt_blob(digest: Digest, found: str) -> MillraceError:
    """The error for a blob whose bytes are not what its name says."""
    return MillraceError(
        "blob.corrupt",
        f"blob {digest} holds other bytes than its name says ({found})",
        "restore it from a backup, or add the same data again: that mends it; a dataset whose version cannot be read "
        "takes it with --mode replace",
    )
