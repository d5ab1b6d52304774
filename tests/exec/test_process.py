"""Real children: answers, faults, bounds, cancelling, and the loss of a child, the parent or the platform."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millrace.exec.process import Handle, Processes, outcome
from millrace.exec.records import Ended, Outcome, Told, Trouble, Work

ACTS = """
import os, shutil, signal, subprocess, sys, time
from pathlib import Path
from millrace.base.errors import MillraceError

def double(n: int) -> dict:
    print("doubling", n)
    return {"n": 2 * n}

def fails(why: str) -> None:
    raise ValueError(why)

def refuses(why: str) -> None:
    raise MillraceError("frame.empty", why, "add rows")

def lists(_: int) -> None:
    raise ValueError("caf\\udce9")

def refuses_badly(_: int) -> None:
    raise MillraceError("frame.empty", "caf\\udce9", "add rows to caf\\udce9")

class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

def is_mute(_: int) -> None:
    raise Mute

def removes(why: str) -> None:
    shutil.rmtree(os.getcwd())
    if why:
        raise ValueError(why)

def leaves(code: int) -> None:
    sys.exit(code)

def hangs(pid: str) -> None:
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid).write_text(f"{os.getpid()} {grandchild.pid}")
    while True:
        time.sleep(600)

def ignores(pid: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hangs(pid)

def floods(line: str) -> None:
    while True:
        print(line)

def daemon(pid: str) -> int:
    ready, told = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(pid).write_text(str(os.getpid()))
            os.closerange(0, 256)
            time.sleep(600)
        os._exit(0)
    os.close(told)
    return len(os.read(ready, 1))

def waits(pid: str) -> int:
    daemon(pid)
    while True:
        time.sleep(600)

def eats(mb: int) -> int:
    return len(bytearray(mb << 20))

def dies(how: int) -> None:
    os.kill(os.getpid(), how)

def threads(_: int) -> list:
    return sorted(name for name in sys.modules if name.startswith("sklearn"))[:1]

def environment(_: int) -> list:
    return [os.getcwd(), "MILLRACE_TOKEN" in os.environ, sys.stdin.read()]

def notes(why: str) -> None:
    fault = ValueError(why)
    fault.add_note("look there")
    raise fault
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "acts.py").write_text(ACTS)
    return folder


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "steps")
    yield made
    made.close()
    end_started(tmp_path)


def end_started(folder: Path) -> None:
    """Whatever a test found out, nothing that it started outlives it."""
    place = folder / "pid"
    for pid in place.read_text().split() if place.exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


Start = Callable[..., Handle]


@pytest.fixture
def start(processes: Processes, code: Path, tmp_path: Path) -> Start:
    count = iter(range(1_000))

    def submit(act: str, ask: Any, **bounds: Any) -> Handle:
        name = f"w{next(count)}"
        return processes.submit(name, f"acts:{act}", ask, tmp_path / "logs" / name, (code,), **bounds)

    return submit


