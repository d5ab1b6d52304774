"""The prediction log: every answer, on a tape before it leaves, sealed into Parquet by blocks of event time.

    DIR/predictions/ENDPOINT-ID/WORKER.tape     what each server process answered, since it last began a tape
    segments in the store                       sealed blocks, one blob each; a late answer makes a further part

Each process appends to tapes of its own, one write for all requests answered together, and reads everybody's. An
answered prediction survives the death of its process at once; a power cut may take the last second of them, unless the
setting `prediction_sync` is `batch`. An answer counts once, whoever repeated the request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, unknown
from millrace.base.folders import make_private
from millrace.base.locks import locked
from millrace.serving import entry as entries
from millrace.serving import segments, tables
from millrace.serving.entry import Entry
from millrace.serving.records import Endpoint, Logged
from millrace.serving.tape import Frame, Tape, grows, read

_ROTATE = 16 << 20
_ROOM = 1 << 16  # what an answer may need
_ROOMY_S = 1.0  # for so long room that was found is taken to be there, however many ask whether it is
_SYNC_S = 1.0
_TICK_NS = 50_000_000  # a file system's clock may be as coarse
_RELOAD = 30  # turns of syncing between two looks at what other processes sealed
_EVER: Micros = 1 << 62
_REMEMBERED = 200_000  # rows whose event time stays in memory: eight bytes each
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spot(NamedTuple):
    """Where an entry stands: a tape's file name and the offset of its frame."""

    tape: str
    start: int


