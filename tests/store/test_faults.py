"""The store on a disk that fails or loses power at every single act: nothing told is lost, nothing half is seen."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.base.errors import MillraceError
from millrace.store import tree
from millrace.store.blobs import Digest, digest_of
from millrace.store.collect import is_tree
from millrace.store.local import LocalBlobs
from millrace.testing.faults import LEFT, FaultyDisk, Left, PowerCut

Acknowledge = Callable[[Digest], None]
FILES = {"a": b"first", "deep/b": b"second", "c": b"third" * 100}


def one(blobs: LocalBlobs, told: Acknowledge) -> None:
    for content in (b"one", b"two", b"one"):
        told(blobs.put(content))


def few(blobs: LocalBlobs, told: Acknowledge) -> None:
    for digest in blobs.put_many([b"x", b"y", b"x", b""]):
        told(digest)


def many(blobs: LocalBlobs, told: Acknowledge) -> None:
    """Enough for the way of one sync for all."""
    for digest in blobs.put_many([b"%d" % number for number in range(18)]):
        told(digest)


def trees(blobs: LocalBlobs, told: Acknowledge) -> None:
    first = tree.make(blobs, FILES)
    told(first)
    told(tree.make(blobs, {"again": FILES["a"], "other": tree.read(blobs, first).entry("c")}))


def removal(blobs: LocalBlobs, told: Acknowledge) -> None:
    kept, gone = blobs.put(b"kept"), blobs.put(b"gone")
    told(kept)
    blobs.delete(gone)
    told(blobs.put(b"gone"))


Scenario = Callable[[LocalBlobs, Acknowledge], None]
# `many` repeats one act often: it is for the long checks.
QUICK = [
    pytest.param(scenario, marks=pytest.mark.slow if scenario is many else (), id=scenario.__name__)
    for scenario in (one, few, many, trees, removal)
]


def acts_of(scenario: Scenario, folder: Path) -> int:
    disk = FaultyDisk(folder)
    scenario(LocalBlobs(folder, disk), lambda digest: None)
    return disk.acts


def assert_whole(folder: Path, acknowledged: list[Digest]) -> LocalBlobs:
    """What was acknowledged is there, and everything that can be seen is whole."""
    blobs = LocalBlobs(folder, FaultyDisk(folder))  # without faults, and quick: it does not really sync
    for digest in acknowledged:
        blobs.verify(digest)
    for stored in list(blobs.iterate()):
        blobs.verify(stored.digest)
        if is_tree(blobs, stored.digest):
            for entry in tree.read(blobs, stored.digest):
                blobs.verify(entry.digest)
    return blobs


@pytest.mark.parametrize("fault", [errno.ENOSPC, pytest.param(errno.EIO, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scenario", QUICK)
def test_every_act_fails_once(tmp_path: Path, scenario: Scenario, fault: int) -> None:
    code = "store.full" if fault == errno.ENOSPC else "store.unwritable"
    failed = 0
    for n in range(acts_of(scenario, tmp_path / "count")):
        folder = tmp_path / str(n)
        disk = FaultyDisk(folder, fail_at=n, fault=fault)
        acknowledged: list[Digest] = []
        blobs = None
        try:
            blobs = LocalBlobs(folder, disk)
            scenario(blobs, acknowledged.append)
        except MillraceError as told:
            assert told.code == code
            assert told.hint
            failed += 1
        assert_whole(folder, acknowledged)
        # The same store goes on once the disk does, without a restart.
        again = blobs or LocalBlobs(folder, disk)
        scenario(again, acknowledged.append)
        left = assert_whole(folder, acknowledged)
        left.tidy(left.now() + 1)
        assert list((folder / ".new").iterdir()) == []
    assert failed > 0


@pytest.mark.parametrize("left", ["nothing", *(pytest.param(left, marks=pytest.mark.slow) for left in LEFT[1:])])
@pytest.mark.parametrize("scenario", QUICK)
def test_power_is_lost_before_every_act(tmp_path: Path, scenario: Scenario, left: Left) -> None:
    acts = acts_of(scenario, tmp_path / "count")
    for n in range(acts):
        folder = tmp_path / str(n)
        disk = FaultyDisk(folder, cut_at=n)
        acknowledged: list[Digest] = []
        with pytest.raises(PowerCut):
            scenario(LocalBlobs(folder, disk), acknowledged.append)
        disk.restart(left, seed=n)
        again = assert_whole(folder, acknowledged)
        scenario(again, acknowledged.append)
        assert_whole(folder, acknowledged)


def test_a_name_that_another_writer_did_not_make_durable(tmp_path: Path) -> None:
    """The first writer failed between renaming and syncing the name; the second is told that the bytes are durable."""
    for n in range(acts_of(one, tmp_path / "count")):
        folder = tmp_path / str(n)
        failing = FaultyDisk(folder, fail_at=n, fault=errno.EIO)
        digest = ""
        try:
            digest = LocalBlobs(folder, failing).put(b"shared")
        except MillraceError:
            digest = LocalBlobs(folder, failing).put(b"shared")
        assert digest == digest_of(b"shared")
        failing.restart("nothing")
        assert LocalBlobs(folder).get(digest) == b"shared"


def test_the_faulty_disk_loses_what_was_not_synced(tmp_path: Path) -> None:
    """The instrument itself: a store that forgets to sync is found out."""

    class Forgetful(FaultyDisk):
        def sync(self, file: int) -> None:
            self._act()

    disk = Forgetful(tmp_path)
    digest = LocalBlobs(tmp_path, disk).put(b"bytes")
    disk.restart("nothing")
    with pytest.raises(MillraceError, match="other bytes than its name says"):
        LocalBlobs(tmp_path).verify(digest)

    class NoNames(FaultyDisk):
        def sync_folder(self, path: Path) -> None:
            self._act()

    disk2 = NoNames(tmp_path / "two")
    digest = LocalBlobs(tmp_path / "two", disk2).put(b"bytes")
    disk2.restart("nothing")
    assert not LocalBlobs(tmp_path / "two").exists(digest)
