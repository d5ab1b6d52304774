"""The demo's server: a real `millrace up` in a process of its own, started, watched and ended by its id."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from millrace.base.codes import CODES
from millrace.base.errors import MillraceError
from millrace.base.folders import PRIVATE_FILE, make_private
from millrace.http.holder import holder

_ERROR = re.compile(r"^error\[([a-z]+\.[a-z_]+)\]: (.*)(?:\nhint: (.*))?", re.MULTILINE)
_READY_S = 30.0
_LEAVE_S = 30.0


class Server:
    """A server over `folder`: the one that holds it already, or a new one. `port` 0 takes a free one."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        make_private(folder)
        if holder(folder) is None:
            self._start(port)
        held = holder(folder)
        assert held is not None, "a server that answered holds its folder"
        self.url, self.pid = held.url, held.pid

    @property
    def own(self) -> bool:
        """Whether this process started it."""
        return self._process is not None

    def stop(self) -> None:
        """Drain and leave; does nothing to a server that somebody else started."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_LEAVE_S)
            self._process = None

    def _start(self, port: int) -> None:
        place = self.folder / "server.log"
        place.touch(PRIVATE_FILE)
        log = place.open("ab")
        began = log.tell()
        command = [sys.executable, "-m", "millrace", "up", "--dir", str(self.folder), "--port", str(port)]
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            held = holder(self.folder)
            if held is not None and held.pid == self._process.pid and held.url and _answers(held.url):
                return
            time.sleep(0.02)
        self.stop()
        with place.open("rb") as written:
            written.seek(began)
            raise _told(written.read().decode("utf-8", "replace"), place)


def _told(log: str, place: Path) -> MillraceError:
    """Why a server did not come up: what it said itself, in the same three parts."""
    said = _ERROR.findall(log)
    if said and said[-1][0] in CODES:
        return MillraceError(*said[-1])
    last = log.strip().rpartition("\n")[2]
    told = "the demo's server did not come up" + (f"; its last line: {last[:300]}" if last else "")
    return MillraceError("server.unreachable", told, f"look into {place}")


def _answers(url: str) -> bool:
    import urllib3

    try:
        return urllib3.request("GET", f"{url}/health", timeout=1.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
