"""The page's files as they lie and as they are sent: sizes, origins, policy, caching; several reads in one request."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from millrace.access.records import LOCAL
from millrace.assemble import Platform, open_platform
from millrace.base.errors import MillraceError
from millrace.http import reads
from millrace.http.page import UI, Page

HTML = {b"accept": b"text/html,*/*"}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(tmp_path)
    yield opened
    opened.close()


def packed(paths: Iterator[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in paths)


def test_own_scripts_and_vendored_files_stay_small() -> None:
    own = packed(path for path in UI.rglob("*.js") if "vendor" not in path.parts)
    vendored = packed(path for path in (UI / "vendor").iterdir() if path.suffix in (".js", ".css"))
    assert own <= 100_000, f"own JavaScript is {own} bytes gzipped"
    assert vendored <= 60_000, f"vendored files are {vendored} bytes gzipped"


def test_every_vendored_file_is_what_its_package_holds_and_has_its_licence() -> None:
    listed = json.loads((UI / "vendor" / "vendored.json").read_text("utf-8"))
    for one in listed:
        assert sha256((UI / "vendor" / one["file"]).read_bytes()).hexdigest() == one["sha256"], one["file"]
        assert (UI / "vendor" / one["licence_file"]).is_file()
    there = {path.name for path in (UI / "vendor").iterdir() if path.suffix in (".js", ".css")}
    assert there == {one["file"] for one in listed}


def test_no_module_is_imported_that_is_not_there() -> None:
    for path in UI.rglob("*.js"):
        if "vendor" in path.parts:
            continue
        for target in re.findall(r'from "(\.[^"]+)"', path.read_text("utf-8")):
            assert (path.parent / target).is_file(), f"{path.name} imports {target}"


def test_what_the_page_offers_to_copy_is_what_the_command_line_takes() -> None:
    table = dict(json.loads((UI.parent / "cli" / "ops.json").read_text("utf-8")))
    given = re.search(r"GIVEN = \{(.*?)\};", (UI / "parts" / "code.js").read_text("utf-8"), re.DOTALL)
    assert given
    listed = {op: json.loads(names) for op, names in re.findall(r'"([a-z.]+)": (\[.*?\])', given[1])}
    offered = {
        op
        for path in UI.rglob("*.js")
        for op in re.findall(r'(?:op: |op=|asCode\()"([a-z.]+)", ?ask', path.read_text("utf-8"))
    }
    for op, names in listed.items():
        assert names == [field[0] for field in table[op]["fields"] if field[2]], op
    assert {op for op in offered if table[op]["kind"] != "read"} <= set(listed)


def test_the_document_allows_its_import_map_and_nothing_else_inline() -> None:
    answer = Page().answer("/", HTML)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    document = bytes(answer.body).decode()
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", document, re.DOTALL)
    assert len(inline) == 1
    assert f"'sha256-{b64encode(sha256(inline[0].encode()).digest()).decode()}'" in policy
    assert "worker-src 'self'" in policy
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|<style", document)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_are_kept_for_ever_at_an_address_that_changes_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "ui"
    folder.mkdir()
    (folder / "index.html").write_text('<script type="module" src="{base}/app.js"></script>')
    (folder / "app.js").write_text("1")
    page = Page(folder)
    first = bytes(page.answer("/", HTML).body).decode()  # type: ignore[union-attr]
    address = re.findall(r'src="([^"]+)"', first)[0]
    kept = page.answer(address, {})
    assert kept is not None and "immutable" in kept.headers["cache-control"] and kept.body == b"1"
    (folder / "app.js").write_text("22")
    second = bytes(page.answer("/", HTML).body).decode()  # type: ignore[union-attr]
    assert second != first
    assert page.answer(address, {}).headers["cache-control"] == "no-cache"  # type: ignore[union-attr]
    assert page.answer("/ui/x/../../secret", {}) is None


def test_the_document_answers_pages_alone_and_once() -> None:
    page = Page()
    answer = page.answer("/runs", HTML)
    assert answer is not None and answer.headers["cache-control"] == "no-cache"
    again = page.answer("/runs", {**HTML, b"if-none-match": answer.headers["etag"].encode()})
    assert again is not None and again.status_code == 304
    assert page.answer("/api/v1/facts", HTML) is None
    assert page.answer("/runs", {b"accept": b"application/json"}) is None
    zipped = page.answer("/", {**HTML, b"accept-encoding": b"gzip"})
    assert zipped is not None and gzip.decompress(bytes(zipped.body)) == answer.body


def test_reads_are_answered_in_order_each_by_itself(platform: Platform) -> None:
    asked = [
        {"op": "dataset.list"},
        {"op": "dataset.get", "ask": {"dataset": "rides"}},
        {"op": "audit.head", "ask": {}},
        {"op": "dataset.make", "ask": {"name": "rides"}},
        {"op": "dataset.lost"},
    ]
    found = reads.answer(platform, json.dumps(asked).encode(), LOCAL, "main")
    assert found[0]["answer"].items == []
    assert found[1]["problem"]["code"] == "dataset.unknown"
    assert found[2]["answer"].number >= 0
    assert found[3]["problem"]["code"] == "request.invalid" and "more than read" in found[3]["problem"]["detail"]
    assert found[4]["problem"]["code"] == "op.unknown"


@pytest.mark.parametrize("body", [b"{}", b"nonsense", json.dumps([{"op": "audit.head"}] * 65).encode()])
def test_reads_refuse_what_is_no_list_of_reads(platform: Platform, body: bytes) -> None:
    with pytest.raises(MillraceError) as refused:
        reads.answer(platform, body, LOCAL, "main")
    assert refused.value.code == "request.invalid"
