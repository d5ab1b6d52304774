"""Runs that your own program makes: start, log, finish.

    with mr.run("demand", params={"depth": 6}) as run:
        for epoch in range(100):
            mr.log(epoch, loss=...)      # or run.log(epoch, loss=...)

Logging never slows training: a point goes into memory, and a thread of its own sends batches. What a server that is
away could not take is kept on disk and sent when it is back, by this program or a later one, each call exactly once
(`millrace.sdk.spool`). A platform inside this process is never away: what it cannot write is told as an error.
"""

from __future__ import annotations

import atexit
import logging
import math
import platform
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace.base.errors import MillraceError
from millrace.base.ids import Ids
from millrace.base.kinds import checked
from millrace.pipelines.definition import points
from millrace.sdk import forks
from millrace.sdk.client import Client, Record
from millrace.sdk.current import current
from millrace.sdk.handover import Handover, Point
from millrace.sdk.patience import telling
from millrace.sdk.show import Named, Shown, cell, count, day
from millrace.sdk.spool import PASSING, Head, Spool

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger("millrace.sdk")
_EVERY_S = 0.5
_BATCH = 5_000
_MOST = 2_000_000
_AGAIN_S = 5.0
_CHILDREN_S = 0.1
_FLUSH_S = 60.0


class RunLog(Shown):
    """A run that this program logs to; see `run`. Safe from any thread.

    A forked child logs to it too, and hands its points over at once; the end of the run is its parent's.
    """

    def __init__(self, calls: _Calls, experiment: str, name: str) -> None:
        self.id = calls.run
        self.experiment = experiment
        self.name = name
        self._calls = calls
        self._client = calls.client
        self._sender = _Sender(calls)
        self._steps: dict[str, int] = {}
        self._outputs: dict[str, str] = {}
        self._open = ExitStack()
        self._over = False
        self._in_child = False
        atexit.register(self._leave)
        forks.mind(self)

    def forked(self) -> None:
        self._in_child = True
        self._minded = False

    def log(self, step: int | None = None, /, **metrics: Any) -> None:
        """Log metrics, ``run.log(loss=0.3)``, or of a step, ``run.log(7, loss=0.3)``; steps count by themselves else.

        It returns at once. None, NaN and infinity are kept as "not a number". Errors: `run.over`, `request.invalid` for
        what is no number or no step, `name.invalid`.
        """
        self._record(metrics, step)

    def _record(self, values: Mapping[str, Any], step: int | None) -> None:
        self._check()
        if self._in_child and not self._minded:
            from multiprocessing.util import Finalize

            self._minded = True
            Finalize(None, self._leave, exitpriority=0)  # a child of multiprocessing ends without atexit
        at = _now()
        for key, number, place in points(values, step, self._steps):
            self._sender.put((key, None if number != number else number, place, at))

    def params(self, **params: Any) -> RunLog:
        """Say parameters, once each; itself. NaN and infinity, which JSON has no word for, are kept as texts.

        Errors: `run.param` for one that has another value already.
        """
        self._check()
        self._calls.make("run.log", {"run": self.id, "params": _spelled(params)})
        return self

    def tag(self, **tags: Any) -> RunLog:
        """Set tags; itself."""
        self._check()
        self._calls.make("run.log", {"run": self.id, "tags": {key: str(value) for key, value in tags.items()}})
        return self

    @checked
    def output(self, name: str, content: bytes | str | Path) -> str:
        """Store bytes, or a file by its path, as an output; its digest. It belongs to the run once that is finished.

        Errors: `file.unknown`, `store.full`.
        """
        self._check()
        if not isinstance(content, bytes):
            try:
                content = Path(content).read_bytes()
            except OSError as fault:
                raise MillraceError("file.unknown", f"{str(content)!r} cannot be read: {fault}", "check it") from fault
        self._outputs[name] = self._calls.put(content)
        return self._outputs[name]

    def flush(self) -> None:
        """Wait until everything that was logged is written, or kept on disk. Errors: what writing it raised last."""
        self._sender.flush()

    @checked
    def finish(self, state: str = "finished", because: str = "") -> RunLog:
        """End the run as finished, failed (`because` of what) or cancelled; itself.

        Errors: `run.over`, and what writing raised last: then points are lost, and the run says how many.
        """
        self._check()
        self._over = True
        atexit.unregister(self._leave)
        lost: MillraceError | None = None
        with telling(self._tell):
            try:
                self._sender.close()
            except MillraceError as fault:
                lost = fault
            told = {"code": "step.raised", "message": because, "hint": ""} if because else None
            ended = {"state": state, "outputs": self._outputs, "fault": told, "at": _now()}
            self._calls.make("run.finish", {"run": self.id, **ended})
            self._calls.close()
        if lost is not None:
            raise lost
        return self

    def _tell(self) -> None:
        _log.warning("run %s: its end is not written yet; waiting for %s", self.id, self._client.home.name)

    @property
    def record(self) -> Record:
        """The run whole, as `run.get` tells it."""
        return self._client.call("run.get", run=self.id)  # type: ignore[no-any-return]  # a verb's answer

    def __enter__(self) -> RunLog:
        from millrace.pipelines.definition import Recorder, recording

        class Here(Recorder):
            """What `mr.log` writes to inside the block."""

            def log(inner, values: Mapping[str, Any], step: int | None) -> None:
                self._record(values, step)

        self._open.enter_context(recording(Here()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if self._over:
            return
        if self._in_child:
            self._leave()
        elif kind is None:
            self.finish()
        elif issubclass(kind, KeyboardInterrupt):
            self.finish("cancelled")
        else:
            self.finish("failed", f"{kind.__name__}: {fault}")

    def _leave(self) -> None:
        """The program ends: nothing that was logged is lost."""
        try:
            if self._in_child:
                self._sender.settle()
                self._calls.send()
            else:
                self.finish("failed" if hasattr(sys, "last_value") else "finished")
        except MillraceError as fault:
            _log.error("run %s: %s", self.id, fault)

    def _check(self) -> None:
        if self._over:
            raise MillraceError("run.over", f"run {self.id} was finished by this program", "start another")

    def _named(self) -> str:
        return f"run {self.name}"

    def _told(self) -> str:
        found = self.record
        shown = ", ".join(f"{key}={cell(value)}" for key, value in found["metrics"].items())
        return f"{self._named()} of {self.experiment}, {found['state']}{': ' + shown if shown else ''}"


class _Calls:
    """The calls of one run: made at its home, or kept on disk from the first that finds it away until all are sent."""

    def __init__(self, client: Client, run: str) -> None:
        self.client, self.run = client, run
        self.forked()
        forks.mind(self)
        home = client.home
        self._spool = Spool(home.spool, Head(home.name, client.workspace, run)) if home.spool is not None else None
        self._tried = 0.0

    def forked(self) -> None:
        self._ids = Ids()

    def make(self, op: str, request: dict[str, Any], key: str = "") -> Record | None:
        """The answer, or None for a call that is kept. Errors: the verb's; `spool.unwritable`."""
        key, spool = key or self._ids.new(), self._spool
        if spool is not None and spool.waiting:
            spool.append(key, op, request)
            return None
        try:
            return self.client.once(key, op, **request)  # type: ignore[no-any-return]  # a verb's answer
        except MillraceError as fault:
            if spool is None or fault.code not in PASSING:
                raise
            _log.warning("run %s: %s; it goes on, kept in %s", self.run, fault.message, spool.path)
            spool.append(key, op, request)
            self._tried = time.monotonic()
            return None

    def put(self, content: bytes) -> str:
        """Store the bytes of an output; their digest. Errors: `store.full`, `spool.unwritable`."""
        spool = self._spool
        if spool is not None and spool.waiting:
            return spool.keep(content)
        try:
            return self.client.home.put(content)
        except MillraceError as fault:
            if spool is None or fault.code not in PASSING:
                raise
            return spool.keep(content)

    def look(self) -> None:
        """Send what is kept, if it is time to look whether the home is back."""
        if self._spool is None or not self._spool.waiting or time.monotonic() - self._tried < _AGAIN_S:
            return
        self._send(self._spool)

    def close(self) -> None:
        """No call comes any more; what is kept is tried once."""
        self.send()
        if self._spool is not None:
            self._spool.close()

    def send(self) -> None:
        """Try once to send what is kept, and say so if it stays."""
        if self._spool is not None and self._spool.waiting:
            self._send(self._spool)
            if self._spool.waiting:
                _log.warning("run %s is kept in %s: `millrace spool send` sends it", self.run, self._spool.path)

    def _send(self, spool: Spool) -> None:
        try:
            spool.send(self.client)
        except MillraceError as fault:
            _log.info("run %s is still kept: %s", self.run, fault)
        self._tried = time.monotonic()


class _Sender:
    """Points in memory and the thread that writes them, in batches and in order."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self._handover: Handover | None = None
        self._in_child = False
        self._begin()
        forks.mind(self)
        forks.ready(self)

    def _begin(self) -> None:
        self._ids = Ids()
        self._change = threading.Condition()
        self._waiting: list[Point] = []
        self._going: tuple[str, list[Point]] | None = None
        self._closing = False
        self._asked = False
        self._dropped = 0
        self._fault: MillraceError | None = None
        self._thread: threading.Thread | None = None

    def forking(self) -> None:
        with self._change:
            if not self._in_child and not self._closing:
                self._handover = self._handover or Handover()
                self._start()

    def forked(self) -> None:
        """The points that wait are the parent's to send, as is the thread."""
        self._in_child = True
        if self._handover is not None:
            self._handover.forked()
        self._begin()

    def put(self, point: Point) -> None:
        if self._in_child and self._handover is not None and self._handover.give(point):
            return
        with self._change:
            if len(self._waiting) >= _MOST:
                self._dropped += 1
                return
            self._waiting.append(point)
            self._start()
            if len(self._waiting) == _BATCH:
                self._change.notify_all()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="millrace-log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until all that was put is written; what a child handed over, too."""
        if self._in_child and self._handover is not None and not self._handover.wait(_FLUSH_S):
            raise MillraceError("server.busy", "the program that began the run does not write what its child logged")
        self.settle()

    def settle(self) -> None:
        """Wait until all that is this process's to write is written."""
        with self._change:
            self._fault = None
            self._gather()
            while (self._waiting or self._going) and self._fault is None:
                self._asked = True
                self._change.notify_all()
                self._change.wait(_EVERY_S)
            self._tell()

    def _gather(self) -> None:
        """Take what children handed over, while there is room. The lock is held."""
        if self._handover is not None and not self._in_child:
            self._waiting += self._handover.take(_MOST - len(self._waiting))

    def close(self) -> None:
        try:
            self.settle()
            self._part()
            self.settle()
        finally:
            with self._change:
                self._part()
                self._closing = True
                self._change.notify_all()

    def _part(self) -> None:
        """From now on children write by themselves, and hear what the run's end says to that."""
        with self._change:
            if self._handover is not None and not self._in_child:
                self._gather()
                handover, self._handover = self._handover, None
                handover.close()

    def _tell(self) -> None:
        lost = len(self._waiting) + len(self._going[1] if self._going else ()) + self._dropped
        if lost:
            fault = self._fault or MillraceError("server.busy", "more was logged than could be written")
            raise MillraceError(fault.code, f"{count(lost, 'point')} not written: {fault.message}", fault.hint)

    def _work(self) -> None:
        while True:
            with self._change:
                if not self._asked and not self._closing and len(self._waiting) < _BATCH:
                    self._change.wait(_CHILDREN_S if self._handover is not None else _EVERY_S)
                looked = not self._asked  # whoever asks waits for what is here, not for what comes
                if looked:
                    self._gather()
                self._asked = False
                if self._going is None and self._waiting:
                    self._going = (self._ids.new(), self._waiting[:_BATCH])
                    del self._waiting[:_BATCH]
                if looked and self._going is None and self._handover is not None and not self._in_child:
                    self._handover.done()
                if self._going is None and self._closing:
                    return
                going = self._going
            if going is not None:
                self._write(*going)
            self._calls.look()

    def _write(self, key: str, points: list[Point]) -> None:
        fault: MillraceError | None = None
        try:
            self._calls.make("run.log", {"run": self._calls.run, "points": points}, key)
        except MillraceError as raised:
            fault = raised
        except Exception as raised:  # a client that was closed under it, above all
            fault = MillraceError("server.unreachable", f"the points were not taken: {raised}")
        with self._change:
            self._fault = fault
            if fault is None or fault.code not in PASSING or self._closing:
                self._dropped += len(points) if fault is not None else 0
                self._going = None
            self._change.notify_all()


class ExperimentHandle(Named):
    """A named set of runs; see `experiment`."""

    @checked
    def run(self, name: str = "", **more: Any) -> RunLog:
        """Start a run of it; see `run`."""
        return run(self.name, name, client=self._client, **more)

    @checked
    def runs(self, where: str = "", order: str = "", limit: int = 100) -> list[Record]:
        """Runs such as ``metrics.rmse < .2 and params.depth > 6``, newest first or in `order` ("metrics.rmse").

        Errors: `experiment.unknown`, `search.invalid`.
        """
        found = self._client.call("run.search", experiment=self.name, where=where, order=order, limit=limit)
        return list(found["items"])

    @checked
    def best(self, *, minimize: str = "", maximize: str = "", where: str = "") -> Record:
        """The finished run with the smallest or largest value of a metric.

        Errors: those of `runs`; `run.unknown` without any.
        """
        if bool(minimize) == bool(maximize):
            raise MillraceError("request.invalid", "say what is best by one metric", 'minimize="rmse"')
        order = f"metrics.{minimize}" if minimize else f"metrics.{maximize} desc"
        for found in self.runs(where, order, 1):
            if found["metrics"].get(minimize or maximize) is not None:
                return found
        raise MillraceError("run.unknown", f"no run of {self.name!r} has {minimize or maximize!r}", "log it first")

    def _named(self) -> str:
        return f"experiment {self.name}"

    def _told(self) -> str:
        found = self.runs(limit=1_000)
        return f"{self._named()}: {count(len(found), 'run')}"

    def _rows(self) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        found = self.runs(limit=20)
        metrics = list(dict.fromkeys(key for one in found for key in one["metrics"]))[:6]
        heads = ("run", "state", "started", *metrics)
        return heads, (
            (one["name"], one["state"], day(one["started"]), *(one["metrics"].get(key) for key in metrics))
            for one in found
        )


@checked
def run(
    experiment: str,
    name: str = "",
    *,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    parent: str | None = None,
    client: Client | None = None,
) -> RunLog:
    """Start a run of an experiment, which is made if it is not there. Use it as a context manager, or call `finish`.

    Inside the block, `mr.log` logs to it. What raises in the block makes it a failed run. At the end of the program an
    open run is finished, and nothing that was logged is lost. Errors: `name.invalid`, `run.unknown` for the parent.
    """
    from millrace.sdk.pipelines import git_of

    used = client or current()
    calls = _Calls(used, Ids().new())
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    origin = {"git": git_of(Path(main).resolve()) if main else {}, "host": platform.node()}
    name = name or f"run-{calls.run[-6:]}"
    calls.make(
        "run.start",
        {
            "id": calls.run, "experiment": experiment, "name": name, "params": _spelled(params or {}), "parent": parent,
            "origin": origin, "tags": {key: str(value) for key, value in (tags or {}).items()}, "at": _now(),
        },
    )  # fmt: skip
    return RunLog(calls, experiment, name)


def _spelled(value: Any) -> Any:
    """A parameter's value, or many, with NaN and infinity as "nan", "inf" and "-inf"."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, Mapping):
        return {name: _spelled(item) for name, item in plain.items()}
    if isinstance(plain, list | tuple):
        return [_spelled(item) for item in plain]
    return str(plain) if isinstance(plain, float) and not math.isfinite(plain) else plain


def _now() -> int:
    return time.time_ns() // 1_000


@checked
def experiment(name: str, *, client: Client | None = None) -> ExperimentHandle:
    """The experiment `name`; nothing is looked up yet, and it is made by its first run."""
    return ExperimentHandle(name, client)
