"""Collection by reachability: what goes, what stays, beside writers, and when it is cut short."""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.store import collect, tree
from millrace.store.blobs import Digest, digest_of
from millrace.store.local import LocalBlobs
from millrace.testing.blobs_suite import code_of

HOUR = 3_600_000_000


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "store")


def age(blobs: LocalBlobs, *digests: Digest, hours: float = 2) -> None:
    """Let blobs, all of them if none are named, have been touched that long ago."""
    for digest in digests or [stored.digest for stored in blobs.iterate()]:
        place = blobs.folder / digest[:2] / digest
        before = place.stat().st_mtime - hours * 3_600
        os.utime(place, (before, before))


def names(blobs: LocalBlobs) -> set[Digest]:
    return {stored.digest for stored in blobs.iterate()}


def test_what_is_reachable_stays_and_the_rest_goes(blobs: LocalBlobs) -> None:
    inner = tree.make(blobs, {"deep/file": b"in a tree in a tree"})
    entry = tree.Entry("x", inner, blobs.size(inner))
    outer = tree.make(blobs, {"a": b"a", "b": b"b", "inner": entry})
    document = blobs.put(msgspec.json.encode({"model": outer, "other": ["0" * 64]}))
    kept = names(blobs)
    garbage = blobs.put(b"garbage")
    lost = tree.make(blobs, {"c": b"c", "a": b"a"})
    age(blobs)
    since = collect.horizon(blobs, HOUR)
    would = collect.collect(blobs, [document], since)
    assert names(blobs) == kept | {garbage, lost, digest_of(b"c")}, "it only counts"
    did = collect.collect(blobs, [document], since, delete=True)
    assert names(blobs) == kept
    assert msgspec.structs.replace(would, deleted=True) == did
    assert (did.reachable, did.young, did.gone, did.pieces) == (len(kept), 0, 3, 0)
    assert did.gone_bytes == len(b"garbage") + len(b"c") + len(tree.encode([entry_of(b"a", "a"), entry_of(b"c", "c")]))


def entry_of(content: bytes, path: str) -> tree.Entry:
    return tree.Entry(path, digest_of(content), len(content))


def test_grace(blobs: LocalBlobs) -> None:
    young, old = blobs.put(b"young"), blobs.put(b"old")
    made = tree.make(blobs, {"old": tree.Entry("", old, 3), "file": b"file"})
    age(blobs, old, digest_of(b"file"))
    found = collect.collect(blobs, [], collect.horizon(blobs, HOUR), delete=True)
    assert names(blobs) == {young, old, made, digest_of(b"file")}, "a young tree holds its files"
    assert (found.reachable, found.young, found.gone) == (0, 4, 0)
    age(blobs)
    blobs.keep(old)
    collect.collect(blobs, [], collect.horizon(blobs, HOUR), delete=True)
    assert names(blobs) == {old}


def test_roots_that_are_not_stored_are_no_matter(blobs: LocalBlobs) -> None:
    kept = blobs.put(b"kept")
    age(blobs)
    found = collect.collect(blobs, ["0" * 64, kept, kept], collect.horizon(blobs, HOUR), delete=True)
    assert (found.reachable, found.gone) == (1, 0)


def test_a_corrupt_tree_stops_everything(blobs: LocalBlobs) -> None:
    """What it named is unknown, so nothing may go."""
    root = tree.make(blobs, {"a": b"a"})
    garbage = blobs.put(b"garbage")
    place = blobs.folder / root[:2] / root
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-5] + b"xxxxx")
    age(blobs)
    assert code_of(lambda: collect.collect(blobs, [root], collect.horizon(blobs, HOUR), True)) == "blob.corrupt"
    assert names(blobs) == {root, garbage, digest_of(b"a")}


def test_what_dead_writers_left_goes_too(blobs: LocalBlobs) -> None:
    piece = blobs.folder / ".new" / "1-2-dead"
    piece.write_bytes(b"half")
    os.utime(piece, (0, 0))
    assert collect.collect(blobs, [], collect.horizon(blobs, HOUR)).pieces == 0
    assert collect.collect(blobs, [], collect.horizon(blobs, HOUR), delete=True).pieces == 1
    assert not piece.exists()


