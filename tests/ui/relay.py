"""What stands between browsers and a server: it counts what is asked and which streams are open, and can be cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Thread
from typing import Any

_REQUEST = re.compile(rb"(?:GET|POST|HEAD) \S+(?= HTTP/1\.1\r\n)")
_DEADLINE_S = 30.0


class Relay:
    """Carries connections to the server at `target`; workers' requests, which pages do not show, are seen here too."""

    def __init__(self, target: str) -> None:
        self._port = int(target.rpartition(":")[2])
        self._told = Condition()
        self._open: dict[asyncio.StreamWriter, str] = {}
        self.asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        self._server = self._do(self._listen(0))
        self._own = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._own}"
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def pages(self) -> list[str]:
        """What was asked for beside the page's files."""
        return [one for one in self.asked if " /ui/" not in one]

    @property
    def streams(self) -> int:
        """How many streams of facts are open."""
        with self._told:
            return sum(last == "GET /api/v1/facts" for last in self._open.values())

    def wait(self, holds: Callable[[], bool]) -> None:
        """Until `holds`."""
        with self._told:
            assert self._told.wait_for(holds, _DEADLINE_S), (self.asked, list(self._open.values()))

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nobody reaches the server within the block."""
        self._do(self._end())
        yield
        self._server = self._do(self._listen(self._own))

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE_S)

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", port)

    async def _end(self) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(writer, "")
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [self._pump(reader, there, writer), self._pump(there_reader, writer)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        there.transport.abort()
        writer.transport.abort()
        with self._told:
            del self._open[writer]
            self._told.notify_all()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asking: asyncio.StreamWriter | None = None
    ) -> None:
        with suppress(OSError):
            while part := await source.read(1 << 16):
                if asking and (found := _REQUEST.match(part)):
                    self._keep(asking, found[0].decode())
                sink.write(part)
                await sink.drain()

    def _keep(self, writer: asyncio.StreamWriter, request: str) -> None:
        with self._told:
            self._open[writer] = request
            if request:
                self.asked.append(request)
            self._told.notify_all()