class Log:
    """The log of one endpoint as one process sees it. `append` belongs to one thread at a time; the rest to any."""

    def __init__(self, ground: Ground, workspace: str, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.folder = ground.folder / "predictions" / endpoint.id
        make_private(self.folder)
        self._ground = ground
        self._workspace = workspace
        self._strict = _strict(ground)
        self._tape: Tape | None = None
        self._lock = threading.RLock()
        self._seen: dict[str, Spot] = {}  # requests on tapes that may not be sealed
        self._events: dict[str, array[int]] = {}  # request → its rows' event times, of those that came last
        self._remembered = 0
        self._read: dict[str, int] = {}  # tape → how far `_seen` has read it
        self._sealed: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._segments = -1
        self._stamp = -1
        self._roomy_until = -inf
        self._claims = -1  # the file whose lock lets one process at a time write what a client named
        self._others: list[Path] = []  # tapes of other processes that may grow

    def append(self, answered: Sequence[Entry]) -> set[str]:
        """Write the entries with one write; when it returns they survive this process.

        An id that a client chose is written once, whoever else writes: those that another process answered meanwhile
        are left out and returned, and `find` has their answers. Errors: `log.full`, `log.unwritable`.
        """
        bodies = [entries.encode(item) for item in answered]
        with self._lock:
            tape = self._writing()
            try:
                with self._claiming([item.request for item in answered if item.body]) as taken:
                    fresh = [nth for nth, item in enumerate(answered) if item.request not in taken]
                    for nth, frame in zip(fresh, tape.append([bodies[nth] for nth in fresh]), strict=True):
                        self._take_note(answered[nth], Spot(tape.path.name, frame.start))
                    self._read[tape.path.name] = tape.size
                if self._strict:
                    tape.sync()
            except OSError as fault:
                self._roomy_until = -inf
                raise _unwritable(self.folder, fault) from fault
        return taken

    @contextlib.contextmanager
    def _claiming(self, requests: Sequence[str]) -> Iterator[set[str]]:
        """Those of `requests` that were answered already. No other process answers one of them within the block."""
        if not requests:
            yield set()
            return
        if self._claims < 0:
            self._claims = os.open(self.folder / "claims", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with locked(self._claims):
            seen = self._catch_up()
            yield {one for one in requests if one in seen or (self._has_sealed(one) and self.find(one) is not None)}

    def check(self) -> None:
        """Errors: `log.full`, `log.unwritable` if an answer could not be written now, or within the last second."""
        with self._lock:
            if self._ground.clock.monotonic() < self._roomy_until:
                return
            tape = self._writing()
            try:
                tape.check(_ROOM)
            except OSError as fault:
                raise _unwritable(self.folder, fault) from fault
            self._roomy_until = self._ground.clock.monotonic() + _ROOMY_S

    def sync(self) -> None:
        """Make everything that was appended survive a power cut."""
        tape = self._tape
        if tape is not None:
            tape.sync()

    def find(self, request: str) -> Entry | Logged | None:
        """What was answered to a request of that id, by any process: the entry, or its sealed rows; None if nothing."""
        with self._lock:
            spot = self._seen.get(request) or self._catch_up().get(request)
            if spot is not None:
                frame = next(read(self.folder / spot.tape, spot.start))
                return entries.decode(frame.body)
            if not self._has_sealed(request):
                return None
        return segments.find(self._ground, self._workspace, self.endpoint.name, request)

    def events(self, ids: Sequence[str], near: Sequence[Micros]) -> list[Micros | None]:
        """The event times of predictions by their ids, n each, None where there is no such prediction.

        `near` says where to look first. Errors: `blob.unknown`, `blob.corrupt`.
        """
        found: list[Micros | None] = [None] * len(ids)
        wanted: dict[str, list[tuple[int, int]]] = {}  # request → (place, row)
        for place, id in enumerate(ids):
            request, _, number = id.rpartition(":")
            if number.isdecimal() and len(number) <= 9:
                wanted.setdefault(request, []).append((place, int(number)))
        if not wanted.keys() <= self._events.keys():
            with self._lock:
                self._catch_up()
        sealed: list[int] = []
        for request, rows in wanted.items():
            told = self._events_of(request)
            for place, row in rows:
                if row < len(told):
                    found[place] = told[row]
            if not told and self._has_sealed(request):
                sealed += [place for place, _ in rows]
        if sealed:
            asked = {ids[place]: near[place] for place in sealed}
            known = segments.events(self._ground, self._workspace, self.endpoint.name, asked)
            for place in sealed:
                found[place] = known.get(ids[place])
        return found

    def _events_of(self, request: str) -> Sequence[Micros]:
        """The event times of a request that is in memory or on a tape; none of another."""
        events, spot = self._events.get(request), self._seen.get(request)
        if events is None and spot is not None:
            for frame in frames_of(self.folder / spot.tape, spot.start):
                return entries.decode(frame.body).event
        return events or ()

    def tail(self, positions: dict[str, int]) -> tuple[list[Entry], dict[str, int]]:
        """Entries of all tapes after these offsets, in the order of each tape, and the offsets to go on from."""
        found: list[Entry] = []
        after: dict[str, int] = {}
        for path in self.tapes():
            end = positions.get(path.name, 0)
            for frame in frames_of(path, end):
                found.append(entries.decode(frame.body))
                end = frame.end
            after[path.name] = end
        return found, after

    def tapes(self) -> list[Path]:
        """All tapes there are, oldest first."""
        return sorted(self.folder.glob("*.tape"))

    def rotate(self) -> None:
        """Begin a new tape with the next answer."""
        with self._lock:
            tape, self._tape = self._tape, None
        if tape is not None:
            tape.close()

    def close(self) -> None:
        """Sync and end the tape; the next answer begins a new one."""
        self.rotate()
        with self._lock:
            if self._claims >= 0:
                os.close(self._claims)
            self._claims = -1

    def forget(self, positions: dict[str, int]) -> None:
        """Everything before these offsets is sealed."""
        with self._lock:
            kept = self._seen.items()
            self._seen = {request: spot for request, spot in kept if spot.start >= positions.get(spot.tape, 0)}
            for tape, place in positions.items():
                self._read[tape] = max(self._read.get(tape, 0), place)

    def _take_note(self, item: Entry, spot: Spot) -> None:
        """That a request was answered, there; the first answer counts."""
        if self._seen.setdefault(item.request, spot) is not spot or item.request in self._events:
            return
        self._events[item.request] = array("q", item.event)
        self._remembered += item.count
        while self._remembered > _REMEMBERED:
            self._remembered -= len(self._events.pop(next(iter(self._events))))

    def _writing(self) -> Tape:
        if self._tape is not None and self._tape.size >= _ROTATE:
            self.rotate()
        if self._tape is None:
            try:
                self._tape = Tape(self.folder / f"{self._ground.ids.new()}.tape")
            except OSError as fault:
                raise _unwritable(self.folder, fault) from fault
        return self._tape

    def _catch_up(self) -> dict[str, Spot]:
        """Read on in everybody's tapes."""
        if self._segments < 0:
            self._load_sealed()
        stamp = self.folder.stat().st_mtime_ns
        if stamp != self._stamp:  # a tape came or went: those that grow no more need no second look
            self._stamp = stamp if time_ns() - stamp > _TICK_NS else -1  # another may come in the same tick
            own = self._tape.path if self._tape is not None else None
            self._others = [path for path in self.tapes() if path != own and self._may_hold_more(path)]
        for path in self._others:
            self._read_on(path)
        return self._seen

    def _may_hold_more(self, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            growing = grows(path)  # asked first: what is written until it ends is read
            self._read_on(path)
            return growing or not self._read.get(path.name)  # an empty one may not be locked yet
        return False

    def _read_on(self, path: Path) -> None:
        start = self._read.get(path.name, 0)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size <= start:
                return
        for frame in frames_of(path, start):
            self._take_note(entries.decode(frame.body), Spot(path.name, frame.start))
            self._read[path.name] = frame.end

    def _has_sealed(self, request: str) -> bool:
        if not len(self._sealed):
            return False
        wanted = entries.hash_of(request)
        place = int(np.searchsorted(self._sealed, wanted))
        return place < len(self._sealed) and self._sealed[place] == wanted

    def _load_sealed(self) -> None:
        """The hashes of all sealed requests, and where unsealed rows begin."""
        with self._ground.catalog.read() as tx:
            held = tables.segments(tx, self._workspace, self.endpoint.name, -_EVER, _EVER)
            positions = tables.positions(tx, self._workspace, self.endpoint.name)
        parts = [np.frombuffer(self._ground.blobs.get(segment.index), "<u8") for segment in held if segment.rows]
        self._sealed = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
        self._segments = len(held)
        self.forget(positions)

    def reload(self) -> None:
        """Take note of what other processes sealed."""
        with self._ground.catalog.read() as tx:
            count = tables.segment_count(tx, self._workspace, self.endpoint.name)
        with self._lock:
            if 0 <= self._segments != count:
                self._load_sealed()

    def took(self, fresh: Iterable[NDArray[np.uint64]], segments: int, positions: dict[str, int]) -> None:
        """This process sealed requests of these hashes, in so many segments, up to these offsets."""
        with self._lock:
            if self._segments >= 0:
                self._sealed = np.unique(np.concatenate([self._sealed, *fresh]))
                self._segments += segments
        self.forget(positions)


class Logs:
    """The logs of one process, and the thread that syncs them every second."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._logs: dict[str, Log] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def of(self, workspace: str, endpoint: Endpoint) -> Log:
        """The log of an endpoint."""
        log = self._logs.get(endpoint.id)
        if log is None:
            with self._lock:
                log = self._logs.setdefault(endpoint.id, Log(self._ground, workspace, endpoint))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._sync, name="millrace-log", daemon=True)
                    self._thread.start()
        return log

    def close(self) -> None:
        """Sync and end every tape; the next answer begins a new one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for log in list(self._logs.values()):
            log.close()

    def _sync(self) -> None:
        turn = 0
        while not self._stop.wait(_SYNC_S):
            turn += 1
            for log in list(self._logs.values()):
                with contextlib.suppress(OSError, MillraceError):
                    log.sync()
                    if turn % _RELOAD == 0:
                        log.reload()


def logs(ground: Ground) -> Logs:
    """This process's logs."""
    return ground.memory.keep(lambda: Logs(ground), "serving", "logs")


def window(ground: Ground, workspace: str, endpoint: str, since: Micros, until: Micros) -> Logged:
    """What was answered for rows with ``since <= event < until``, sealed or not; see `Logged` for its arrays.

    Errors: `endpoint.unknown`, `blob.corrupt`.
    """
    found, sealed, positions = _found(ground, workspace, endpoint, since, until)
    log = logs(ground).of(workspace, found)
    parts = [segments.load(ground, segment.digest) for segment in sealed if segment.rows]
    unsealed, _ = log.tail(positions)
    every = entries.join([*parts, entries.flatten([e for e in unsealed if _meets(e, since, until)])])
    kept = entries.take(every, (every.event >= since) & (every.event < until))
    return entries.first_of_each(kept)


def frames_of(path: Path, start: int) -> Iterable[Frame]:
    """The frames of a tape; none if it was sealed and removed meanwhile."""
    try:
        yield from read(path, start)
    except FileNotFoundError:
        return


def _found(ground: Ground, workspace: str, name: str, since: Micros, until: Micros) -> tuple[Any, Any, Any]:
    with ground.catalog.read() as tx:
        endpoint = tables.endpoint(tx, workspace, name)
        if endpoint is None:
            raise unknown("endpoint", name, (e.name for e in tables.endpoints(tx, workspace)))
        sealed = tables.segments(tx, workspace, name, since, until)
        return endpoint, sealed, tables.positions(tx, workspace, name)


def _meets(entry: Entry, since: Micros, until: Micros) -> bool:
    return any(since <= event < until for event in entry.event)


def _strict(ground: Ground) -> bool:
    return bool(ground.config["prediction_sync"] == "batch")


def _unwritable(folder: Path, fault: OSError) -> MillraceError:
    if fault.errno in _FULL:
        return MillraceError(
            "log.full",
            f"no room is left to log predictions in {folder}",
            "free space on that disk: nothing was answered",
        )
    return MillraceError("log.unwritable", f"predictions cannot be logged: {fault}", f"look at the rights on {folder}")
