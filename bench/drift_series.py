"""Real tables as windows, and faults put into flights: what drift is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from millrace.stats import Layout, Profile, layout, profile

DAY_US = 86_400_000_000
TRAINED_DAYS = 60  # the layout's cells come from the first two months

Columns = dict[str, Any]


class Series(NamedTuple):
    """A table in the order of event time: `columns` (rows,), cut into windows at `bounds` (windows + 1,)."""

    name: str
    columns: Columns
    starts: np.ndarray
    bounds: np.ndarray
    cells: Layout

    def rows(self, i: int) -> Columns:
        """The rows of window i."""
        return {name: x[self.bounds[i] : self.bounds[i + 1]] for name, x in self.columns.items()}

    def windows(self, since: int = 0) -> Iterator[tuple[int, Profile]]:
        for i in range(since, len(self.starts)):
            yield int(self.starts[i]), profile(self.rows(i), self.cells)


def series(name: str, columns: Columns, times_us: np.ndarray, window_us: int = DAY_US, origin_us: int = 0) -> Series:
    order = np.argsort(times_us, kind="stable")
    at = (times_us[order] - origin_us) // window_us
    ordered = {k: v[order] for k, v in columns.items()}
    starts, first = np.unique(at, return_index=True)
    trained = int(np.searchsorted(at, at[0] + TRAINED_DAYS * DAY_US // window_us))
    cells = layout({k: v[:trained] for k, v in ordered.items()})
    return Series(name, ordered, starts * window_us + origin_us, np.append(first, len(at)), cells)


def electricity(data: Path) -> Series:
    raw = _read(data / "elec2.parquet")
    return series("electricity", {k: v for k, v in raw.items() if k != "timestamp"}, _micros(raw["timestamp"]))


def bikes(data: Path) -> Series:
    """Hourly rentals without the columns that are the date itself (season, year, month)."""
    raw = _read(data / "bike_sharing_hour.parquet")
    days = np.array(raw["dteday"], "datetime64[D]").astype("datetime64[us]").astype(np.int64)
    kept = {k: v for k, v in raw.items() if k not in ("instant", "dteday", "season", "yr", "mnth")}
    return series("bikes", kept, days + raw["hr"] * 3_600_000_000)


def flights() -> Series:
    """The demo's flights with their delays, by the day of the scheduled departure in New York (standard time)."""
    from millrace.demo import tables

    plan, left, landed = tables.flights(), tables.departures(), tables.landings()
    delay = np.full(len(plan["id"]), np.nan)
    delay[left["id"]] = left["dep_delay"]
    arrival = np.full(len(plan["id"]), np.nan)
    arrival[landed["id"]] = landed["arr_delay"]
    names = ("origin", "dest", "carrier", "distance", "duration", "hour", "minute")
    columns = {name: plan[name] for name in names} | {"dep_delay": delay, "arr_delay": arrival}
    return series("flights", columns, plan["sched_dep"], origin_us=tables.FIRST)


def weather() -> Series:
    from millrace.demo import tables

    raw = tables.weather()
    columns = {k: v for k, v in raw.items() if k not in ("hour", "known_at")}
    return series("weather", columns, raw["hour"], origin_us=tables.FIRST)


def _nulls(rows: Columns, random: np.random.Generator) -> None:
    x = rows["distance"].astype(np.float64)
    x[random.random(len(x)) < 0.05] = np.nan
    rows["distance"] = x


def _kilometres(rows: Columns, _: np.random.Generator) -> None:
    rows["distance"] = rows["distance"] * 1.609344


def _carriers(rows: Columns, random: np.random.Generator) -> None:
    x = rows["carrier"].copy()
    x[random.random(len(x)) < 0.05] = "ZZ"
    rows["carrier"] = x


def _hour(rows: Columns, _: np.random.Generator) -> None:
    rows["hour"] = rows["hour"] + 1


def _origins(rows: Columns, random: np.random.Generator) -> None:
    x, wrong = rows["origin"].copy(), random.random(len(rows["origin"])) < 0.2
    x[wrong] = "JFK"
    rows["origin"] = x


def _late(minutes: int) -> Callable[[Columns, np.random.Generator], None]:
    def change(rows: Columns, _: np.random.Generator) -> None:
        rows["dep_delay"] = rows["dep_delay"] + minutes

    return change


FAULTS: dict[str, tuple[str, Callable[[Columns, np.random.Generator], None]]] = {
    "5 % nulls": ("distance", _nulls),
    "km for miles": ("distance", _kilometres),
    "5 % unseen carriers": ("carrier", _carriers),
    "hour + 1": ("hour", _hour),
    "20 % wrong origins": ("origin", _origins),
    "delay + 20 min": ("dep_delay", _late(20)),
    "delay + 10 min": ("dep_delay", _late(10)),
}


def _read(path: Path) -> Columns:
    import duckdb

    found = duckdb.read_parquet(str(path)).fetchnumpy()
    return {name: np.asarray(x) for name, x in found.items()}


def _micros(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[us]").astype(np.int64)
