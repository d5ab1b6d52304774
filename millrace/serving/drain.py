"""The queue before an endpoint: whatever waits while a batch is answered makes the next batch. There is no timer.

Small batches are answered on the event loop, at no hand-over; long ones and those that read feature views on a thread.
Who comes alone does not queue at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from millrace.base.errors import MillraceError
from millrace.serving.answering import Answered, Asked, answer, check
from millrace.serving.resident import Resident, Served

_ROWS = 4_096  # rows of one batch
_WAITING = 65_536  # rows that may wait
_INLINE = 64  # rows answered on the event loop itself

_Waiting = tuple[Asked, "asyncio.Future[Answered]"]


class Drain:
    """Answers the requests of one endpoint of this process. Used on one event loop."""

    def __init__(self, resident: Resident, pool: ThreadPoolExecutor, workspace: str, name: str) -> None:
        self._resident = resident
        self._pool = pool
        self._place = (workspace, name)
        self._queue: list[_Waiting] = []
        self._rows = 0
        self._busy = False

    def served(self) -> Served:
        """The endpoint as it is now. Errors: those of `Resident.served`."""
        return self._resident.served(*self._place)

    async def ask(self, served: Served, asked: Asked, *, alone: bool = False) -> Answered:
        """The answer to what fits `served`, once it is on the log; `alone`: nobody else has come who may be waiting.

        Errors: of `check` and `answer`, `server.busy`.
        """
        check(served, asked)
        if alone and not (self._busy or served.views or asked.rows > _INLINE):
            return self._at_once(asked)
        if self._rows + asked.rows > _WAITING:
            raise MillraceError("server.busy", f"{self._rows} rows are waiting already", "ask again in a moment")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        self._queue.append((asked, future))
        self._rows += asked.rows
        if not self._busy:
            self._busy = True
            loop.call_soon(self._go, loop)
        return await future

    def _at_once(self, asked: Asked) -> Answered:
        (found,) = self._answer([asked])
        if isinstance(found, MillraceError):
            raise found
        return found

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._take()
        if not batch:
            self._busy = False
            return
        asked = [asked for asked, _ in batch]
        try:
            if self.served().views or sum(one.rows for one in asked) > _INLINE:
                work = loop.run_in_executor(self._pool, self._answer, asked)
                work.add_done_callback(lambda done: self._finish(loop, batch, done))
                return
            found: Sequence[Answered | MillraceError] = self._answer(asked)
        except MillraceError as fault:
            found = [fault] * len(batch)
        self._tell(batch, found)
        self._again(loop)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        for waiting in self._queue:
            if batch and rows + waiting[0].rows > _ROWS:
                break
            batch.append(waiting)
            rows += waiting[0].rows
        del self._queue[: len(batch)]
        self._rows -= rows
        return batch

    def _answer(self, asked: list[Asked]) -> list[Answered | MillraceError]:
        return self._resident.using(*self._place, lambda served: answer(self._resident, served, asked))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        done: asyncio.Future[list[Answered | MillraceError]],
    ) -> None:
        fault = done.exception()
        self._tell(batch, done.result() if fault is None else [fault] * len(batch))
        self._again(loop)

    def _tell(self, batch: list[_Waiting], found: Sequence[Answered | BaseException]) -> None:
        for (_, future), item in zip(batch, found, strict=True):
            if future.cancelled():
                continue
            if isinstance(item, BaseException):
                future.set_exception(item)
            else:
                future.set_result(item)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._queue:
            loop.call_soon(self._go, loop)
        else:
            self._busy = False


class Drains:
    """The queues of one process, by endpoint."""

    def __init__(self, resident: Resident) -> None:
        self.resident = resident
        self._drains: dict[tuple[str, str], Drain] = {}
        self._pool = ThreadPoolExecutor(1, "millrace-serving")

    def of(self, workspace: str, name: str) -> Drain:
        """The queue of an endpoint. Errors: those of `Resident.served`."""
        drain = self._drains.get((workspace, name))
        if drain is None:
            self.resident.served(workspace, name)
            drain = self._drains[workspace, name] = Drain(self.resident, self._pool, workspace, name)
        return drain
