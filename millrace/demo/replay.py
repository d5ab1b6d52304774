"""A year of flights as the platform would have met it: hour by hour, each row at the moment it could be known.

Everything goes over HTTP through public verbs and the Open Inference Protocol. Each call carries a key of its own
hour, so a replay that was killed is started again from the last sealed day and repeats nothing.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import msgspec

from millrace.base.clock import DAY, HOUR, Micros
from millrace.base.errors import MillraceError
from millrace.data.parquet import listed
from millrace.demo import tables
from millrace.demo.tables import Columns, Hour
from millrace.sdk.client import Client, told

ENDPOINT = "delays"
_TEXT = ("origin", "dest", "carrier", "tailnum")
_ASKED_AT_ONCE = 6
_PUSHED_TOGETHER = 3  # hours of what became known, in one call
_AHEAD = 6  # hours that may have come since the oldest open question: within what a server keeps at hand for one
_ASKED = ("id", "asked_at", *_TEXT, "hour", "minute", "weekday", "distance", "duration")


class Replay:
    """Replays ``[since, until)`` of 2013.

    `each_day` is called after a day was closed and the loop has settled, `each_hour` after an hour was answered;
    while `hour_by_hour` says so, no hour is asked about before that.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        since: Micros,
        until: Micros,
        *,
        labels: bool = True,
        each_day: Callable[[Micros], None] = lambda day: None,
        each_hour: Callable[[Micros], None] = lambda hour: None,
        hour_by_hour: Callable[[], bool] = lambda: False,
    ) -> None:
        import urllib3

        self._client = client
        self._url = url
        self._since, self._until = since, until
        self._labels = labels
        self._each_day, self._each_hour, self._hour_by_hour = each_day, each_hour, hour_by_hour
        self._pool = urllib3.PoolManager(
            maxsize=_ASKED_AT_ONCE, retries=urllib3.Retry(4, backoff_factor=0.2), timeout=60.0
        )
        self._asked = _Asked(since, until)
        self.requests = self.failures = 0

    def run(self) -> None:
        """Replay from the last sealed day on."""
        sealed = self._client.call("endpoint.get", endpoint=ENDPOINT)["sealed"]
        first = max(self._since, sealed or 0)
        if first > self._since:
            self._close(first)  # a kill may have come between the sealing of a day and what follows from it
        with ThreadPoolExecutor(1) as feed, ThreadPoolExecutor(_ASKED_AT_ONCE + 2) as programs:
            for day, hours in itertools.groupby(tables.hours(first, self._until), _day):
                self._live(list(hours), feed, programs)
                self._close(day + DAY)

    def _live(self, hours: list[Hour], feed: Executor, programs: Executor) -> None:
        """A day. Its streams come in order; an hour is asked about as soon as all that it may know has come, while
        the hours before it may still be waiting for their answers. None of this changes an answer."""
        pushes = [hours[first : first + _PUSHED_TOGETHER] for first in range(0, len(hours), _PUSHED_TOGETHER)]
        arrived: list[Future[None]] = []
        asked: deque[tuple[Hour, Future[None]]] = deque()
        labelled: list[Future[None]] = []
        for place, hour in enumerate(hours):
            needed = place // _PUSHED_TOGETHER + 1
            while len(asked) >= (1 if self._hour_by_hour() else _ASKED_AT_ONCE) or needed > _ready(place - len(asked)):
                labelled.append(self._answered(*asked.popleft(), programs))
            arrived += [feed.submit(self._arrive, part) for part in pushes[len(arrived) : _ready(place - len(asked))]]
            arrived[needed - 1].result()
            asked.append((hour, programs.submit(self._ask, hour)))
        while asked:
            labelled.append(self._answered(*asked.popleft(), programs))
        for outcome in labelled:
            outcome.result()

    def _answered(self, hour: Hour, answer: Future[None], programs: Executor) -> Future[None]:
        """Wait for an hour's answers, then bring the outcomes that were known by then."""
        answer.result()
        self._each_hour(hour.start)
        return programs.submit(self._label, hour)

    def _arrive(self, hours: list[Hour]) -> None:
        """What became known in these hours, and the flights that are asked about in them."""
        streams = {
            "flights": [hour.asked for hour in hours], "departures": [hour.departures for hour in hours],
            "landings": [hour.landings for hour in hours], "weather": [hour.weather for hour in hours],
        }  # fmt: skip
        found = {name: lists(parts) for name, parts in streams.items()}
        pushed = {name: table for name, table in found.items() if any(table.values())}
        if pushed:
            self._client.once(f"push-{hours[0].start}", "dataset.push", tables=pushed)

    def _ask(self, hour: Hour) -> None:
        rows = len(hour.asked["id"])
        if not rows:
            return
        inputs = [
            {
                "name": name, "shape": [rows], "datatype": "BYTES" if name in _TEXT else "INT64",
                "data": hour.asked[name].tolist(),
            }
            for name in _ASKED
        ]  # fmt: skip
        body = msgspec.json.encode({"id": request_of(hour.start), "inputs": inputs})
        path = f"{self._url}/v2/models/{ENDPOINT}/infer"
        answer = self._pool.request("POST", path, body=body, headers={"Content-Type": "application/json"})
        self.requests += 1
        if answer.status != 200:
            self.failures += 1
            if b"model.failed" not in answer.data:
                raise _refused(answer.data, answer.status)

    def _label(self, hour: Hour) -> None:
        """Outcomes of flights that were asked about, known in this hour."""
        ids = hour.landings["id"]
        known = self._asked.has(ids)
        if not self._labels or not known.any():
            return
        late, state = hour.landings["late"][known], hour.landings["state"][known]
        self._client.once(
            f"label-{hour.start}", "label.add", endpoint=ENDPOINT, ids=self._asked.names(ids[known]),
            event=self._asked.at(ids[known]).tolist(), arrived=hour.landings["known_at"][known].tolist(),
            values=listed(late),
            states=["" if word == "flown" else word for word in state.tolist()],
        )  # fmt: skip

    def _close(self, until: Micros) -> None:
        """The day is over, and what came of it is known here: whatever follows from it follows now."""
        self._client.call("endpoint.advance", endpoint=ENDPOINT, until=until)
        self._client.call("loop.settle", timeout_s=600)
        self._each_day(until)


