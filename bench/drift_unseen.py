"""Other years, columns, windows, faults and worlds than those that drift's constants were chosen on.

The constants of `millrace.stats.drift` were chosen with the series, faults and worlds of `drift_series.py` and
`drift_worlds.py` in sight. Nothing here was: `bench/drift.py --only unseen` prints the same figures on these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drift_series import DAY_US, Columns, Series, _micros, _read, series
from drift_worlds import HOUR_US, World

BREAK_ROW = 17_424
Change = Callable[[Columns, np.random.Generator], None]


def calm(data: Path) -> Iterator[Series]:
    """Series in which nothing is known to be broken, each with its seasons; streams whose inputs never change."""
    electric = _read(data / "elec2.parquet")
    coupled = {k: v[BREAK_ROW:] for k, v in electric.items()}
    kept = {k: v for k, v in coupled.items() if k != "timestamp"}
    yield series("electricity, coupled", kept, _micros(coupled["timestamp"]))
    yield bikes_second(data)
    yield flights_other(data)
    for origin in ("EWR", "JFK", "LGA"):
        yield flights_other(data, origin)
    weather = _read(data / "nycflights13_weather.parquet")
    for origin in ("EWR", "JFK", "LGA"):
        at = weather["origin"] == origin
        names = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
        yield series(f"weather of {origin}", {k: _numbers(weather[k][at]) for k in names}, _stamps(weather, at))
    yield flights_hourly(data)
    sea = _read(data / "sea_stream.parquet")
    yield steady("SEA, inputs", {k: v for k, v in sea.items() if k != "class"}, 500)
    for name in ("sine1", "mixed"):
        table = _read(data / f"tornado_{name}_w_50_n_0p1.parquet")
        inputs = {k: _numbers(v) for k, v in table.items() if k not in ("class", "stream")}
        yield steady(f"Tornado {name}, inputs", inputs, 1000)
    loan = _read(data / "nannyml_synthetic_car_loan_reference.parquet")
    yield steady("car loan, reference", {k: v for k, v in loan.items() if k not in ("id", "timestamp")}, 500)


def bikes_second(data: Path) -> Series:
    """The second year; its past begins in autumn of the first."""
    raw = _read(data / "bike_sharing_hour.parquet")
    days = np.array(raw["dteday"], "datetime64[D]").astype("datetime64[us]").astype(np.int64)
    late = days >= int(np.datetime64("2011-10-01", "us").astype(np.int64))
    left_out = ("instant", "dteday", "season", "yr", "mnth")
    kept = {k: v[late] for k, v in raw.items() if k not in left_out}
    return series("bikes, second year", kept, (days + raw["hr"] * HOUR_US)[late])


def flights_other(data: Path, origin: str = "") -> Series:
    """The columns that the demo does not have: clock times, air time, flight and tail numbers; all or one airport."""
    raw = _read(data / "nycflights13_flights.parquet")
    at = np.ones(len(raw["origin"]), bool) if not origin else raw["origin"] == origin
    names = ("dep_time", "arr_time", "sched_arr_time", "air_time", "flight")
    columns: Columns = {k: _numbers(raw[k][at]) for k in names} | {"tailnum": _words(raw["tailnum"][at])}
    if origin:
        columns |= {k: _words(raw[k][at]) for k in ("carrier", "dest")} | {"arr_delay": _numbers(raw["arr_delay"][at])}
    return series(f"flights of {origin or 'all'}, other columns", columns, _stamps(raw, at), origin_us=5 * HOUR_US)


def flights_hourly(data: Path) -> Series:
    raw = _read(data / "nycflights13_flights.parquet")
    columns: Columns = {k: _words(raw[k]) for k in ("carrier", "origin", "dest")}
    columns |= {k: _numbers(raw[k]) for k in ("dep_delay", "arr_delay", "distance", "air_time")}
    return series("flights by the hour", columns, _stamps(raw, np.ones(len(raw["origin"]), bool)), HOUR_US)


def steady(name: str, columns: Columns, rows: int) -> Series:
    """A table without a clock: `rows` rows a day."""
    n = len(next(iter(columns.values())))
    return series(name, columns, np.arange(n, dtype=np.int64) // rows * DAY_US)


def _numbers(x: np.ndarray) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(x).astype(np.float64), np.nan)


def _words(x: np.ndarray) -> np.ndarray:
    masked = np.ma.asarray(x)
    found = np.asarray(masked.data, object).copy()
    found[np.ma.getmaskarray(masked)] = None
    return found


def _stamps(raw: Columns, at: np.ndarray) -> np.ndarray:
    return np.array([str(t).rstrip("Z") for t in raw["time_hour"][at]], "datetime64[us]").astype(np.int64)


def _some(column: str, share: float, value: object) -> Change:
    def change(rows: Columns, random: np.random.Generator) -> None:
        x = rows[column].astype(object) if isinstance(value, str) else rows[column].astype(np.float64)
        x[random.random(len(x)) < share] = value
        rows[column] = x

    return change


def _times(column: str, factor: float, more: float = 0.0) -> Change:
    def change(rows: Columns, _: np.random.Generator) -> None:
        rows[column] = rows[column] * factor + more

    return change


def _swapped(rows: Columns, _: np.random.Generator) -> None:
    x = rows["carrier"].copy()
    united, delta = x == "UA", x == "DL"
    x[united], x[delta] = "DL", "UA"
    rows["carrier"] = x


def _coarse(rows: Columns, _: np.random.Generator) -> None:
    rows["minute"] = rows["minute"] // 15 * 15


def _lower(rows: Columns, random: np.random.Generator) -> None:
    x = rows["dest"].copy()
    some = random.random(len(x)) < 0.1
    x[some] = np.array([str(v).lower() for v in x[some]], object)
    rows["dest"] = x


BELOW: dict[str, tuple[str, Change]] = {  # changes below the tolerance: nothing is to be found
    "UA and DL exchanged, PSI .01": ("carrier", _swapped),
    "minutes to the quarter, .02 sd": ("minute", _coarse),
}
FAULTS: dict[str, tuple[str, Change]] = {
    "3 % of durations 0": ("duration", _some("duration", 0.03, 0.0)),
    "10 % of carriers missing": ("carrier", _some("carrier", 0.1, "")),
    "10 % of dests in lower case": ("dest", _lower),
    "distance in 100 miles": ("distance", _times("distance", 0.01)),
    "hour − 5 (time zone)": ("hour", _times("hour", 1.0, -5.0)),
    "delay in seconds": ("dep_delay", _times("dep_delay", 60.0)),
    "delay + 15 min": ("dep_delay", _times("dep_delay", 1.0, 15.0)),
}
FAULT_DAYS = (101, 133, 170, 196, 231, 262, 290, 322)


class Kind(NamedTuple):
    """How the hours of an unseen world go: `World`'s memory and spread, and what it does not know."""

    name: str
    rho: float
    sd: float
    rows: int
    factor: float = 0.0  # the share of the means' variance that all columns have in common
    wobble: float = 0.0  # the standard deviation of the log of a column's own spread, AR(1) with rho
    season: float = 0.0  # the amplitude of a daily wave of the means
    traffic: float = 0.0  # the amplitude of a daily wave of the rows, as a share
    bursts: float = 0.0  # the chance of an hour in which five columns lie half a standard deviation off
    columns: int = 30


