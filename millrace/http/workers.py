"""Several server processes on one listening socket, and the parent that only watches them.

Fork comes before any thread or connection exists. A worker that dies is replaced; workers that die as fast as they are
made end the server. A parent that is killed takes its workers with it: they hold the reading end of a pipe that nobody
ever writes to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Collection

from millrace.base.errors import MillraceError

Serve = Callable[[int, int], int]
"""`serve(place, parent)`: serve as the worker of that place until told to stop, or until `parent` can be read."""

_log = logging.getLogger("millrace")
_ENDING = (signal.SIGTERM, signal.SIGINT)
_QUICK_S = 10.0
_QUICK_DEATHS = 5


def watch(
    serve: Serve,
    workers: int,
    ended: Callable[[int], None] = lambda place: None,
    begun: Callable[[Collection[int]], None] = lambda pids: None,
) -> int:
    """Keep `workers` processes serving until SIGTERM or SIGINT, then drain them; the exit code.

    `ended(place)` is called once the worker of a place is gone, before another takes it; `begun(pids)` with all that
    there are, once one has begun.
    """
    parent, alive = os.pipe()
    children: dict[int, int] = {}
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        _tell(children)

    for number in _ENDING:
        signal.signal(number, stop)

    def start(place: int) -> None:
        children[_fork(serve, place, parent, alive)] = place
        begun(tuple(children))
        if stopping:  # the signal may have come before the child was known
            _tell(children)

    deaths: list[float] = []
    for place in range(workers):
        start(place)
    while children:
        pid, status = os.wait()
        place = children.pop(pid, -1)
        if place >= 0:
            ended(place)
        if stopping or place < 0:
            continue
        code = os.waitstatus_to_exitcode(status)
        deaths = [*(at for at in deaths if time.monotonic() - at < _QUICK_S), time.monotonic()]
        if len(deaths) >= _QUICK_DEATHS:
            _log.error("worker %d ended with status %d: too many in a short time, the server ends", place, code)
            stopping = True
            _tell(children)
            continue
        _log.error("worker %d ended with status %d; starting another", place, code)
        start(place)
    return 1 if len(deaths) >= _QUICK_DEATHS else 0


def _tell(children: dict[int, int]) -> None:
    for pid in list(children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _fork(serve: Serve, place: int, parent: int, alive: int) -> int:
    sys.stderr.flush()
    # A signal that came between the fork and the child's own way of ending would reach the parent's way of ending.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return pid
    code = 1
    try:
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(alive)
        code = serve(place, parent)
    except MillraceError as fault:
        _log.error("%s", fault)
    except SystemExit as leave:
        code = int(leave.code or 0)
    except BaseException:
        _log.exception("a worker failed")
    finally:
        os._exit(code)