@settings(max_examples=15)
@given(st.data())
def test_exactly_what_a_plain_walk_reaches(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    blobs = LocalBlobs(tmp_path_factory.mktemp("store"))
    reach: dict[Digest, set[Digest]] = {}
    for number in range(data.draw(st.integers(1, 5))):
        digest = blobs.put(b"file %d" % number)
        reach[digest] = {digest}
    for number in range(data.draw(st.integers(0, 6))):
        inside = data.draw(st.lists(st.sampled_from(sorted(reach)), min_size=1, max_size=3, unique=True))
        made = tree.make(blobs, {f"{number}/{i}": tree.Entry("", d, blobs.size(d)) for i, d in enumerate(inside)})
        reach[made] = {made}.union(*(reach[d] for d in inside))
    roots = data.draw(st.lists(st.sampled_from(sorted(reach))))
    age(blobs)
    collect.collect(blobs, roots, collect.horizon(blobs, HOUR), delete=True)
    assert names(blobs) == set().union(*(reach[root] for root in roots))


class Cut(LocalBlobs):
    """A store whose n-th removal ends the process that collects."""

    left = 0

    def delete(self, digest: Digest, untouched_since: int | None = None) -> bool:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().delete(digest, untouched_since)


@pytest.mark.parametrize("after", range(6))
def test_a_collection_that_is_cut_short_leaves_no_tree_without_its_files(tmp_path: Path, after: int) -> None:
    blobs = Cut(tmp_path)
    for number in range(2):
        tree.make(blobs, {str(i): b"%d" % (number + i) for i in range(3)})
    age(blobs)
    blobs.left = after
    with pytest.raises(KeyboardInterrupt):
        collect.collect(blobs, [], collect.horizon(blobs, HOUR), delete=True)
    for stored in list(blobs.iterate()):
        if collect.is_tree(blobs, stored.digest):
            assert all(blobs.exists(entry.digest) for entry in tree.read(blobs, stored.digest))


@pytest.mark.parametrize("seed", range(3))
def test_writers_lose_nothing_beside_a_collection(tmp_path: Path, seed: int) -> None:
    """Old bytes that nothing points at are collected while writers make trees of just these bytes."""
    blobs, other = LocalBlobs(tmp_path), LocalBlobs(tmp_path)
    pool = [b"shared %d" % number for number in range(60)]
    blobs.put_many(pool)
    age(blobs)
    recorded: list[Digest] = []
    faults: list[BaseException] = []
    gate = threading.Barrier(4)

    def write(store: LocalBlobs, chance: random.Random) -> None:
        gate.wait()
        for _ in range(12):
            files: dict[str, bytes | tree.Entry] = {str(i): c for i, c in enumerate(chance.sample(pool, 4))}
            kept = chance.choice(pool)
            try:
                store.keep(digest_of(kept))
                files["kept"] = tree.Entry("", digest_of(kept), len(kept))
            except MillraceError as fault:
                assert fault.code == "blob.unknown"
            recorded.append(tree.make(store, files))

    def sweep() -> None:
        gate.wait()
        collect.collect(other, list(recorded), collect.horizon(other, HOUR), delete=True)

    def run(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as fault:
            faults.append(fault)

    acts: list[Callable[[], None]] = [sweep]
    for number, store in enumerate((blobs, blobs, other)):
        acts.append(functools.partial(write, store, random.Random(seed * 10 + number)))
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(recorded) == 36
    assert collect.verify(LocalBlobs(tmp_path), recorded).whole


def test_the_check_finds_what_is_spoiled_and_what_is_not_there(blobs: LocalBlobs) -> None:
    root = tree.make(blobs, {"a": b"a", "b": b"b"})
    fine = collect.verify(blobs, [root])
    assert (fine.whole, fine.blobs, fine.corrupt, fine.lost) == (True, 3, [], [])
    assert fine.bytes == 2 + blobs.size(root)
    blobs.delete(digest_of(b"a"))
    place = blobs.folder / digest_of(b"b")[:2] / digest_of(b"b")
    place.chmod(0o644)
    place.write_bytes(b"x")
    found = collect.verify(blobs, [root, "1" * 64])
    assert found.corrupt == [digest_of(b"b")]
    assert found.lost == sorted([digest_of(b"a"), "1" * 64])
    assert not found.whole


def test_something_that_only_begins_like_a_tree(blobs: LocalBlobs) -> None:
    odd = blobs.put(tree.MAGIC + b"nonsense")
    assert collect.verify(blobs, [odd]).whole
    assert code_of(lambda: tree.keep_any(blobs, odd)) == "tree.invalid"
    plain, made = blobs.put(b"plain"), tree.make(blobs, {"a": b"a"})
    age(blobs)
    for digest in (plain, made):
        tree.keep_any(blobs, digest)
    collect.collect(blobs, [], collect.horizon(blobs, HOUR), delete=True)
    assert names(blobs) == {plain, made, digest_of(b"a")}
