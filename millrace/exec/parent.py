"""The warm parent: a process with one thread that has the common libraries loaded and forks a child for each work.

It ends each child's whole process group when the child ends, when its time is over, when its log is too long and when
it is cancelled. On Linux it also ends what left that group: orphans of a child become this process's own. When the
platform is gone it ends everything and itself; when it is gone itself, the system ends its children.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path

import msgspec

from millrace.base.memory import few_arenas
from millrace.exec import child, wire
from millrace.exec.records import Because, Ended, Message, Work

_AFTER_TIMEOUT_S = 1.0
_LOOK_S = 0.1  # how often the logs of those with a bound are looked at
_ROUNDS = 100


class _Child:
    """A running child. `ends` is when it is told to end, `killed` when it is made to."""

    def __init__(self, work: Work, now: float) -> None:
        self.id = work.id
        self.ends = now + work.timeout_s if work.timeout_s else float("inf")
        self.killed = float("inf")
        self.because: Because = ""
        self._log = Path(work.log)
        self._log_mb = work.log_mb
        self.looked = now + _LOOK_S if work.log_mb else float("inf")

    @property
    def next(self) -> float:
        return min(self.ends, self.killed, self.looked)

    def floods(self) -> bool:
        """Whether its log is beyond its bound."""
        with contextlib.suppress(OSError):
            return bool(self._log_mb) and self._log.stat().st_size > self._log_mb << 20
        return False

    def cut(self) -> None:
        """Keep its log up to the bound, with a last line that says so."""
        if self.floods():
            with contextlib.suppress(OSError), self._log.open("r+b") as file:
                file.truncate(self._log_mb << 20)
                file.seek(0, os.SEEK_END)
                file.write(b"\n[the log was cut here, at its bound of %d MB]\n" % self._log_mb)


class Parent:
    """Serves one platform over a socket until the other side closes it."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._inbox = wire.Inbox()
        self._children: dict[int, _Child] = {}
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            try:
                while self._turn(selector):
                    pass
            finally:
                for pid in self._children:
                    _signal(pid, signal.SIGKILL)
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, 0)
                self._children.clear()
                self._end_orphans()

    def _turn(self, selector: selectors.BaseSelector) -> bool:
        soonest = min((one.next for one in self._children.values()), default=float("inf"))
        wait = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
        for key, _ in selector.select(wait):
            if key.fileobj is self._pipe:
                piece = self._pipe.recv(1 << 16)
                if not piece:
                    return False
                for message in self._inbox.feed(piece):
                    self._take(msgspec.json.decode(message, type=Message))
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4_096)
        self._reap()
        self._expire(time.monotonic())
        return True

    def _take(self, message: Message) -> None:
        if isinstance(message, Work):
            for name in message.warm:
                with contextlib.suppress(Exception):
                    import_module(name)
            self._fork(message)
            return
        for pid, one in self._children.items():
            if one.id == message.id and not one.because:
                self._tell_to_end(pid, one, "cancelled", message.grace_s)

    def _fork(self, work: Work) -> None:
        gc.freeze()  # keeps a child's collections from copying what it shares with this process
        me = os.getpid()
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            self._children[pid] = _Child(work, time.monotonic())
            return
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._wake, self._woken, self._pipe.detach()):
                os.close(end)
            child.live(work, me)
        finally:
            os._exit(child.BROKEN)

    def _reap(self) -> None:
        """Tell of each child that has ended, after its process group has ended too."""
        for pid in list(self._children):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _signal(pid, signal.SIGKILL)  # whatever it left behind, while its id cannot be another's
            self._end_orphans()
            _, status, used = os.wait4(pid, 0)
            one = self._children.pop(pid)
            one.cut()
            peak_mb = used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
            code = os.waitstatus_to_exitcode(status)
            wire.send(self._pipe, Ended(one.id, code, one.because, used.ru_utime + used.ru_stime, peak_mb))

    def _end_orphans(self) -> None:
        """End what ended children left behind. A running one keeps its own orphans, so any other child is such."""
        for _ in range(_ROUNDS):  # each round may bring the orphans of the last one's
            orphans = [pid for pid in _children_of(os.getpid()) if pid not in self._children]
            if not orphans:
                return
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, PermissionError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _expire(self, now: float) -> None:
        for pid, one in self._children.items():
            if now >= one.killed:
                _signal(pid, signal.SIGKILL)
                one.killed = now + 1.0
            elif now >= one.ends and not one.because:
                self._tell_to_end(pid, one, "timeout", _AFTER_TIMEOUT_S)
            elif now >= one.looked:
                one.looked = now + _LOOK_S
                if one.floods():
                    one.because = one.because or "log"
                    _signal(pid, signal.SIGKILL)

    def _tell_to_end(self, pid: int, one: _Child, because: Because, grace_s: float) -> None:
        one.because = because
        one.ends = float("inf")
        one.killed = time.monotonic() + grace_s
        _signal(pid, signal.SIGTERM)


def _signal(pid: int, number: int) -> None:
    """Signal a child's process group, and the child itself while it has not made its group yet."""
    for act in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            act(pid, number)


def _children_of(pid: int) -> list[int]:
    """The children of a process; none where the system has no /proc."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(place.name))
    return found


def main(pipe: int, warm: list[str]) -> None:
    """Serve the platform at the other end of the descriptor `pipe`, with the modules `warm` loaded."""
    few_arenas()
    child.adopt()
    for name in warm:
        with contextlib.suppress(ImportError):
            import_module(name)
    with socket.socket(fileno=pipe) as end, contextlib.suppress(OSError):
        Parent(end).serve()
