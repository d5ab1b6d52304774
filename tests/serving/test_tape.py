"""A tape loses no acknowledged frame and shows no half one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.serving.tape import Tape, grows, read
from tests.tidy.source import ROOT


def test_frames_come_back_in_order(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "a.tape")
    tape.append([b"one", b""])
    frames = tape.append([b"two"])
    tape.close()
    assert [frame.body for frame in read(tape.path)] == [b"one", b"", b"two"]
    assert [frame.body for frame in read(tape.path, frames[0].start)] == [b"two"]


def test_trying_whether_there_is_room_leaves_nothing_and_what_a_kill_leaves_of_it_is_torn(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "a.tape")
    tape.append([b"one"])
    for room in (0, 1, 7, 8, 9, 100_000):
        tape.check(room)
        assert tape.path.stat().st_size == tape.size
        whole = tape.path.read_bytes()
        left = tmp_path / f"left{room}.tape"
        left.write_bytes(whole + b"\xff" * room)
        assert [frame.body for frame in read(left)] == [b"one"]
    tape.append([b"two"])
    tape.close()
    assert [frame.body for frame in read(tape.path)] == [b"one", b"two"]


@given(bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=6), data=st.data())
def test_a_torn_tail_is_left_out(
    bodies: list[bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tape = Tape(tmp_path_factory.mktemp("tape") / "a.tape")
    ends = [frame.end for frame in tape.append(bodies)]
    tape.close()
    cut = data.draw(st.integers(0, ends[-1]))
    os.truncate(tape.path, cut)
    whole = sum(end <= cut for end in ends)
    assert [frame.body for frame in read(tape.path)] == bodies[:whole]


@given(body=st.binary(min_size=1, max_size=40), data=st.data())
def test_a_changed_byte_is_seen(body: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    tape = Tape(tmp_path_factory.mktemp("tape") / "a.tape")
    tape.append([b"before", body])
    tape.close()
    written = bytearray(tape.path.read_bytes())
    place = data.draw(st.integers(len(written) - len(body), len(written) - 1))
    written[place] ^= 1
    tape.path.write_bytes(written)
    assert [frame.body for frame in read(tape.path)] == [b"before"]


def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from millrace.serving.tape import Tape\n"
        f"tape = Tape(Path({str(tmp_path / 'a.tape')!r}))\n"
        "for number in range(10**9):\n"
        "    tape.append([b'x' * 50, str(number).encode()]); print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == 200:
            break
    assert grows(tmp_path / "a.tape")
    child.send_signal(signal.SIGKILL)
    acknowledged = [int(line) for line in child.stdout if line.endswith("\n")] or [200]
    child.wait()
    kept = [int(frame.body) for frame in read(tmp_path / "a.tape") if not frame.body.startswith(b"xx")]
    assert kept[: acknowledged[-1] + 1] == list(range(acknowledged[-1] + 1))
    assert not grows(tmp_path / "a.tape")
