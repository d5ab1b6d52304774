"""The commands that are not derived from a verb, and what a person has when the gate says no."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from millrace.assemble import open_platform
from millrace.store import tree as trees
from millrace.testing.server import Server
from tests.registry.made import files


@pytest.mark.slow
def test_files_become_a_version(millrace: Any, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("id,at,riders\n1,10,4\n2,20,5\n")
    (tmp_path / "two.csv").write_text("id,at,riders\n3,30,6\n")
    one, two = str(tmp_path / "one.csv"), str(tmp_path / "two.csv")
    dry = millrace("dataset", "add", "rides", one, two, "--dry-run", "--json")
    assert [row["bytes"] for row in json.loads(dry.out)] == [27, 20]
    assert json.loads(millrace("dataset", "list", "--all", "--json").out) == []
    assert "no column 'nokey'" in millrace("dataset", "add", "rides", one, "--key", "nokey").err
    assert json.loads(millrace("dataset", "list", "--all", "--json").out) == []
    done = millrace("dataset", "add", "rides", one, "--key", "id", "--event", "at")
    assert (done.code, done.err) == (0, f"storing {one} (0.0 MB)\n")
    assert done.out == "dataset  rides\nnumber   1\nrows     2\nadded    2\n"
    version = json.loads(millrace("--quiet", "dataset", "add", "rides", one, two, "--json").out)
    assert (version["number"], version["rows"], version["key"], version["event"]) == (2, 3, ["id"], "at")
    assert millrace("dataset", "add", "rides", one, two, "--quiet").err == ""
    near = millrace("dataset", "add", "ridez", one)
    assert near.code == 1 and near.err.startswith("error[dataset.unknown]: there is no dataset 'ridez'\n")
    assert "did you mean 'rides'? If not, make it first: millrace dataset make ridez" in near.err
    assert len(json.loads(millrace("dataset", "list", "--all", "--json").out)) == 1
    assert millrace("dataset", "add", "ridez", one, "--key", "id").code == 0
    gone = millrace("dataset", "add", "rides", "three.csv")
    assert (gone.code, gone.err) == (
        1, "error[file.unknown]: there is no file 'three.csv'\nhint: give Parquet or CSV files\n",
    )  # fmt: skip


def test_a_dry_run_shows_the_call_and_makes_none(millrace: Any) -> None:
    told = json.loads(millrace("experiment", "make", "flights", "--dry-run", "--json").out)
    assert (told["verb"], told["request"], told["workspace"]) == ("experiment.make", {"name": "flights"}, "main")
    assert millrace("experiment", "list", "--all", "--json").out == "[]\n"
    for looks in ("experiment list", "prediction get", "view read", "label coverage", "store verify", "loop settle"):
        assert "--dry-run" not in millrace(*looks.split(), "--help").out
    for changes in ("store collect", "endpoint predict", "rollout pause", "model register"):
        assert "--dry-run" in millrace(*changes.split(), "--help").out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("", None),
        ("--delete", True),
        ("--delete --grace-s 0", True),
        ("--no-delete", False),
        ("--delete true", True),
        ("--delete False", False),
        ("--delete=true", True),
        ("--delete=false", False),
        ("--grace-s 0 --delete --no-delete", False),
    ],
)  # fmt: skip
def test_an_option_that_is_yes_or_no_needs_no_word(millrace: Any, words: str, meant: bool | None) -> None:
    done = millrace("store", "collect", *words.split(), "--dry-run", "--json")
    assert (done.code, json.loads(done.out)["request"].get("delete")) == (0, meant)


def test_a_truth_after_two_dashes_or_of_another_option_is_a_text(millrace: Any) -> None:
    asked = ("experiment", "make", "--about", "true", "--dry-run", "--json", "--quiet", "--", "false")
    assert json.loads(millrace(*asked).out)["request"] == {"name": "false", "about": "true"}
    assert millrace("store", "collect", "--delete", "maybe").code == 2


def test_the_page_is_opened(millrace: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    where = ("--dir", str(server.folder))
    assert millrace("open", "--print", where=where) == (0, f"{server.url}\n", "") and opened == []
    assert millrace("open", where=where).out == f"{server.url}\n" and opened == [server.url]
    assert millrace("open", where=("--url", "http://there")).out == "http://there\n"
    done = millrace("open")
    assert done.code == 1 and "error[server.unreachable]: no server holds " in done.err


@pytest.mark.slow
def test_the_doctor_looks(millrace: Any, server: Server) -> None:
    done = millrace("doctor")
    assert (done.code, done.out.splitlines()[0].split()[:2]) == (
        0,
        ["look", "told"],
    )  # an empty column goes where it is narrow
    found = {look["look"]: look for look in json.loads(millrace("--json", "doctor").out)}
    assert found["server"]["good"] is None and found["disk"]["good"] and found["privacy"]["good"]
    assert f"{server.url} answers" in millrace("doctor", where=("--url", server.url)).out
    bad = millrace("doctor", where=("--url", "http://127.0.0.1:9"))
    assert bad.code == 1 and "is it up? millrace up" in bad.out


@pytest.mark.slow
def test_a_refused_gate_has_an_exit_code_of_its_own(millrace: Any, tmp_path: Path) -> None:
    platform = open_platform(tmp_path / "other")
    tree = trees.make(platform.ground.blobs, files(1.0))
    run = platform.call("run.start", {"experiment": "flights"}).id
    platform.call("run.log", {"run": run, "metrics": {"auc": 0.4}})
    platform.call("run.finish", {"run": run, "outputs": {"train": tree}})
    platform.close()
    where = ("--dir", str(tmp_path / "other"))
    for call in (
        ("model", "make", "late"),
        ("model", "register", "late", "--run", run),
        ("endpoint", "make", "e", "late"),
    ):
        assert millrace(*call, where=where).code == 0
    done = millrace("rollout", "start", "e", "1", where=where)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "error[gate.refused]: late@1 may not serve at e: AUC 0.4 against 0.5, as its run logged them\n"
        "hint: make a better version, or take the blame: millrace rollout force e 1 REASON\n"
    )
    told = json.loads(millrace("rollout", "list", "--json", where=where).out)
    assert [rollout["state"] for rollout in told["items"]] == ["refused"]
