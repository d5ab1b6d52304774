"""The warm parent: a process with one thread that has the common libraries loaded and forks a child for each work.

It ends each child's whole process group when the child ends, when its time is over and when it is cancelled. When the
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
from typing import Literal

import msgspec

from millrace.base.memory import few_arenas
from millrace.exec import child, wire
from millrace.exec.records import Ended, Message, Work

_AFTER_TIMEOUT_S = 1.0


class _Child:
    """A running child. `ends` is when it is told to end, `killed` when it is made to."""

    def __init__(self, work: Work, now: float) -> None:
        self.id = work.id
        self.ends = now + work.timeout_s if work.timeout_s else float("inf")
        self.killed = float("inf")
        self.because: Literal["", "timeout", "cancelled"] = ""

    @property
    def next(self) -> float:
        return min(self.ends, self.killed)


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
            _, status, used = os.wait4(pid, 0)
            one = self._children.pop(pid)
            peak_mb = used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
            code = os.waitstatus_to_exitcode(status)
            wire.send(self._pipe, Ended(one.id, code, one.because, used.ru_utime + used.ru_stime, peak_mb))

    def _expire(self, now: float) -> None:
        for pid, one in self._children.items():
            if now >= one.killed:
                _signal(pid, signal.SIGKILL)
                one.killed = now + 1.0
            elif now >= one.ends and not one.because:
                self._tell_to_end(pid, one, "timeout", _AFTER_TIMEOUT_S)

    def _tell_to_end(self, pid: int, one: _Child, because: Literal["timeout", "cancelled"], grace_s: float) -> None:
        one.because = because
        one.ends = float("inf")
        one.killed = time.monotonic() + grace_s
        _signal(pid, signal.SIGTERM)


def _signal(pid: int, number: int) -> None:
    """Signal a child's process group, and the child itself while it has not made its group yet."""
    for act in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            act(pid, number)


def main(pipe: int, warm: list[str]) -> None:
    """Serve the platform at the other end of the descriptor `pipe`, with the modules `warm` loaded."""
    few_arenas()
    for name in warm:
        with contextlib.suppress(ImportError):
            import_module(name)
    with socket.socket(fileno=pipe) as end, contextlib.suppress(OSError):
        Parent(end).serve()
