"""The flights of New York 2013 as four streams, each row with the moment it could first be known.

A model is asked about every flight one hour before its scheduled departure. What it may know by then:

- `flights`: the schedule; one row is one question, asked at `asked_at`.
- `departures`: known when the aircraft left, however late that was.
- `landings`: the outcome, known at landing; `late` is arr_delay > 15 minutes.
- `weather`: the weather of an hour, known when the hour has ended.

All stamps are int64 microseconds since 1970, UTC. Local clock columns are New York's, with its summer time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from millrace.base.clock import DAY, HOUR, MINUTE, Micros, from_iso
from millrace.base.errors import of_platform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Columns = dict[str, "NDArray[Any]"]

FIRST: Micros = from_iso("2013-01-01T05:00:00Z")  # midnight in New York
END: Micros = from_iso("2014-01-01T05:00:00Z")
LATE_MINUTES = 15
_ZERO: Micros = from_iso("2013-01-01T00:00:00Z")
_SUMMER: tuple[Micros, Micros] = (from_iso("2013-03-10T07:00:00Z"), from_iso("2013-11-03T06:00:00Z"))
_FOLDER = Path(__file__).parent


def local(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """New York's clock at `stamps` of 2013, as microseconds since 1970 of that clock."""
    import numpy as np

    summer = (stamps >= _SUMMER[0]) & (stamps < _SUMMER[1])
    return stamps - np.where(summer, 4 * HOUR, 5 * HOUR)


def flights() -> Columns:
    """The schedule, 336,776 rows in the order of `asked_at`.

    `id` numbers the flights; `number` is the airline's; `duration` is scheduled, in minutes; `distance` is in miles;
    `hour`, `minute` (of the day), `weekday` (0 is Monday), `month` and `yearday` are of the scheduled departure, local.
    `tailnum` is None for 2,512 flights.
    """
    raw = _raw("flights")
    leaves = _stamps(raw["sched_dep"])
    clock = local(leaves)
    days = clock // DAY
    return {
        "id": _ids(leaves),
        "asked_at": leaves - HOUR,
        "sched_dep": leaves,
        **{name: raw[name] for name in ("origin", "dest", "carrier", "tailnum")},
        "number": _whole(raw["number"]),
        "distance": _whole(raw["distance"]),
        "duration": _whole(raw["elapsed"]),
        "hour": clock // HOUR % 24,
        "minute": clock // MINUTE % (24 * 60),
        "weekday": (days + 3) % 7,  # 1970 began on a Thursday
        "month": _month(days),
        "yearday": days - _ZERO // DAY + 1,
    }


def departures() -> Columns:
    """Flights that left, in the order of `departed`; `dep_delay` is in minutes and may be negative."""
    import numpy as np

    raw = _raw("flights")
    leaves, delay = _stamps(raw["sched_dep"]), raw["dep_delay"]
    left = np.flatnonzero(~np.isnan(delay))
    departed = leaves[left] + _whole(delay[left]) * MINUTE
    order = np.argsort(departed, kind="stable")
    rows = left[order]
    return {
        "id": rows.astype(np.int64),
        "departed": departed[order],
        "sched_dep": leaves[rows],
        **{name: raw[name][rows] for name in ("origin", "dest", "carrier", "tailnum")},
        "dep_delay": _whole(delay[rows]),
    }


def landings() -> Columns:
    """What became of every flight, in the order of `known_at`; `state` is flown, cancelled or diverted.

    A flown one is known at its landing. No record tells when a flight was cancelled: it is known at the latest at its
    scheduled departure, and is taken as such. A diverted one is known when it should have landed after its actual
    departure. `arr_delay` (minutes) and `late` (0, 1) are NaN unless flown.
    """
    import numpy as np

    raw = _raw("flights")
    leaves, elapsed = _stamps(raw["sched_dep"]), _whole(raw["elapsed"])
    left, landed = raw["dep_delay"], raw["arr_delay"]
    flown, cancelled = ~np.isnan(landed), np.isnan(left)
    delay = _whole(np.where(flown, landed, np.where(cancelled, 0.0, left)))
    known_at = leaves + np.where(cancelled, 0, elapsed + delay) * MINUTE
    order = np.argsort(known_at, kind="stable")
    state = np.array(["diverted", "cancelled", "flown"], object)[np.where(flown, 2, np.where(cancelled, 1, 0))]
    return {
        "id": _ids(leaves)[order],
        "known_at": known_at[order],
        "state": state[order],
        "arr_delay": landed[order],
        "late": np.where(flown, landed > LATE_MINUTES, np.nan)[order],
    }


def weather() -> Columns:
    """The weather of each hour and origin: `hour` is its start, `known_at` its end; NaN where nothing was measured.

    Degrees Fahrenheit, percent, miles per hour, inches, millibars, miles: as they were recorded, with their mistakes.
    """
    import numpy as np

    raw = _raw("weather")
    starts = _stamps(raw["hour"])
    measured = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return {
        "hour": starts,
        "known_at": starts + HOUR,
        "origin": raw["origin"],
        **{name: raw[name].astype(np.float64) for name in measured},
    }


def known(name: str, until: Micros | str) -> Columns:
    """The rows of a table (flights, departures, landings or weather) that were known before `until`, micros or ISO.

    Errors: `platform.missing`.
    """
    with of_platform("the demo's flights"):
        import numpy  # noqa: F401
    make, stamp = {
        "flights": (flights, "asked_at"), "departures": (departures, "departed"), "landings": (landings, "known_at"),
        "weather": (weather, "known_at"),
    }[name]  # fmt: skip
    return between(make(), stamp, 0, from_iso(until) if isinstance(until, str) else until)


class Hour(NamedTuple):
    """What arrives in one hour of event time, and the flights that are asked about in it."""

    start: Micros
    departures: Columns
    landings: Columns
    weather: Columns
    asked: Columns


def hours(first: Micros = FIRST, last: Micros = END) -> Iterator[Hour]:
    """The hours from `first` until `last`, in order; rows of an hour are those with start <= stamp < start + 1 h."""
    streams = (
        (departures(), "departed"), (landings(), "known_at"), (weather(), "known_at"), (flights(), "asked_at"),
    )  # fmt: skip
    for start in range(first, last, HOUR):
        yield Hour(start, *(between(table, column, start, start + HOUR) for table, column in streams))


def between(table: Columns, column: str, since: Micros, until: Micros) -> Columns:
    """The rows of `table` with since <= `column` < until; they are in the order of that column."""
    import numpy as np

    low, high = np.searchsorted(table[column], (since, until))
    return {name: values[low:high] for name, values in table.items()}


@cache
def _raw(name: str) -> Columns:
    from millrace.data import parquet

    return parquet.read(_FOLDER / f"{name}.parquet")


def _stamps(minutes: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    return minutes.astype(np.int64) * MINUTE + _ZERO


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    return values.astype(np.int64)


def _ids(rows: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    return np.arange(len(rows), dtype=np.int64)


def _month(days: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months % 12 + 1
