"""The platform of a forked child whose parent has that platform inside itself.

Neither the connections of the parent's catalog survive a fork, nor would new ones to the same file: SQLite remembers a
process's locks in the process, and the child's memory of them is the parent's. So the child asks a process of its own,
which opens the platform at the first call and ends with the child.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from millrace.base.config import Config
from millrace.base.errors import MillraceError

_START = "import sys; sys.path[:] = sys.argv[2:]; from millrace.sdk.beside import main; main(int(sys.argv[1]))"


class Beside:
    """A process with a platform; safe from any thread, one call at a time."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._wire: Connection | None = None

    def ask(self, op: str, body: bytes, workspace: str, key: str) -> bytes:
        """A verb's answer, in JSON. Errors: the verb's; `server.unreachable` when the process is gone."""
        with self._lock:
            if self._wire is None:
                self._wire = self._started()
            try:
                self._wire.send((op, body, workspace, key))
                answer = self._wire.recv()
            except (OSError, EOFError) as fault:
                self._wire = None
                raise MillraceError("server.unreachable", f"the child's platform is gone: {fault}") from fault
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    def close(self) -> None:
        """End the process, after its last call."""
        with self._lock:
            if self._wire is not None:
                self._wire.send(None)
                self._process.wait()
                self._wire.close()
                self._wire = None

    def _started(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(theirs.fileno()), str(Path(__file__).parents[2]), *sys.path],
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        wire = Connection(ours.detach())
        wire.send(self._config)
        return wire


def main(pipe: int) -> None:
    """Open the platform of the configuration that comes first, and answer until the other side ends or says so."""
    from millrace.sdk.client import Embedded

    with Connection(pipe) as wire:
        home = Embedded(wire.recv())
        try:
            while (asked := _next(wire)) is not None:
                wire.send(_answer(home, *asked))
        except OSError:
            pass  # who asked is gone
        finally:
            home.close()


def _next(wire: Connection) -> Any:
    try:
        return wire.recv()
    except EOFError:
        return None


def _answer(home: Any, op: str, body: bytes, workspace: str, key: str) -> bytes | Exception:
    try:
        return bytes(home.answer(op, body, workspace, key))
    except MillraceError as fault:
        return fault
    except Exception as defect:
        return RuntimeError(f"{type(defect).__name__}: {defect}")