def until(true: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = true()
        if found:
            return found
        time.sleep(0)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def ended(handle: Handle) -> Outcome:
    found = handle.wait(60)
    assert found is not None, "the work did not end"
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(place: Path) -> list[int]:
    text = until(lambda: place.exists() and place.read_text(), "the child's start")
    return [int(pid) for pid in text.split()]


def test_it_answers_and_its_output_is_in_the_log(start: Start, tmp_path: Path) -> None:
    handles = [start("double", n) for n in range(5)]
    assert [msgspec.json.decode(ended(h).answer) for h in handles] == [{"n": 2 * n} for n in range(5)]
    assert [h.wait().state for h in handles] == ["done"] * 5  # type: ignore[union-attr]
    assert (tmp_path / "logs" / "w3").read_text() == "doubling 3\n"
    assert list((tmp_path / "steps").iterdir()) == []


def test_it_works_in_a_folder_of_its_own_without_secrets(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_TOKEN", "secret")
    folder, secret, read = msgspec.json.decode(ended(start("environment", 0)).answer)
    assert (Path(folder).parent, secret, read) == (tmp_path / "steps", False, "")


@pytest.mark.parametrize(
    ("act", "ask", "trouble"),
    [
        ("fails", "no", Trouble("step.raised", "ValueError: no", "acts.py:11, in fails: raise ValueError(why)")),
        ("refuses", "nothing", Trouble("frame.empty", "nothing", "add rows")),
        (
            "lists", 0,
            Trouble("step.raised", r"ValueError: caf\udce9", r'acts.py:17, in lists: raise ValueError("caf\udce9")'),
        ),
        ("refuses_badly", 0, Trouble("frame.empty", r"caf\udce9", r"add rows to caf\udce9")),
        (
            "is_mute", 0,
            Trouble("step.raised", "Mute: its text cannot be told: RuntimeError", "acts.py:27, in is_mute: raise Mute"),
        ),
        ("removes", "no", Trouble("step.raised", "ValueError: no", "acts.py:32, in removes: raise ValueError(why)")),
        ("leaves", 0, Trouble("step.raised", "SystemExit: 0", "acts.py:35, in leaves: sys.exit(code)")),
        ("notes", "no", Trouble("step.raised", "ValueError: no", "acts.py:83, in notes: raise fault; look there")),
    ],
)  # fmt: skip
def test_what_is_raised_is_told(start: Start, tmp_path: Path, act: str, ask: Any, trouble: Trouble) -> None:
    found = ended(start(act, ask))
    assert (found.state, found.trouble) == ("raised", trouble)
    assert "Traceback" in (tmp_path / "logs" / "w0").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("act", ["hangs", "ignores"])
def test_a_hanging_one_is_ended_with_all_it_started(start: Start, tmp_path: Path, act: str) -> None:
    found = ended(start(act, str(tmp_path / "pid"), timeout_s=1))
    assert found.state == "timeout" and found.trouble is not None and found.trouble.code == "step.timeout"
    for pid in pids(tmp_path / "pid"):
        until(lambda pid=pid: not alive(pid), "the end of the process group")
    if act == "hangs":
        assert "in hangs" in (tmp_path / "logs" / "w0").read_text()


@pytest.mark.parametrize("act", ["hangs", "ignores"])
def test_it_can_be_cancelled(start: Start, tmp_path: Path, act: str) -> None:
    handle = start(act, str(tmp_path / "pid"))
    started = pids(tmp_path / "pid")
    handle.cancel(0.2)
    assert ended(handle).state == "cancelled"
    until(lambda: not any(alive(pid) for pid in started), "the end of the process group")


def test_memory_beyond_the_bound_has_a_code_of_its_own(start: Start) -> None:
    assert ended(start("eats", 50, memory_mb=200)).state == "done"
    found = ended(start("eats", 500, memory_mb=200))
    assert found.state == "memory" and found.trouble is not None
    assert found.trouble.code == "step.memory" and "200 MB" in found.trouble.message


def test_a_log_beyond_the_bound_is_cut_and_has_a_code_of_its_own(start: Start, tmp_path: Path) -> None:
    found = ended(start("floods", "x" * 999, log_mb=2))
    assert found.state == "log" and found.trouble is not None
    assert found.trouble.code == "step.log" and "2 MB" in found.trouble.message
    log = (tmp_path / "logs" / "w0").read_text()
    assert log.startswith("x" * 999 + "\n")
    assert log[2 << 20 :] == "\n[the log was cut here, at its bound of 2 MB]\n"


def test_a_log_below_its_bound_is_whole(start: Start, tmp_path: Path) -> None:
    assert ended(start("double", 4, log_mb=2)).state == "done"
    assert (tmp_path / "logs" / "w0").read_text() == "doubling 4\n"


def test_what_left_its_session_ends_with_the_step(start: Start, tmp_path: Path) -> None:
    assert ended(start("daemon", str(tmp_path / "pid"))).state == "done"
    assert not any(alive(pid) for pid in pids(tmp_path / "pid"))


def test_what_left_its_session_stays_while_its_step_runs(start: Start, tmp_path: Path) -> None:
    running = start("waits", str(tmp_path / "pid"))
    daemon = pids(tmp_path / "pid")
    assert ended(start("double", 4)).state == "done"
    assert all(alive(pid) for pid in daemon)
    running.cancel(0.2)
    assert ended(running).state == "cancelled"
    assert not any(alive(pid) for pid in daemon)


def test_closing_ends_what_left_its_session(start: Start, processes: Processes, tmp_path: Path) -> None:
    start("waits", str(tmp_path / "pid"))
    daemon = pids(tmp_path / "pid")
    processes.close()
    assert not any(alive(pid) for pid in daemon)


def test_one_that_removed_its_own_folder_has_its_answer(start: Start) -> None:
    assert ended(start("removes", "")).state == "done"


def test_a_killed_one_is_lost(start: Start) -> None:
    found = ended(start("dies", int(signal.SIGKILL)))
    assert found.state == "lost" and found.trouble is not None
    assert (found.trouble.code, found.trouble.message) == ("step.lost", "its process ended with SIGKILL")


def test_a_killed_parent_loses_its_children_and_is_replaced(start: Start, processes: Processes, tmp_path: Path) -> None:
    handle = start("hangs", str(tmp_path / "pid"))
    started = pids(tmp_path / "pid")
    before = processes.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    assert ended(handle).state == "lost"
    until(lambda: not any(alive(pid) for pid in started), "the end of the child and of what it started")
    assert ended(start("double", 4)).state == "done"
    assert processes.pid not in (None, before)


def test_closing_ends_everything(start: Start, processes: Processes, tmp_path: Path) -> None:
    handle = start("hangs", str(tmp_path / "pid"))
    started = pids(tmp_path / "pid")
    processes.close()
    assert ended(handle).state == "lost"
    assert processes.pid is None
    until(lambda: not any(alive(pid) for pid in started), "the end of the child and of what it started")


def test_nothing_outlives_a_killed_platform(code: Path, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from millrace.exec.process import Processes
made = Processes(Path({str(tmp_path / "steps")!r}))
log, code = Path({str(tmp_path / "log")!r}), Path({str(code)!r})
handle = made.submit("w", "acts:hangs", {str(tmp_path / "pid")!r}, log, (code,))
handle.wait()
"""
    platform = subprocess.Popen([sys.executable, "-c", program])
    try:
        started = pids(tmp_path / "pid")
        platform.kill()
        platform.wait()
        until(lambda: not any(alive(pid) for pid in started), "the end of what the platform started")
        assert not any(alive(pid) for pid in started)
    finally:
        platform.kill()
        platform.wait()
        end_started(tmp_path)


def test_last_words_count_even_if_the_end_came_late() -> None:
    work = Work("w", "a:b", msgspec.Raw(b"1"), "", "", timeout_s=1)
    late = Ended("w", -9, "timeout", 1.0, 1.0)
    assert outcome(work, late, Told(msgspec.Raw(b"2"))).state == "done"
    assert outcome(work, late, None).state == "timeout"
    assert outcome(work, Ended("w", -9, "cancelled", 1.0, 1.0), None).state == "cancelled"
