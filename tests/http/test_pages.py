"""The examples of the pages about the server do what the pages say, and their tables follow the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from millrace import waist
from millrace.access import rules
from millrace.testing.server import Server, serving
from tests.serving.server import prepare, question
from tests.tidy.source import ROOT

_VARIES = [
    (r"\b\d{16}\b", "TIME"),
    (r"\b20\d\d-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"\b[0-9a-z]{26}\b", "ID"),
]


def same(text: str) -> str:
    """`text` without what differs from run to run."""
    for varying, name in _VARIES:
        text = re.sub(varying, name, text)
    return re.sub(r" +", " ", text)


def shown(page: str, folder: Path, **environ: str) -> list[tuple[str, str]]:
    """What each example of a page printed, beside what the page shows."""
    assert shutil.which("curl"), "these pages need curl: apt-get install curl"
    blocks = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.DOTALL)
    assert blocks
    programs = folder / "bin"
    programs.mkdir()
    for name, call in (("millrace", "-m millrace"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {call} "$@"\n')
        (programs / name).chmod(0o755)
    script = "".join(
        f"{program}echo '--- {number}' >&2; echo '--- {number}'\n" for number, (program, _) in enumerate(blocks)
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        env={**plain, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    printed = re.split(r"(?:--- \d+\n){2}", done.stdout)[:-1]
    return [(same(text), same(wanted)) for text, (_, wanted) in zip(printed, blocks, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["http.md", "access.md"])
def test_the_examples_of_a_page_about_a_server(page: str, tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        for printed, wanted in shown(page, tmp_path, URL=server.url, MILLRACE_URL=server.url):
            assert printed == wanted


@pytest.mark.slow
def test_the_examples_of_the_page_on_running_one(tmp_path: Path) -> None:
    for printed, wanted in shown("running.md", tmp_path):
        assert printed == wanted


def test_the_table_of_roles_is_the_code_s() -> None:
    nouns = defaultdict(set)
    for permission in [*(op.permission for op in waist.OPS), "blob:read", "blob:write"]:
        noun, _, verb = permission.partition(":")
        nouns[verb].add(noun)
    assert set(nouns) == set(rules.VERBS)
    rows = [
        f"| `{verb}` | {', '.join(sorted(nouns[verb]))} | "
        + " | ".join("yes" if verb in rules.ROLES[role] else "–" for role in rules.ROLES)
        + " |"
        for verb in rules.VERBS
    ]
    page = (ROOT / "docs" / "access.md").read_text("utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
    assert "| verb | on | " + " | ".join(rules.ROLES) + " |" in page


@pytest.mark.slow
def test_servers_that_share_catalog_blobs_and_predictions(tmp_path: Path, postgres_url: str) -> None:
    """What docs/running.md says of several servers."""
    one, two = tmp_path / "one", tmp_path / "two"
    prepare(one, postgres_url)
    two.mkdir()
    (one / "predictions").mkdir(exist_ok=True)
    for name in ("blobs", "predictions"):
        (two / name).symlink_to(one / name)
    environ = {"MILLRACE_CATALOG": postgres_url}
    with serving(one, environ=environ) as first, serving(two, environ=environ) as second:
        asked = [question([1, 2], id="first"), question([3], id="second")]
        answers = [infer(server, ask) for server, ask in zip((first, second), asked, strict=True)]
        assert answers == [infer(server, ask) for server, ask in zip((second, first), asked, strict=True)]
        first.call("endpoint.advance", endpoint="delays", until=2 * 3_600_000_000)
        found = second.call("prediction.search", endpoint="delays", since=0, until=3_600_000_000)["items"]
        assert {one["id"].partition(":")[0] for one in found} == {"first", "second"}


def infer(server: Server, asked: object) -> object:
    answer = server.ask("POST", "/v2/models/delays/infer", json.dumps(asked).encode())
    assert answer.status == 200, answer.body
    return answer.json