class _Asked:
    """Under which prediction id a flight was asked about: its hour's request, and its row in it."""

    def __init__(self, since: Micros, until: Micros) -> None:
        import numpy as np

        flights = tables.flights()
        stamps = flights["asked_at"]
        self._stamps = np.empty(len(stamps), np.int64)
        self._stamps[flights["id"]] = stamps
        self._rows = np.empty(len(stamps), np.int64)
        hours = (stamps - tables.FIRST) // HOUR
        first = np.searchsorted(hours, hours)
        self._rows[flights["id"]] = np.arange(len(stamps)) - first
        self._since, self._until = since, until

    def has(self, flights: Any) -> Any:
        return (self._stamps[flights] >= self._since) & (self._stamps[flights] < self._until)

    def at(self, flights: Any) -> Any:
        return self._stamps[flights]

    def names(self, flights: Any) -> list[str]:
        starts = (self._stamps[flights] - tables.FIRST) // HOUR * HOUR + tables.FIRST
        return [
            f"{request_of(start)}:{row}"
            for start, row in zip(starts.tolist(), self._rows[flights].tolist(), strict=True)
        ]


def _day(hour: Hour) -> Micros:
    """The start of an hour's day, which is New York's in winter."""
    return hour.start - (hour.start - tables.FIRST) % DAY


def request_of(start: Micros) -> str:
    """The id of an hour's request."""
    return f"flights-{(start - tables.FIRST) // HOUR:04d}"


def prediction_of(flight: int) -> str:
    """The prediction id of a flight."""
    import numpy as np

    return _Asked(tables.FIRST, tables.END).names(np.array([flight]))[0]


def lists(parts: list[Columns]) -> dict[str, list[Any]]:
    """Columns as JSON has them, of tables one below the other."""
    return {name: [value for part in parts for value in listed(part[name])] for name in parts[0]}


def _ready(oldest: int) -> int:
    """How many pushes of a day may have been made while the question of its hour `oldest` is open."""
    return (oldest + _AHEAD) // _PUSHED_TOGETHER


def _refused(body: bytes, status: int) -> MillraceError:
    try:
        answer = msgspec.json.decode(body)
        return MillraceError("server.unreachable", f"a prediction was refused ({status}): {answer['error']}")
    except (msgspec.DecodeError, KeyError, TypeError):
        return told(body, status)
