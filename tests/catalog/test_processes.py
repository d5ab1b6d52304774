"""Several processes on one SQLite catalog, several servers on one PostgreSQL: one chain, and keys that act once."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.testing.home import fresh_platform
from millrace.testing.server import serving, until

PROGRAM = """
import sys
from millrace.assemble import open_platform
platform = open_platform(sys.argv[1])
made = 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    platform.call("experiment.make", {"name": f"{sys.argv[2]}-{number}"})
    platform.call("experiment.make", {"name": f"shared-{number}"}, key=f"k{number}")
    print(number, flush=True)
platform.close()
"""


def started(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), name, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_processes_share_one_chain_and_one_is_killed(tmp_path: Path) -> None:
    platform = fresh_platform(tmp_path / "home")
    writers = [started(tmp_path / "home", name, 20) for name in "ab"]
    victim = started(tmp_path / "home", "v", 10_000)
    for process in (*writers, victim):
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert victim.stdout is not None
    told = [int(victim.stdout.readline()) for _ in range(5)]
    os.kill(victim.pid, signal.SIGKILL)
    told += [int(line) for line in victim.stdout.read().splitlines()]
    victim.wait()
    assert [process.wait(60) for process in writers] == [0, 0]
    names = [e.name for e in platform.call("experiment.list").items]
    facts = platform.call("audit.verify").facts
    platform.close()
    assert facts == 1 + len(names)
    assert {f"{name}-{number}" for name in "ab" for number in range(20)} <= set(names)
    assert {f"v-{number}" for number in told} <= set(names), "what was answered is there"
    assert sum(name.startswith("v-") for name in names) <= len(told) + 1
    for process in (*writers, victim):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


@pytest.mark.slow
def test_two_servers_on_one_postgres(tmp_path: Path, postgres_url: str) -> None:
    environ = {"MILLRACE_CATALOG": postgres_url}
    with (
        serving(tmp_path / "one", environ=environ) as one,
        serving(tmp_path / "two", "--workers", 2, environ=environ) as two,
        concurrent.futures.ThreadPoolExecutor(8) as pool,
    ):
        both = (one, two)

        def make(number: int) -> bytes:
            name = f"e{number // 4}"
            return both[number % 2].post("experiment.make", {"name": name}, Idempotency_Key=name).body

        answers = list(pool.map(make, range(80)))
        assert len({answers[i] for i in range(80)}) == 20, "the same key answers the same, whoever is asked"
        for server in both:
            assert len(server.call("experiment.list")["items"]) == 20
            assert server.call("audit.verify")["facts"] == 21
        secret = one.call("token.make", actor="local")["secret"]
        mine = {"Authorization": f"Bearer {secret}"}
        assert two.post("experiment.list", {}, **mine).status == 200
        one.post("token.revoke", {"id": secret.split("_")[1]})
        assert two.post("experiment.list", {}, **mine).json["code"] == "token.invalid"
        one.call("experiment.make", name="last")
        until(lambda: two.call("loop.standing")["dealt"] == 24, "the loops have dealt with every fact")
    assert "Traceback" not in one.log + two.log
