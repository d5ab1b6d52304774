"""`millrace up`: bind, lock the directory, fork the workers if there are several, serve, drain, leave.

Fork comes before any thread or connection exists. The first worker leads: it runs the platform's followers (loop,
runner, sealing); every worker answers. The parent only watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from millrace.base.config import Config
from millrace.base.errors import MillraceError
from millrace.http import logs
from millrace.http.doorman import is_loopback
from millrace.http.holder import DirectoryLock

_log = logging.getLogger("millrace")
_BACKLOG = 2_048
_DRAIN_S = 20


def up(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; the exit code, 0 after a clean drain.

    Errors: `server.port`, `server.held`, `server.unsafe`, and what opening the platform may raise.
    """
    logs.start()
    host, workers = config["host"], config["workers"]
    if not is_loopback(host) and not _has_tokens(config):
        raise MillraceError(
            "server.unsafe",
            f"binding to {host} without authentication would let anybody in",
            "make a token first: millrace token make ACTOR, or bind to 127.0.0.1",
        )
    listener = _bind(host, config["port"])
    port = listener.getsockname()[1]
    url = f"http://{host}:{port}"
    lock = DirectoryLock(Path(config["dir"]).absolute(), url)
    try:
        if workers <= 1:
            return _serve(config, listener, url, lead=True)
        return _watch(config, listener, url, workers)
    finally:
        listener.close()
        lock.release()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as fault:
        listener.close()
        raise MillraceError("server.port", f"{host}:{port}: {fault.strerror}", "choose another --port") from fault
    listener.set_inheritable(True)
    return listener


def _serve(config: Config, listener: socket.socket, url: str, lead: bool) -> int:
    from uvicorn import Config as UvicornConfig
    from uvicorn import Server

    class Drained(Server):
        """A server whose signal means: end the event streams, drain, return."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            platform.stopping = True
            self.should_exit = True

    from millrace.assemble import Platform
    from millrace.http.application import Application

    platform = Platform(config)
    try:
        if lead:
            platform.start()
        settings = UvicornConfig(
            Application(platform, config["host"]),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_DRAIN_S,
            server_header=False,
            proxy_headers=False,
            date_header=False,
        )
        server = Drained(settings)
        if lead:
            _log.info("millrace is ready at %s, everything lives in %s", url, platform.ground.folder)
        with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listener]))
    finally:
        platform.close()
        if lead:
            _log.info("millrace has stopped")
    return 0


def _watch(config: Config, listener: socket.socket, url: str, workers: int) -> int:
    stopping = False
    children: dict[int, int] = {}

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for place in range(workers):
        children[_fork(config, listener, url, place)] = place
    while children:
        try:
            pid, status = os.wait()
        except InterruptedError:
            continue
        place = children.pop(pid, -1)
        if not stopping and place >= 0:
            _log.error("worker %d ended with status %d; starting another", place, os.waitstatus_to_exitcode(status))
            children[_fork(config, listener, url, place)] = place
    return 0


def _fork(config: Config, listener: socket.socket, url: str, place: int) -> int:
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        code = _serve(config, listener, url, lead=place == 0)
    except MillraceError as fault:
        _log.error("%s", fault)
    finally:
        os._exit(code)


def _has_tokens(config: Config) -> bool:
    from millrace.assemble import Platform

    platform = Platform(config)
    try:
        return bool(platform.call("token.list"))
    finally:
        platform.close()
