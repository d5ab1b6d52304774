"""`millrace up`: lock the directory, bind, fork the workers if there are several, serve, drain, leave.

The first worker leads: it runs the platform's followers (loop, runner, sealing); every worker answers.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from millrace.base.config import Config
from millrace.base.errors import MillraceError
from millrace.base.folders import open_to_others
from millrace.base.memory import few_arenas
from millrace.http import logs, workers
from millrace.http.doorman import is_loopback
from millrace.http.holder import DirectoryLock
from millrace.serving.board import Board

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Config as UvicornConfig

_log = logging.getLogger("millrace")
_BACKLOG = 2_048
_DRAIN_S = 20
_TURN_S = 0.001  # a thread that computes yields to one that has an answer to pass on


def up(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; the exit code, 0 after a clean drain.

    Errors: `server.held`, `server.folder`, `server.port`, `server.unsafe`, and what opening the platform may raise.
    """
    logs.start()
    few_arenas()
    gc.disable()  # until it serves: nothing of what a start loads is garbage
    signal.signal(signal.SIGTERM, _leave)
    host, count = config["host"], config["workers"]
    lock = DirectoryLock(Path(config["dir"]).absolute())
    try:
        lying = open_to_others(Path(config["dir"]).absolute())
        if lying:
            folder = config["dir"]
            _log.warning("others can read %s in %s: chmod -R go= %s", ", ".join(lying), folder, folder)
        if not is_loopback(host) or count > 1:
            _prepare(config)
        listener = _bind(host, config["port"])
        try:
            url = _url(host, listener.getsockname()[1])
            lock.tell(url)
            if count <= 1:
                return _serve(config, listener, url, 0, -1, Board())
            board = Board(count)
            return workers.watch(
                lambda place, parent: _serve(config, listener, url, place, parent, board),
                count,
                board.leave,
                lambda pids: lock.tell(url, pids),
            )
        finally:
            listener.close()
    finally:
        lock.release()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Told to stop before there was anything to drain."""
    raise SystemExit(0)


def _url(host: str, port: int) -> str:
    return f"http://[{host.strip('[]')}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as fault:
        listener.close()
        told = getattr(fault, "strerror", None) or str(fault)
        raise MillraceError("server.port", f"{host}:{port}: {told}", "choose another --port or --host") from fault
    listener.set_inheritable(True)
    return listener


def _prepare(config: Config) -> None:
    """Before anybody can come in: the schema is current, and there is a token where one will be asked for."""
    from millrace.assemble import Platform

    platform = Platform(config)
    try:
        if not is_loopback(config["host"]) and not platform.call("token.list").total:
            raise MillraceError(
                "server.unsafe",
                f"binding to {config['host']} without authentication would let anybody in",
                "make a token first: millrace token make ACTOR, or bind to 127.0.0.1",
            )
    finally:
        platform.close()


def settings_for(application: ASGIApp) -> UvicornConfig:
    """What uvicorn is told."""
    from uvicorn import Config as UvicornConfig

    from millrace.http.connection import Connection

    return UvicornConfig(
        application,
        http=Connection,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_DRAIN_S,
        server_header=False,
        proxy_headers=False,
        date_header=False,
    )


def _serve(config: Config, listener: socket.socket, url: str, place: int, parent: int, board: Board) -> int:
    """Serve as the worker of a place of `board`; also end when `parent`, a descriptor or -1, can be read."""
    from uvicorn import Server

    from millrace.assemble import Platform
    from millrace.http.application import Application
    from millrace.serving import resident

    class Drained(Server):
        """A server whose signal means: end the event streams, drain, return."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.leave()

        def leave(self) -> None:
            platform.stopping = True
            self.should_exit = True

    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lead = place == 0
    platform = Platform(config)
    resident.sit(platform.ground, board, place)
    try:
        if lead:
            platform.start()
        settings = settings_for(Application(platform, config["host"]))
        server = Drained(settings)
        gc.freeze()
        gc.enable()
        sys.setswitchinterval(_TURN_S)

        async def serve() -> None:
            if parent >= 0:
                asyncio.get_running_loop().add_reader(parent, server.leave)
            await server.serve(sockets=[listener])

        if lead:
            _log.info("millrace is ready at %s, everything lives in %s", url, platform.ground.folder)
        with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
            runner.run(serve())
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        platform.close()
        if lead:
            _log.info("millrace has stopped")
    return 0
