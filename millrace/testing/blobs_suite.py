"""What every adapter of the `Blobs` port must do. Subclass it in a test module and say how to make an empty store:

class TestMine(BlobsSuite):
    @pytest.fixture
    def blobs(self, tmp_path): return MyBlobs(tmp_path)

    def reopen(self, blobs): ...          # the same store, as another process would open it
    def spoil(self, blobs, digest): ...   # change stored bytes behind the adapter's back
    def leave(self, blobs): ...           # leave half a blob, as a writer that died does; how many pieces it is now
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.base.errors import MillraceError
from millrace.store.blobs import Blobs, Digest, digest_of

HELLO = "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24"  # BLAKE3 of b"hello world"
ABSENT = "0" * 64
DAY = 86_400_000_000


def code_of(run: Callable[[], object]) -> str:
    """The code of the `MillraceError` that `run` raises."""
    with pytest.raises(MillraceError) as caught:
        run()
    assert caught.value.hint, "an error says the next step"
    return caught.value.code


def _peek(blobs: Blobs) -> Callable[[Digest], bytes]:
    return lambda digest: blobs.peek(digest, 4)


class BlobsSuite:
    """The promises of `Blobs`, as tests."""

    def spoil(self, blobs: Blobs, digest: Digest) -> None:
        """Change the stored bytes of a blob as failing hardware would."""
        raise NotImplementedError

    def reopen(self, blobs: Blobs) -> Blobs:
        """The same store as another process would open it."""
        raise NotImplementedError

    def leave(self, blobs: Blobs) -> int:
        """Leave half a blob behind, as a writer that died does; how many pieces that is, 0 where none can be."""
        raise NotImplementedError

    def test_a_digest_is_blake3_of_the_bytes(self, blobs: Blobs) -> None:
        assert blobs.put(b"hello world") == HELLO
        assert blobs.get(HELLO) == b"hello world"

    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
    def test_every_kind_of_content_gives_the_same_blob(self, blobs: Blobs, tmp_path: Path, size: int) -> None:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        file = tmp_path / "content"
        file.write_bytes(data)
        digests = {
            blobs.put(io.BytesIO(data)),
            blobs.put(file),
            blobs.put(data),
            blobs.put(bytearray(data)),
            blobs.put(memoryview(data)),
        }
        assert digests == {digest_of(data)}
        digest = digests.pop()
        assert blobs.get(digest) == data
        assert blobs.size(digest) == size
        with blobs.open(digest) as stream:
            assert stream.seek(size // 2) == size // 2
            assert stream.read() == data[size // 2 :]
        assert blobs.path(digest).read_bytes() == data
        assert blobs.peek(digest, 10) == data[:10]

    def test_many_are_kept_in_order(self, blobs: Blobs) -> None:
        contents = [b"%d" % (number % 500) for number in range(700)]
        digests = blobs.put_many(contents)
        assert digests == [digest_of(content) for content in contents]
        assert {stored.digest for stored in blobs.iterate()} == set(digests)
        assert blobs.put_many([]) == []

    def test_the_same_bytes_are_kept_once(self, blobs: Blobs) -> None:
        blobs.put(b"twice")
        blobs.put(io.BytesIO(b"twice"))
        assert [(stored.digest, stored.size) for stored in blobs.iterate()] == [(digest_of(b"twice"), 5)]

    def test_what_is_absent_is_unknown(self, blobs: Blobs, tmp_path: Path) -> None:
        assert not blobs.exists(ABSENT)
        assert not blobs.delete(ABSENT)
        for read in (blobs.get, blobs.open, blobs.path, blobs.size, blobs.keep, blobs.verify, _peek(blobs)):
            assert code_of(lambda read=read: read(ABSENT)) == "blob.unknown"  # type: ignore[misc]
        assert code_of(lambda: blobs.put(tmp_path / "nothing")) == "file.unreadable"

    @pytest.mark.parametrize("text", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" * 64])
    def test_what_is_no_digest_is_refused(self, blobs: Blobs, text: str) -> None:
        for act in (
            blobs.get,
            blobs.open,
            blobs.path,
            blobs.size,
            blobs.keep,
            blobs.verify,
            blobs.exists,
            blobs.delete,
            _peek(blobs),
        ):
            assert code_of(lambda act=act: act(text)) == "blob.invalid"  # type: ignore[misc]

    def test_corrupt_bytes_are_never_read_and_a_put_mends_them(self, blobs: Blobs) -> None:
        digest = blobs.put(b"precious bytes")
        self.spoil(blobs, digest)
        for read in (blobs.get, blobs.open, blobs.path, blobs.verify):
            assert code_of(lambda read=read: read(digest)) == "blob.corrupt"  # type: ignore[misc]
        fresh = self.reopen(blobs)
        assert fresh.put(b"precious bytes") == digest
        assert fresh.get(digest) == b"precious bytes"

    def test_what_a_dead_writer_left_is_tidied_and_never_seen(self, blobs: Blobs) -> None:
        kept = blobs.put(b"whole")
        left = self.leave(blobs)
        assert [stored.digest for stored in blobs.iterate()] == [kept]
        assert blobs.tidy(blobs.now() - DAY) == 0, "a writer may still be at work on what is young"
        assert blobs.tidy(blobs.now() + DAY) == left
        assert blobs.tidy(blobs.now() + DAY) == 0, "what is tidied is gone"
        assert blobs.get(kept) == b"whole"

    def test_a_source_that_fails_leaves_nothing(self, blobs: Blobs) -> None:
        class Torn(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() >= 2_000_000:
                    raise RuntimeError("the connection broke")
                return super().read(size)

        with pytest.raises(RuntimeError):
            blobs.put(Torn(bytes(3_000_000)))
        with pytest.raises(RuntimeError):
            blobs.put_many([b"before", Torn(bytes(3_000_000)), b"after"])
        assert list(blobs.iterate()) == []
        assert blobs.tidy(blobs.now() + DAY) == 0

    def test_delete_spares_what_was_touched(self, blobs: Blobs) -> None:
        digest = blobs.put(b"old")
        earlier, later = blobs.now() - DAY, blobs.now() + DAY
        assert not blobs.delete(digest, untouched_since=earlier)
        assert blobs.exists(digest)
        assert blobs.delete(digest, untouched_since=later)
        assert not blobs.exists(digest)
        assert code_of(lambda: blobs.get(digest)) == "blob.unknown"
        assert blobs.put(b"old") == digest
        assert blobs.get(digest) == b"old"
        assert blobs.delete(digest)

    def test_put_and_keep_start_the_grace_anew(self, blobs: Blobs) -> None:
        digest = blobs.put(b"kept")
        for touch in (lambda: blobs.put(b"kept"), lambda: blobs.keep(digest)):
            before = blobs.now()
            touch()
            assert [stored.touched >= before for stored in blobs.iterate()] == [True]

    def test_many_threads_may_put_the_same_and_different_bytes(self, blobs: Blobs) -> None:
        contents = [b"%d" % (number % 7) * 1_000 for number in range(28)]
        faults: list[BaseException] = []

        def work(part: list[bytes]) -> None:
            try:
                for content in part:
                    assert blobs.get(blobs.put(content)) == content
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=work, args=(contents[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(list(blobs.iterate())) == 7
