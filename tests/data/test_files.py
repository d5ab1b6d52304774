"""A file appears whole, in the place of what was there, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.base.errors import MillraceError
from millrace.data.files import appearing


def test_until_it_is_whole_the_old_file_stands(tmp_path: Path) -> None:
    place = tmp_path / "log.parquet"
    place.write_bytes(b"old")
    place.chmod(0o640)
    with place.open("rb") as reader, appearing(place) as out:
        out.write(b"n")
        out.flush()
        assert place.read_bytes() == b"old"
        out.write(b"ew")
        assert reader.read() == b"old"
    assert place.read_bytes() == b"new"
    assert place.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), MillraceError("blob.corrupt", "x"), OSError(28, "no room")])
@pytest.mark.parametrize("old", [None, b"old"])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, fault: BaseException, old: bytes | None) -> None:
    place = tmp_path / "log.parquet"
    if old is not None:
        place.write_bytes(old)
    with pytest.raises((KeyboardInterrupt, MillraceError)) as caught, appearing(place) as out:
        out.write(b"half")
        raise fault
    if isinstance(fault, OSError):
        assert isinstance(caught.value, MillraceError)
        assert caught.value.code == "file.unwritable"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([old] if old is not None else [])


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "folder" / "file")
    with appearing(link) as out:
        out.write(b"x")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"x"


@pytest.mark.parametrize("name", [".", "nowhere/file", "n" * 300])
def test_where_no_file_can_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(MillraceError) as caught, appearing(tmp_path / name):
        raise AssertionError("nothing is written there")
    assert caught.value.code == "file.unwritable"
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []
