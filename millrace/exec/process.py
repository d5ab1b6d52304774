"""Runs work in child processes of this machine: submit, wait, cancel.

The platform talks to one warm parent (`millrace.exec.parent`), started at the first work and again if it is lost.
Work is done at least once by whoever submits again after a loss; what a child answers is only bytes in its folder and
blobs in the store, so nothing it does can be seen before the submitter commits it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from millrace.base.errors import MillraceError
from millrace.base.folders import PRIVATE_FOLDER, make_private
from millrace.exec import wire
from millrace.exec.child import WORDS
from millrace.exec.records import Cancel, Ended, Outcome, Told, Trouble, Work

_KEEP_OUT = ("MILLRACE_TOKEN", "MILLRACE_CATALOG")
_MOST_WARM = 400
_START = (
    "import sys\ntry:\n    import millrace\nexcept ImportError:\n    sys.path.append(sys.argv[2])\n"
    "from millrace.exec.parent import main\nmain(int(sys.argv[1]), sys.argv[3:])"
)


class Handle:
    """Work under way. All methods are safe from any thread."""

    def __init__(self, owner: Processes, work: Work) -> None:
        self.work = work
        self._owner = owner
        self.pipe: socket.socket | None = None
        self._telling = threading.Lock()
        self._tell: Callable[[], None] | None = None
        self._over = threading.Event()
        self._outcome: Outcome | None = None

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """The outcome, or None if the time is over first."""
        self._over.wait(timeout_s)
        return self._outcome

    def cancel(self, grace_s: float = 5.0) -> None:
        """Ask the work to end, and end it after `grace_s`. Does nothing to work that has ended."""
        self._owner.send(Cancel(self.work.id, grace_s))

    def then(self, tell: Callable[[], None]) -> None:
        """Call `tell` once the work is over, from some thread; at once if it is over already. At most one may wait."""
        with self._telling:
            self._tell = tell
            over = self._over.is_set()
        if over:
            tell()

    def end(self, outcome: Outcome) -> None:
        with self._telling:
            self._outcome = outcome
            self._over.set()
            tell = self._tell
        if tell is not None:
            tell()


class Processes:
    """The children of one platform. All methods are safe from any thread."""

    def __init__(self, folder: Path, warm: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._warm = dict.fromkeys(warm)
        self._lock = threading.Lock()
        self._parent: subprocess.Popen[bytes] | None = None
        self._pipe: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._under_way: dict[str, Handle] = {}
        self._closed = False

    def submit(self, id: str, call: str, ask: Any, log: Path, code: tuple[Path, ...] = (), **bounds: Any) -> Handle:
        """Start work; its handle. `bounds` are `seed`, `timeout_s`, `memory_mb` and `log_mb` of `Work`.

        Errors: `server.stopping` after `close`.
        """
        place = self.folder / id
        make_private(place.parent)
        place.mkdir(PRIVATE_FOLDER)
        make_private(log.parent)
        with self._lock:
            if self._closed:
                shutil.rmtree(place, ignore_errors=True)
                raise MillraceError("server.stopping", "the platform is closing", "open it again: runs are resumed")
            raw = msgspec.Raw(msgspec.json.encode(ask))
            folders = tuple(str(folder) for folder in code)
            work = Work(id, call, raw, str(place), str(log), folders, **bounds, warm=tuple(self._warm))
            handle = Handle(self, work)
            self._under_way[id] = handle
            for _ in range(2):  # a parent that died unseen is found out by the first try
                handle.pipe = self._ready()
                try:
                    wire.send(handle.pipe, work)
                    return handle
                except OSError:
                    self._drop_parent()
            self._under_way.pop(id, None)
        shutil.rmtree(place, ignore_errors=True)
        handle.end(_lost("the process that starts steps does not stay up"))
        return handle

    def send(self, message: Cancel) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._pipe is not None and message.id in self._under_way:
                wire.send(self._pipe, message)

    @property
    def pid(self) -> int | None:
        """The warm parent's process id, if it is up."""
        parent = self._parent
        return parent.pid if parent is not None and parent.poll() is None else None

    def close(self) -> None:
        """End every child, then the parent. Safe to call twice."""
        with self._lock:
            self._closed = True
            reader, parent = self._reader, self._parent
            if self._pipe is not None:
                with contextlib.suppress(OSError):
                    self._pipe.shutdown(socket.SHUT_RDWR)
        if reader is not None:
            reader.join()
        if parent is not None:
            parent.wait()

    def _ready(self) -> socket.socket:
        if self._pipe is None:
            ours, theirs = socket.socketpair()
            environment = {key: value for key, value in os.environ.items() if key not in _KEEP_OUT}
            environment |= {"PYTHONHASHSEED": "0", "MILLRACE_STEP": "1"}
            # A processor is left to serving. Threads that wait for each other wake fast or not at all: waiting without
            # a spin makes two threads of boosted trees three times slower than one, spinning for long ten times the
            # CPU as soon as somebody else wants the processors.
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) - 1)))
            environment.setdefault("GOMP_SPINCOUNT", "5000")
            root = str(Path(__file__).parents[2])
            with theirs:
                self._parent = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START, str(theirs.fileno()), root, *self._warm],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            self._pipe = ours
            self._reader = threading.Thread(
                target=self._read, args=(ours, self._parent), name="millrace-steps", daemon=True
            )
            self._reader.start()
        return self._pipe

    def _drop_parent(self) -> None:
        if self._parent is not None:
            self._parent.send_signal(signal.SIGKILL)
        self._pipe = None

    def _read(self, pipe: socket.socket, parent: subprocess.Popen[bytes]) -> None:
        """Hand over what ended until the parent is gone, then everything it had is lost."""
        inbox = wire.Inbox()
        with pipe:
            while True:
                try:
                    piece = pipe.recv(1 << 16)
                except OSError:
                    piece = b""
                if not piece:
                    break
                for message in inbox.feed(piece):
                    self._ended(msgspec.json.decode(message, type=Ended))
        if parent.wait() != 0:  # it did not end its children itself
            _end_session(parent.pid)
        with self._lock:
            if self._pipe is pipe:
                self._pipe = None
            orphans = [handle for handle in self._under_way.values() if handle.pipe is pipe]
            for handle in orphans:
                del self._under_way[handle.work.id]
        for handle in orphans:
            shutil.rmtree(handle.work.folder, ignore_errors=True)
            handle.end(_lost("the process that starts steps was killed", blameless=True))

    def _ended(self, ended: Ended) -> None:
        with self._lock:
            handle = self._under_way.pop(ended.id, None)
        if handle is None:
            return
        told = _words(Path(handle.work.folder) / WORDS)
        shutil.rmtree(handle.work.folder, ignore_errors=True)
        if told is not None:
            with self._lock:
                for name in told.loaded[: _MOST_WARM - len(self._warm)]:
                    self._warm[name] = None
        handle.end(outcome(handle.work, ended, told))


def _end_session(leader: int) -> None:
    """Kill what a lost parent's steps had started: all of it is in the session that the parent led."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(place.name), signal.SIGKILL)


def outcome(work: Work, ended: Ended, told: Told | None) -> Outcome:
    """What an end means. A child that had said its last words before it was ended has done its work."""
    return msgspec.structs.replace(_meaning(work, ended, told), cpu_s=ended.cpu_s, peak_mb=ended.peak_mb)


def _meaning(work: Work, ended: Ended, told: Told | None) -> Outcome:
    if told is not None and told.trouble is None:
        return Outcome("done", told.answer)
    if ended.because == "cancelled":
        return Outcome("cancelled")
    if ended.because == "timeout":
        message = f"it was still running after {work.timeout_s:g} s"
        hint = "its log ends with where it hung; raise timeout_s if it needs longer"
        return Outcome("timeout", trouble=Trouble("step.timeout", message, hint))
    if ended.because == "log":
        message = f"its log grew beyond its bound of {work.log_mb} MB"
        hint = "print less, or raise the setting step_log_mb; its log is kept up to the bound"
        return Outcome("log", trouble=Trouble("step.log", message, hint))
    over = told is not None and told.trouble is not None and told.trouble.code == "step.memory"
    aborted = told is None and -ended.code in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)
    if over or (aborted and work.memory_mb and ended.peak_mb > 0.5 * work.memory_mb):
        bound = f"its bound of {work.memory_mb} MB" if work.memory_mb else "what the machine has"
        trouble = Trouble("step.memory", f"it wanted more memory than {bound}", "raise memory_mb, or work in parts")
        return Outcome("memory", trouble=trouble)
    if told is not None:
        return Outcome("raised", trouble=told.trouble)
    name = signal.Signals(-ended.code).name if ended.code < 0 else f"exit code {ended.code}"
    return _lost(f"its process ended with {name}")


def _lost(message: str, blameless: bool = False) -> Outcome:
    trouble = Trouble("step.lost", message, "run it again; look at the machine's memory and log")
    return Outcome("lost", trouble=trouble, blameless=blameless)


def _words(place: Path) -> Told | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None
