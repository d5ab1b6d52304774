"""Trees: canonical, visible only whole, and unable to leave the folder they are written to."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.store import tree
from millrace.store.local import LocalBlobs
from millrace.testing.blobs_suite import ABSENT, code_of

_part = st.text(string.ascii_letters + string.digits + " ._-äé", min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
_entries = st.dictionaries(
    st.lists(_part, min_size=1, max_size=3).map("/".join), st.integers(0, 1 << 40), max_size=8
).filter(lambda sizes: not any(other.startswith(path + "/") for path in sizes for other in sizes))


@given(sizes=_entries)
def test_a_tree_is_canonical_and_reads_back(sizes: dict[str, int]) -> None:
    entries = [tree.Entry(path, f"{size:064x}", size) for path, size in sizes.items()]
    data = tree.encode(entries)
    assert data == tree.encode(reversed(entries))
    assert data.startswith(tree.MAGIC)
    read = tree.decode(data)
    assert set(read) == set(entries)
    assert read.size == sum(sizes.values())
    assert [entry.path.encode() for entry in read] == sorted(path.encode() for path in sizes)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", "../up", "a/../b", "a//b", "a/", "./a", "a/.", "a\\b", "a\0b", "a\nb", "x" * 1_025],
)
def test_a_path_that_could_leave_the_folder_is_refused_in_and_out(path: str, tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    assert code_of(lambda: tree.make(blobs, {path: b"x"})) == "tree.invalid"
    forged = tree.encode([tree.Entry("@", "0" * 64, 1)]).replace(b'"@"', tree.msgspec.json.encode(path))
    assert code_of(lambda: tree.materialise(blobs, blobs.put(forged), tmp_path / "out")) == "tree.invalid"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"millrace":"tree 1","entries":',
        b'{"millrace":"tree 1","entries":[["a","' + b"0" * 64 + b'",1] ]}',
        b'{"millrace":"tree 1","entries":[["a","' + b"z" * 64 + b'",1]]}',
        b'{"millrace":"tree 1","entries":[["b","' + b"0" * 64 + b'",1],["a","' + b"0" * 64 + b'",1]]}',
        b'{"millrace":"tree 1","entries":[["a","' + b"0" * 64 + b'",1],["a/b","' + b"0" * 64 + b'",1]]}',
    ],
)
def test_bytes_that_are_no_tree_are_refused(data: bytes, tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put(data)
    assert code_of(lambda: tree.read(blobs, digest)) in ("tree.invalid", "blob.invalid")


def test_a_folder_goes_in_and_comes_out(tmp_path: Path) -> None:
    files = {"a.txt": b"a", "sub/b.bin": bytes(3_000_000), "sub/deep/c": b""}
    blobs = LocalBlobs(tmp_path / "store")
    digest = tree.make(blobs, files)
    assert [entry.path for entry in tree.read(blobs, digest)] == ["a.txt", "sub/b.bin", "sub/deep/c"]
    tree.materialise(blobs, digest, tmp_path / "out" / "here")
    assert {path: (tmp_path / "out" / "here" / path).read_bytes() for path in files} == files
    assert code_of(lambda: tree.materialise(blobs, digest, tmp_path / "out" / "here")) == "tree.occupied"
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["here"]


def test_entries_stand_for_stored_bytes(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    inner = tree.make(blobs, {"x": b"1", "y/z": b"22"})
    found = tree.read(blobs, inner)
    outer = tree.make(blobs, {"new": b"3", "moved": found.entry("y/z")})
    assert [(entry.path, entry.size) for entry in tree.keep(blobs, outer)] == [("moved", 2), ("new", 1)]
    assert [entry.path for entry in found.under("y")] == ["z"]
    assert code_of(lambda: found.entry("y/q")) == "file.unknown"
    assert code_of(lambda: tree.make(blobs, {"gone": tree.Entry("gone", ABSENT, 0)})) == "blob.unknown"


def test_a_torn_materialise_leaves_nothing(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "store")
    digest = tree.make(blobs, {"a": b"1", "b": b"2"})
    blobs.delete(tree.read(blobs, digest).entry("b").digest)
    assert code_of(lambda: tree.materialise(blobs, digest, tmp_path / "out" / "here")) == "blob.unknown"
    assert list((tmp_path / "out").iterdir()) == []


@settings(max_examples=50)
@given(data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    forged = tree.MAGIC + data
    try:
        decoded = tree.decode(forged)
    except MillraceError as fault:
        assert fault.code in ("tree.invalid", "blob.invalid")
    else:
        assert tree.encode(decoded) == forged