KINDS = (
    Kind("AR(1) 0.3, sd 0.1", 0.3, 0.1, 500),
    Kind("AR(1) 0.55, sd 0.1", 0.55, 0.1, 500),
    Kind("AR(1) 0.55, sd 0.1", 0.55, 0.1, 5_000),
    Kind("AR(1) 0.75, sd 0.1", 0.75, 0.1, 500),
    Kind("AR(1) 0.6, sd 0.2", 0.6, 0.2, 1_000),
    Kind("AR(1) 0.95, sd 0.1", 0.95, 0.1, 2_000),
    Kind("one cause for all, AR(1) 0.55, sd 0.1", 0.55, 0.1, 500, factor=0.8),
    Kind("spreads remember 0.55, sd of log 0.1", 0.55, 0.02, 500, wobble=0.1),
    Kind("daily wave 0.3 sd, AR(1) 0.5, sd 0.05", 0.5, 0.05, 1_000, season=0.3),
    Kind("rows 100 … 1,900 by the hour, AR(1) 0.5", 0.5, 0.1, 1_000, traffic=0.9),
    Kind("bursts in 2 % of hours", 0.0, 0.0, 1_000, bursts=0.02),
    Kind("AR(1) 0.55, sd 0.1, 5 columns", 0.55, 0.1, 500, columns=5),
)


class Other(World):
    """A world of one of the `KINDS`."""

    def __init__(self, random: np.random.Generator, kind: Kind) -> None:
        super().__init__(random, kind.rho, kind.sd, kind.rows, kind.columns)
        self.kind, self.common, self.log_sd = kind, float(random.normal()), np.zeros(kind.columns)
        self.phase = random.random(kind.columns) * 2 * np.pi

    def step(self) -> tuple[np.ndarray, np.ndarray, int]:
        kind, fresh = self.kind, np.sqrt(1 - self.kind.rho**2)
        mean, spread, rows = super().step()
        self.common = kind.rho * self.common + fresh * float(self.random.normal())
        self.log_sd = kind.rho * self.log_sd + fresh * kind.wobble * self.random.normal(size=kind.columns)
        mean = np.sqrt(1 - kind.factor) * mean + np.sqrt(kind.factor) * kind.sd * self.common
        wave = 2 * np.pi * (self.hour % 24) / 24
        mean = mean + kind.season * np.sin(wave + self.phase)
        if self.random.random() < kind.bursts:
            mean[self.random.permutation(kind.columns)[:5]] += 0.5
        return mean, spread * np.exp(self.log_sd), int(self.random.poisson(rows * (1 + kind.traffic * np.sin(wave))))
