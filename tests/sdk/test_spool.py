"""A server that is away, a program that is killed, a sender that is killed: every kept call arrives, each once."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import millrace as mr
from millrace.base.errors import MillraceError
from millrace.sdk import current, spool, tracking
from millrace.sdk.client import Client, connect
from millrace.testing.server import Server, command, serving, start, until
from tests.tidy.source import ROOT

# A training job that does what it is told, line by line, and says when it is done.
JOB = """
    import sys
    import millrace as mr

    run = mr.run("demand", "long", params={"depth": 6})
    print(run.id, flush=True)
    step = 0
    for line in sys.stdin:
        if line == "finish\\n":
            run.output("notes", b"what was seen")
            run.tag(team="rides").params(rate=0.5)
            run.finish()
        else:
            for step in range(step, step + 100):
                run.log(step, loss=step / 7)
            step += 1
            run.flush()
        print(line, end="", flush=True)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the spool."""
    monkeypatch.setenv("MILLRACE_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


class Job:
    def __init__(self, url: str, folder: Path) -> None:
        program = folder / "job.py"
        program.write_text(dedent(JOB))
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "MILLRACE_URL": url}
        self.process = subprocess.Popen(
            [sys.executable, str(program)], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        self.run = self._out.readline().strip()

    def do(self, what: str) -> None:
        """Have it done: what it says is acknowledged."""
        self._in.write(f"{what}\n")
        self._in.flush()
        assert self._out.readline().strip() == what

    def end(self, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self._in.close()
        self.process.wait(60)
        self._out.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[list[Job]]:
    made: list[Job] = []
    yield made
    for job in made:
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait()


def sent(url: str, spool: Path) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "MILLRACE_SPOOL": str(spool)}
    return subprocess.Popen(
        command("--url", url, "spool", "send"), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def facts(server: Server, run: str, kind: str) -> list[Any]:
    return [f for f in server.call("audit.facts", limit=1_000)["items"] if f["kind"] == kind and f["subject"] == run]


def is_whole(server: Server, run: str, points: int) -> None:
    found = server.call("run.get", run=run)
    assert (found["state"], found["params"], found["tags"]) == (
        "finished", {"depth": 6, "rate": 0.5}, {"team": "rides"},
    )  # fmt: skip
    assert server.ask("GET", f"/api/v1/blobs/{found['outputs']['notes']}").body == b"what was seen"
    assert len(facts(server, run, "run.started")) == len(facts(server, run, "run.finished")) == 1
    series = server.call("run.metrics", run=run, key="loss")
    assert (series["step"], series["count"]) == (list(range(points)), points)


@pytest.mark.slow
def test_a_job_goes_on_while_the_server_is_away_and_sends_when_it_is_back(
    tmp_path: Path, port: int, kept: Path, jobs: list[Job]
) -> None:
    home = tmp_path / "home"
    server = start(home, "--port", port)
    job = Job(server.url, tmp_path)
    jobs.append(job)
    job.do("log")
    assert server.stop() == 0
    job.do("log away")
    job.do("log still away")
    (waiting,) = spool.listed(kept)
    assert (waiting.run, waiting.home, waiting.live) == (job.run, server.url, True) and waiting.calls == 2
    with serving(home, "--port", port) as back:
        until(lambda: not spool.listed(kept)[0].calls, "the job itself sends what it kept", 60)
        job.do("log again")
        job.do("finish")
        job.end()
        is_whole(back, job.run, 400)
        assert spool.listed(kept) == []


@pytest.mark.slow
def test_a_run_that_begins_and_ends_while_the_server_is_away(
    tmp_path: Path, port: int, kept: Path, jobs: list[Job]
) -> None:
    url = f"http://127.0.0.1:{port}"
    job = Job(url, tmp_path)
    jobs.append(job)
    job.do("log")
    job.do("finish")
    job.end()
    assert job.process.returncode == 0
    with serving(tmp_path / "home", "--port", port) as server:
        client = current.connect(url=url)  # the next program that connects sends it
        until(lambda: not list(kept.glob("*.spool")), "all is sent")
        is_whole(server, job.run, 100)
        run = client.call("run.get", run=job.run)
        assert run.started <= run.ended < server.call("experiment.make", name="later")["made"]
        current.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_killed_every_kept_call_arrives_once(
    tmp_path: Path, port: int, kept: Path, jobs: list[Job], seed: int
) -> None:
    """The server in the middle of a job, the job, every sender, and the server again while it is sent to."""
    dice = random.Random(seed)
    home, url = tmp_path / "home", f"http://127.0.0.1:{port}"
    server = start(home, "--port", port)
    done, dead = Job(url, tmp_path), Job(url, tmp_path)
    jobs += [done, dead]
    for turn in range(3):
        done.do(f"log {turn}")
        dead.do(f"log {turn}")
        if turn == seed:
            server.stop(signal.SIGKILL)
    done.do("finish")
    done.end()
    dead.end(kill=True)
    for _ in range(6):
        server = start(home, "--port", port)
        sender = sent(url, kept)
        with suppress(subprocess.TimeoutExpired):
            sender.wait(dice.uniform(0.2, 0.6))
        if dice.random() < 0.5:
            sender.kill()
        server.stop(signal.SIGKILL)
        sender.kill()
        sender.wait()
    with serving(home, "--port", port) as last:
        assert sent(url, kept).wait(60) == 0
        is_whole(last, done.run, 300)
        series = last.call("run.metrics", run=dead.run, key="loss")
        assert series["step"] == list(range(300)) and last.call("run.get", run=dead.run)["state"] == "running"
        assert list(kept.glob("*.spool")) == [] and list(kept.glob("*.refused")) == []
        assert last.call("audit.verify")["facts"] > 0


def millrace(*arguments: str) -> tuple[int, str, str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(*arguments), env=environ, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_command_line_lists_and_sends(tmp_path: Path, port: int, kept: Path) -> None:
    url = f"http://127.0.0.1:{port}"
    client = connect(url)
    with mr.run("demand", client=client) as run:
        run.log(loss=1.0)
    listed = json.loads(millrace("spool", "list", "--json")[1])
    assert [(one["run"], one["home"], one["calls"], one["live"]) for one in listed] == [(run.id, url, 3, False)]
    code, _, told = millrace("--url", url, "spool", "send")
    assert code == 1 and "error[server.unreachable]" in told
    with serving(tmp_path / "home", "--port", port) as server:
        assert json.loads(millrace("--url", url, "spool", "send", "--json")[1]) == {"taken": 3, "refused": 0}
        assert server.call("run.get", run=run.id)["state"] == "finished"
    assert millrace("spool", "list", "--json")[1] == "[]\n"


@pytest.mark.slow
def test_what_the_server_refuses_for_good_is_kept_beside(tmp_path: Path, port: int, kept: Path) -> None:
    client = connect(f"http://127.0.0.1:{port}")
    run = mr.run("demand", client=client)
    run.log(loss=1.0)
    run.flush()
    run.tag(**{"no good\n": "1"})
    run.params(depth=1).params(depth=2)
    run.finish()
    with serving(tmp_path / "home", "--port", port) as server:
        done = spool.send_all(client, kept)
        assert done.refused == 2
        assert server.call("run.get", run=run.id)["params"] == {"depth": 1}
    told = [json.loads(line) for line in (kept / f"{run.id}.refused").read_text().splitlines()]
    assert [one["code"] for one in told] == ["name.invalid", "run.param"]


def test_what_is_torn_was_never_kept(tmp_path: Path) -> None:
    held = spool.Spool(tmp_path, spool.Head("http://there", "main", "r"))
    held.append("k1", "run.log", {"run": "r"})
    with held.path.open("ab") as out:
        out.write(b'{"key":"k2","op":"run.l')
    head, lines = spool.read(held.path, 0)
    assert head.run == "r" and [call.key for call, _ in lines] == ["k1"]
    assert spool.read(held.path, lines[0][1])[1] == []
    held.close()


@pytest.mark.slow
def test_a_spool_that_cannot_be_written_says_so(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MILLRACE_SPOOL", str(tmp_path / "file"))
    with pytest.raises(MillraceError) as caught:
        mr.run("demand", client=connect(f"http://127.0.0.1:{port}"))
    assert caught.value.code == "spool.unwritable"


@pytest.mark.slow
def test_a_run_has_the_id_and_the_times_that_its_program_says(embedded: Client) -> None:
    with mr.run("demand") as run:
        pass
    id = tracking.Ids().new()
    begun = embedded.call("run.start", experiment="demand", id=id, at=run.record.started - 1_000_000)
    assert (begun.id, begun.started) == (id, run.record.started - 1_000_000)
    assert embedded.call("run.start", experiment="demand", id=id).started == begun.started
    over = embedded.call("run.finish", run=id, at=begun.started - 5)
    assert over.ended == begun.started
    later = embedded.call("run.start", experiment="demand", at=1 << 60)
    assert later.started < 1 << 60
    for wrong in ("x", "0" * 27, "u" * 26):
        with pytest.raises(MillraceError) as caught:
            embedded.call("run.start", experiment="demand", id=wrong)
        assert caught.value.code == "request.invalid"
    with pytest.raises(MillraceError) as taken:
        embedded.call("run.start", experiment="elsewhere", id=id)
    assert taken.value.code == "idempotency.mismatch"
