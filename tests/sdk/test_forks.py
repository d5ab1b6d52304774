"""A program that forks inside a run: nobody hangs, each sends its own points once, and the run ends with its parent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from millrace.sdk import spool
from millrace.sdk.client import Client, connect
from millrace.testing.server import serving
from tests.tidy.source import ROOT

PROGRAM = """
    import multiprocessing, os, sys
    import millrace as mr

    def child(place):
        for step in range(100):
            mr.log(1_000 * place + step, loss=place)

    with mr.run("forked") as run:
        for step in range(100):
            mr.log(step, loss=0)
        if sys.argv[1] == "fork":
            for place in 1, 2:
                if not os.fork():
                    child(place)
                    sys.exit(0)
            if not os.fork():
                sys.exit(0)
            for _ in range(3):
                assert os.wait()[1] == 0
        elif sys.argv[1] == "pool":
            with multiprocessing.get_context("fork").Pool(2) as pool:  # whose end kills its workers
                pool.map(child, (1, 2), chunksize=1)
        elif sys.argv[1] == "killed":
            for place in 1, 2:
                if not os.fork():
                    child(place)
                    os.kill(os.getpid(), 9)
            for _ in range(2):
                assert os.wait()[1] == 9
        else:
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=child, args=(place,)) for place in (1, 2)]
            for one in children:
                one.start()
            for one in children:
                one.join()
                assert one.exitcode == 0
        mr.log(3_000, loss=3)
    print(run.id)
"""
STEPS = [*range(100), *range(1_000, 1_100), *range(2_000, 2_100), 3_000]


def ran(folder: Path, how: str, **environment: str) -> str:
    """The id of the run that the program made."""
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, "program.py", how], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def program_of(folder: Path, text: str) -> str:
    """What the program printed, which ended well and in silence."""
    (folder / "program.py").write_text(dedent(text))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def is_whole(client: Client, run: str) -> None:
    found: Any = client.call("run.metrics", run=run, key="loss")
    assert sorted(found.step) == STEPS
    assert client.call("run.get", run=run).state == "finished"
    ends = [fact for fact in client.pages("audit.facts") if fact.kind == "run.finished"]
    assert len(ends) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fork", "multiprocessing", "pool", "killed"])
def test_a_child_of_a_program_with_the_platform_inside_logs_and_ends(tmp_path: Path, how: str) -> None:
    run = ran(tmp_path, how)
    client = connect(dir=str(tmp_path / ".millrace"))
    is_whole(client, run)
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fork", "multiprocessing", "pool", "killed"])
def test_a_child_logs_to_a_server_over_connections_of_its_own(tmp_path: Path, how: str) -> None:
    with serving(tmp_path / "home") as server:
        is_whole(connect(server.url), ran(tmp_path / "program", how, MILLRACE_URL=server.url))


@pytest.mark.slow
def test_what_a_child_logs_while_the_server_is_away_is_kept_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "spool"
    monkeypatch.setenv("MILLRACE_SPOOL", str(kept))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    run = ran(tmp_path / "program", "fork", MILLRACE_URL=url, MILLRACE_SPOOL=str(kept))
    with serving(tmp_path / "home", "--port", port) as server:
        client = connect(server.url)
        assert spool.send_all(client, kept).refused == 0
        is_whole(client, run)


@pytest.mark.slow
def test_a_child_may_call_anything_and_connect_anew(tmp_path: Path) -> None:
    program = """
        import os, sys
        import millrace as mr

        mr.connect(dir="home")
        mr.dataset("rides", key="id", event="at").add({"id": [1], "at": [0]})
        if not os.fork():
            assert mr.dataset("rides").preview(1)["id"] == [1]
            try:
                mr.connect().call("run.get", run="none")
            except mr.MillraceError as fault:
                print(fault.code, flush=True)
            if not os.fork():
                client = mr.connect(dir="home", workspace="main")
                print(client.home.get(client.home.put(b"bytes")), len(client.call("dataset.list")["items"]), flush=True)
                sys.exit(0)
            assert os.wait()[1] == 0
            mr.dataset("rides").add({"id": [2], "at": [0]})
            sys.exit(0)
        assert os.wait()[1] == 0
        print(len(mr.dataset("rides").versions))
    """
    assert program_of(tmp_path, program).split() == ["run.unknown", "b'bytes'", "1", "2"]


@pytest.mark.slow
def test_what_a_child_flushed_can_be_read_and_more_than_a_pipe_holds_is_whole(tmp_path: Path) -> None:
    program = """
        import os, sys
        import millrace as mr

        mr.connect(dir="home")
        with mr.run("forked") as run:
            if not os.fork():
                for step in range(60_000):
                    mr.log(step, loss=step)
                run.flush()
                found = mr.connect().call("run.metrics", run=run.id, key="loss")
                print(found.step == list(range(60_000)), flush=True)
                os._exit(0)
            assert os.wait()[1] == 0
        print(run.record.state)
    """
    assert program_of(tmp_path, program).split() == ["True", "finished"]
