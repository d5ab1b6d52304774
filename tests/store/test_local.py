"""The store on a local folder: the port's promises, and those of files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.store.blobs import Blobs, Digest, digest_of
from millrace.store.local import LocalBlobs
from millrace.testing.blobs_suite import BlobsSuite, code_of


class TestLocal(BlobsSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return LocalBlobs(tmp_path / "store")

    def spoil(self, blobs: Blobs, digest: Digest) -> None:
        assert isinstance(blobs, LocalBlobs)
        place = blobs.folder / digest[:2] / digest
        data = bytearray(place.read_bytes())
        data[0] ^= 1
        place.chmod(0o644)
        place.write_bytes(data)

    def reopen(self, blobs: Blobs) -> Blobs:
        assert isinstance(blobs, LocalBlobs)
        return LocalBlobs(blobs.folder)

    def leave(self, blobs: Blobs) -> int:
        assert isinstance(blobs, LocalBlobs)
        (blobs.folder / ".new" / "1-2-abc").write_bytes(b"half")
        return 1


def test_a_blob_cannot_be_written_by_mistake(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    assert blobs.path(blobs.put(b"bytes")).stat().st_mode & 0o777 == 0o444


def test_a_link_in_place_of_a_blob_is_not_followed(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    digest = blobs.put(b"bytes")
    (tmp_path / "elsewhere").write_bytes(b"bytes")
    place = blobs.path(digest)
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere")
    assert code_of(lambda: blobs.get(digest)) == "store.unreadable"


@pytest.mark.parametrize("told", [0, 1])
def test_the_suite_notices_a_store_that_tidies_nothing(tmp_path: Path, told: int) -> None:
    class Untidy(LocalBlobs):
        def tidy(self, before: int) -> int:
            return told

    with pytest.raises(AssertionError):
        TestLocal().test_what_a_dead_writer_left_is_tidied_and_never_seen(Untidy(tmp_path))


def test_a_full_disk_is_told_and_nothing_is_half_made(tmp_path: Path) -> None:
    """A real limit of the system, in a process of its own: files may not grow beyond 100 kB."""
    program = """
import resource, signal, sys
from millrace.base.errors import MillraceError
from millrace.store.local import LocalBlobs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
blobs = LocalBlobs(sys.argv[1])
kept = blobs.put(b"small")
for put in (lambda: blobs.put(bytes(1_000_000)), lambda: blobs.put_many([b"x", bytes(1_000_000)])):
    try:
        put()
    except MillraceError as fault:
        print(fault.code, fault.status)
print(blobs.get(kept) == b"small", len(list(blobs.iterate())), len(list((blobs.folder / ".new").iterdir())))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "store.full 507\nstore.full 507\nTrue 1 0\n"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert code_of(lambda: LocalBlobs(tmp_path / "file" / "store")) == "store.unwritable"


def test_a_blob_survives_a_fork_of_its_store(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put(b"parent")
    child = os.fork()
    if child == 0:
        blobs.put(b"child")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert blobs.get(digest_of(b"child")) == b"child"


def test_importing_the_store_loads_no_numpy_and_no_hash_function() -> None:
    program = "import sys, millrace.store.tree, millrace.store.local; print({'numpy', 'blake3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
