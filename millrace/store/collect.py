"""Garbage collection by reachability, safe beside writers, and the check of everything that is stored.

**What is kept.** A blob is reachable when a root names it, or when a reachable JSON document does: a tree is one, and
so is whatever else a room stores as JSON. Naming is taken literally, as 64 hexadecimal characters anywhere in the
text, so a room cannot forget to tell of a reference.

**Why nothing is lost beside writers.** Whoever makes a record that points at a blob has `put` or `keep`-ed it less
than a grace before (`Blobs`). The horizon is taken first, the roots are read after it: a record that was committed
later than the roots points at blobs that were touched after the horizon, and those are spared, by `delete` itself,
under the lock that every touch takes. A record that was committed earlier is among the roots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from millrace.base.clock import Micros
from millrace.base.errors import MillraceError
from millrace.store import tree
from millrace.store.blobs import Blobs, Digest, Stored

NAMED = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_DOCUMENT_BYTES = 64 << 20
_LISTED = 1_000


class Collected(Struct, frozen=True):
    """What a collection found and did; sizes in bytes. `young` were touched too recently to go; with `delete` off,
    `gone` would have gone. `pieces` are half-written files that dead writers left."""

    deleted: bool
    reachable: int
    reachable_bytes: int
    young: int
    young_bytes: int
    gone: int
    gone_bytes: int
    pieces: int


class Verified(Struct, frozen=True):
    """What a check of every stored byte found. `corrupt` and `lost` hold the first 1,000 digests: blobs whose bytes are
    not what their name says, and blobs that something points at and that are not there."""

    blobs: int
    bytes: int
    corrupt: list[Digest]
    lost: list[Digest]

    @property
    def whole(self) -> bool:
        return not self.corrupt and not self.lost


def horizon(blobs: Blobs, grace: Micros) -> Micros:
    """Where a collection begins: take it before reading the roots. A blob touched at it or later is spared."""
    return blobs.now() - grace


def named(text: str) -> Iterator[Digest]:
    """Every digest that a text names."""
    return (found.group() for found in NAMED.finditer(text))


def reach(blobs: Blobs, roots: Iterable[Digest]) -> set[bytes]:
    """Everything that is stored and can be reached from the roots, as 32 bytes each; a root need not be stored.

    Errors: blob.corrupt, store.unreadable: a document that cannot be read may name anything, so nothing is concluded.
    """
    reached: set[bytes] = set()
    waiting = [bytes.fromhex(root) for root in roots]
    while waiting:
        found = waiting.pop()
        if found in reached:
            continue
        digest = found.hex()
        try:
            start = blobs.peek(digest, len(tree.MAGIC))
            if start[:1] in (b"{", b"[") and (start == tree.MAGIC or blobs.size(digest) <= _DOCUMENT_BYTES):
                waiting += map(bytes.fromhex, named(blobs.get(digest).decode("utf-8", "replace")))
        except MillraceError as fault:
            if fault.code != "blob.unknown":
                raise
            continue
        reached.add(found)
    return reached


def collect(blobs: Blobs, roots: Iterable[Digest], since: Micros, delete: bool = False) -> Collected:
    """Remove what cannot be reached and was not touched at `since` (see `horizon`) or later; only count it, unless
    `delete`. What was touched lately counts as a root too. Errors: as `reach`, before anything is removed;
    store.unwritable."""
    lately = (stored.digest for stored in blobs.iterate() if stored.touched >= since)
    rooted = reach(blobs, roots)
    reached = rooted | reach(blobs, lately)
    kept, young, gone = [0, 0], [0, 0], [0, 0]
    files: list[Stored] = []
    for stored in blobs.iterate():
        if bytes.fromhex(stored.digest) in reached:
            _count(kept if bytes.fromhex(stored.digest) in rooted else young, stored)
        elif stored.touched >= since:
            _count(young, stored)
        elif is_tree(blobs, stored.digest):
            _count(gone if not delete or blobs.delete(stored.digest, untouched_since=since) else young, stored)
        else:
            files.append(stored)
    # Trees go before their files, so that a collection that is cut short leaves no tree that has lost some of them.
    for stored in files:
        _count(gone if not delete or blobs.delete(stored.digest, untouched_since=since) else young, stored)
    pieces = blobs.tidy(since) if delete else 0
    return Collected(delete, kept[0], kept[1], young[0], young[1], gone[0], gone[1], pieces)


def _count(tally: list[int], stored: Stored) -> None:
    tally[0] += 1
    tally[1] += stored.size


def is_tree(blobs: Blobs, digest: Digest) -> bool:
    """Whether a stored blob is a tree; False for one that is not there."""
    try:
        return blobs.peek(digest, len(tree.MAGIC)) == tree.MAGIC
    except MillraceError as fault:
        if fault.code != "blob.unknown":
            raise
        return False


def verify(blobs: Blobs, roots: Iterable[Digest]) -> Verified:
    """Read every blob and compare it with its name; find what the roots, or trees among them, point at in vain.

    The roots must be blobs, every one, as of a moment before the call.
    """
    count, size = 0, 0
    corrupt: list[Digest] = []
    for stored in blobs.iterate():
        try:
            blobs.verify(stored.digest)
        except MillraceError as fault:
            if fault.code == "blob.unknown":
                continue  # it was collected meanwhile
            corrupt.append(stored.digest)
        count += 1
        size += stored.size
    spoiled = set(corrupt)
    lost = {digest for digest in _pointed_at(blobs, roots, spoiled) if not blobs.exists(digest)}
    return Verified(count, size, sorted(corrupt)[:_LISTED], sorted(lost)[:_LISTED])


def _pointed_at(blobs: Blobs, roots: Iterable[Digest], spoiled: set[Digest]) -> Iterator[Digest]:
    for root in set(roots):
        yield root
        if root not in spoiled and is_tree(blobs, root):
            try:
                yield from (entry.digest for entry in tree.read(blobs, root))
            except MillraceError as fault:
                if fault.code != "tree.invalid":
                    raise  # else it only begins like a tree
