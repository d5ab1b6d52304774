"""What drift promises, measured: real series with season, faults put into flights, simulated worlds, and its cost.

    python bench/drift.py [--data FOLDER] [--months 12] [--seed 1] [--only real,faults]

Parts: real, year, faults, cost, worlds, unseen; without --only all of them.
FOLDER holds elec2.parquet and bike_sharing_hour.parquet; without it only what the demo ships is measured. Rivals in
the same windows: population stability > 0.1 in any column, and Kolmogorov–Smirnov (numbers) with Bonferroni at 0.05
a window, both against the first two months. CPU seconds; the ratio to the floor of the same run is the figure.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from drift_series import (
    DAY_US,
    FAULTS,
    TRAINED_DAYS,
    Columns,
    Series,
    bikes,
    electricity,
    flights,
    weather,
)  # fmt: skip
from drift_unseen import BELOW, KINDS, Other, calm
from drift_unseen import FAULT_DAYS as OTHER_DAYS
from drift_unseen import FAULTS as OTHER_FAULTS
from drift_worlds import HOUR_US, World
from scipy import stats as scipy_stats

from millrace.stats import (
    ALARM,
    QUIET,
    Drift,
    DriftReport,
    drift_pack,
    drift_start,
    drift_update,
    layout,
    merge_profiles,
    profile,
)  # fmt: skip
from millrace.stats.contrast import contrast, grid, grouped

MONTH = 365.25 / 12
BREAK_ROW = 17_424
FAULT_DAYS = tuple(np.linspace(90, 335, 8).astype(int).tolist())


def follow(series: Series, until: int | None = None) -> Iterator[tuple[int, DriftReport]]:
    """Each window's number and report, against what is usual."""
    watch = drift_start(series.cells)
    for i, (start, window) in enumerate(islice(series.windows(), until)):
        watch, report = drift_update(watch, series.cells, start, window)
        yield i, report


class Rivals:
    """Fixed limits against the first two months; alarms counted by window."""

    def __init__(self, series: Series) -> None:
        self.series, self.table = series, grid(series.cells)
        trained = int(np.searchsorted(series.starts, series.starts[0] + TRAINED_DAYS * DAY_US))
        self.training = {k: v[: series.bounds[trained]] for k, v in series.columns.items()}
        self.counts = grouped(profile(self.training, series.cells), self.table)
        self.psi = self.ks = 0

    def see(self, i: int) -> None:
        rows = self.series.rows(i)
        now = grouped(profile(rows, self.series.cells), self.table)
        found = contrast(now, self.counts, self.table.starts)
        n, big = now[: self.table.starts[1]].sum(), self.counts[: self.table.starts[1]].sum()
        self.psi += bool((found.psi + found.degrees * (1 / n + 1 / big) > 0.1).any())
        p = [self._ks(rows[k], self.training[k]) for k, v in rows.items() if v.dtype != object]
        self.ks += min(p) < 0.05 / len(p)

    def _ks(self, a: np.ndarray, b: np.ndarray) -> float:
        a, b = a[~np.isnan(a.astype(float))], b[~np.isnan(b.astype(float))]
        return float(scipy_stats.ks_2samp(a, b[:: max(1, len(b) // 5000)], method="asymp").pvalue) if len(a) else 1.0


def real(data: Path | None) -> None:
    print("\nReal series, daily windows, against what is usual (bar: at most 3 alarms in 37 months)")
    print(f"{'series':<24} {'months':>7} {'alarms':>7} {'PSI > 0.1':>10} {'KS, Bonf.':>10}   named")
    months = alarms = 0.0
    chosen: list[tuple[Series, int | None]] = [(flights(), None), (weather(), None)]
    if data:
        electric = electricity(data)
        chosen += [(electric, int(np.searchsorted(electric.bounds, BREAK_ROW))), (bikes(data), 365)]
    for series, until in chosen:
        judged, found, rivals = 0, [], Rivals(series)
        for i, report in follow(series, until):
            if report.verdict.decision in (ALARM, QUIET):
                judged += 1
                rivals.see(i)
            if report.verdict.decision == ALARM:
                found.append(f"day {i}: {', '.join(report.named)}")
        months, alarms = months + judged / MONTH, alarms + len(found)
        told = f"{rivals.psi:10} {rivals.ks:10}   {'; '.join(found)}"
        print(f"{series.name:<24} {judged / MONTH:7.1f} {len(found):7} {told}")
    print(f"{'together':<24} {months:7.1f} {alarms:7.0f}   {alarms / months:.3f} a month")
    if not data:
        return
    first = next(((i, r) for i, r in follow(electric) if r.verdict.decision == ALARM), None)
    if first:
        i, report = first
        row = int(electric.bounds[i])
        print(f"electricity's break at row {BREAK_ROW}: first alarm in the window from row {row}, named {report.named}")
        print(f"  {report.verdict.because}")


def year(data: Path) -> None:
    print("\nGrowth against last year, weekly windows (bar: bikes by 15 January 2012)")
    series = bikes(data)
    watch = drift_start(series.cells, window_us=7 * DAY_US, against="year")
    windows = list(series.windows())
    first = windows[0][0]
    for week in range((windows[-1][0] - first) // (7 * DAY_US)):
        start = first + week * 7 * DAY_US
        inside = [p for s, p in windows if start <= s < start + 7 * DAY_US]
        watch, report = drift_update(watch, series.cells, start, merge_profiles(*inside))
        if report.verdict.decision == ALARM:
            last = np.datetime64((start + 7 * DAY_US) // DAY_US - 1, "D")
            print(f"bikes: alarm with the week that ends on {last}: {report.verdict.because}")
            return
    print("bikes: NOT FOUND")


def faults() -> None:
    print("\n7 faults in flights on 8 dates (bar: all 56 found, right column first, median ≤ 2 days; delays ≤ 5)")
    _faults(FAULTS, FAULT_DAYS)


def _faults(chosen: dict[str, tuple[str, Any]], dates: tuple[int, ...]) -> None:
    series = flights()
    watch, kept = drift_start(series.cells), {}
    for i, (start, window) in enumerate(series.windows()):
        kept[i] = watch if i in dates else None
        watch, _ = drift_update(watch, series.cells, start, window, quick=True)
    print(f"{'fault':<28} {'found':>6} {'right first':>12} {'median days':>12}   days")
    found_all, first_all, delays = 0, 0, {True: [], False: []}
    for name, (column, change) in chosen.items():
        days, right = [], 0
        for day in dates:
            took, named = _until_found(series, kept[day], day, change)
            days.append(took)
            right += bool(named) and named[0] == column
        found_all, first_all = found_all + sum(d < 99 for d in days), first_all + right
        delays[name.startswith("delay")] += days
        print(f"{name:<28} {sum(d < 99 for d in days):6} {right:12} {np.median(days):12.1f}   {days}")
    if not delays[True]:
        print(f"together {found_all} of {len(chosen) * len(dates)} found")
        return
    medians = f"median {np.median(delays[False]):g} days for data faults, {np.median(delays[True]):g} for delays"
    print(f"together {found_all} of {len(chosen) * len(dates)}, right column first in {first_all}; {medians}")


def _until_found(series: Series, watch: Drift, day: int, change: Any) -> tuple[int, tuple[str, ...]]:
    random = np.random.default_rng(day)
    for i in range(day, min(day + 28, len(series.starts))):
        rows = series.rows(i)
        change(rows, random)
        watch, report = drift_update(watch, series.cells, int(series.starts[i]), profile(rows, series.cells))
        if report.verdict.decision == ALARM:
            return i - day + 1, report.named
    return 99, ()


def worlds(months: int, seed: int) -> None:
    print(f"\nSimulated hours, 30 columns, {months} months each (bars: < 0.1 a month; 0.02 sd never; delays below)")
    print(f"{'world':<44} {'rows':>7} {'alarms':>7} {'a month':>8} {'±':>6}   CPU s")
    for name, rho, sd, rows, shift, columns in (
        ("independent", 0.0, 0.0, 500, 0.0, 0),
        ("independent", 0.0, 0.0, 5_000, 0.0, 0),
        ("independent", 0.0, 0.0, 100_000, 0.0, 0),
        ("0.02 sd in all columns", 0.0, 0.0, 100_000, 0.02, 30),
        ("AR(1) 0.9, means of sd 0.1", 0.9, 0.1, 500, 0.0, 0),
        ("AR(1) 0.9, means of sd 0.1", 0.9, 0.1, 5_000, 0.0, 0),
        ("AR(1) 0.98, means of sd 0.1", 0.98, 0.1, 500, 0.0, 0),
    ):
        cpu = time.process_time()
        world = World(np.random.default_rng([seed, rows, round(100 * rho)]), rho, sd, rows)
        watch, alarms, judged, moved = drift_start(world.cells, window_us=HOUR_US), 0, 0, None
        while judged < months * MONTH * 24:
            if shift and judged == 200 and moved is None:
                moved = world.hour
            watch, report = drift_update(watch, world.cells, *world.window(shift if moved else 0, columns), quick=True)
            judged += report.verdict.decision in (ALARM, QUIET)
            alarms += report.verdict.decision == ALARM
        _told(name, rows, alarms, months, cpu)
    print(
        f"\n{'shift in 3 of 30 columns':<44} {'rows':>7} {'median h':>9} {'bar':>5}   hours of 12 starts; named right"
    )
    for name, rho, sd, rows, shift, bar in (
        ("0.2 sd, independent", 0.0, 0.0, 500, 0.2, 15),
        ("0.2 sd, independent", 0.0, 0.0, 5_000, 0.2, 2),
        ("0.2 sd, independent", 0.0, 0.0, 100_000, 0.2, 1),
        ("0.5 sd, AR(1) 0.9", 0.9, 0.1, 500, 0.5, 6),
        ("0.5 sd, AR(1) 0.9", 0.9, 0.1, 5_000, 0.5, 6),
    ):
        hours, right = _delays(World(np.random.default_rng([seed, rows]), rho, sd, rows), shift)
        print(f"{name:<44} {rows:7} {np.median(hours):9.1f} {bar:5}   {hours}; {right} of 12")


def _delays(world: World, shift: float) -> tuple[list[int], int]:
    watch = drift_start(world.cells, window_us=HOUR_US)
    for _ in range(24 * 7 * 8):
        watch, _ = drift_update(watch, world.cells, *world.window(), quick=True)
    hours, right = [], 0
    for _ in range(12):
        for _ in range(30):
            watch, _ = drift_update(watch, world.cells, *world.window(), quick=True)
        branch, state = watch, world.state()
        took, named = 999, ()
        for hour in range(1, 73):
            branch, report = drift_update(branch, world.cells, *world.window(shift, 3), quick=True)
            if report.verdict.decision == ALARM:
                took, named = hour, report.named
                break
        hours.append(took)
        right += set(named) <= {"x0", "x1", "x2"} and bool(named)
        world.back(state)
    return hours, right


def unseen(data: Path | None, months: int, seed: int) -> None:
    """The same questions on what no constant was chosen on (`drift_unseen.py`)."""
    if data:
        print("\nUnseen series, against what is usual")
        print(f"{'series':<30} {'windows':>8} {'months':>7} {'alarms':>7}   named")
        total = judged = 0.0
        for series in calm(data):
            window_us = int(np.diff(series.starts).min())
            watch, seen, found = drift_start(series.cells, window_us=window_us), 0, []
            for start, window in series.windows():
                watch, report = drift_update(watch, series.cells, start, window, quick=True)
                seen += report.verdict.decision in (ALARM, QUIET)
                if report.verdict.decision == ALARM:
                    found.append(f"{np.datetime64(start, 'us').astype('datetime64[h]')} {', '.join(report.named)}")
            months_seen = seen * window_us / DAY_US / MONTH
            total, judged = total + len(found), judged + months_seen
            print(f"{series.name:<30} {seen:8} {months_seen:7.1f} {len(found):7}   {'; '.join(found)}", flush=True)
        print(f"{'together':<30} {'':8} {judged:7.1f} {total:7.0f}   {total / judged:.3f} a month")
    print("\nUnseen faults in flights, on unseen dates")
    _faults(OTHER_FAULTS, OTHER_DAYS)
    print("and changes that are immaterial by the tolerance: an alarm would be false")
    _faults(BELOW, OTHER_DAYS)
    print(f"\nUnseen worlds, {months} months each (bar: < 0.1 alarms a month)")
    print(f"{'world':<44} {'rows':>7} {'alarms':>7} {'a month':>8} {'±':>6}   CPU s")
    for i, kind in enumerate(KINDS):
        cpu = time.process_time()
        alarms = _alarms(Other(np.random.default_rng([seed, 77, i]), kind), months)
        _told(kind.name, kind.rows, alarms, months, cpu)


def _alarms(world: World, months: int) -> int:
    watch, alarms, judged = drift_start(world.cells, window_us=HOUR_US), 0, 0
    while judged < months * MONTH * 24:
        watch, report = drift_update(watch, world.cells, *world.window(), quick=True)
        judged += report.verdict.decision in (ALARM, QUIET)
        alarms += report.verdict.decision == ALARM
    return alarms


def _told(name: str, rows: int, alarms: int, months: int, cpu: float) -> None:
    slack = 2 * np.sqrt(max(alarms, 1)) / months
    spent = time.process_time() - cpu
    print(f"{name:<44} {rows:7} {alarms:7} {alarms / months:8.3f} {slack:6.3f}   {spent:.0f}", flush=True)


def cost() -> None:
    rows = 500_000
    print(f"\nCost: {rows:,} rows × 20 columns against a stored reference (bar: ≤ 0.5 CPU s, ≤ 1.2 × floor)")
    now, old = _table(1, rows), _table(2, rows)
    cells = layout(old)
    pieces = [profile({k: v[i : i + 25_000] for k, v in old.items()}, cells) for i in range(0, rows, 25_000)]
    watch = drift_start(cells, history=[(i * DAY_US, pieces[i % len(pieces)]) for i in range(60)])
    edges = {k: np.quantile(old[k], np.linspace(0, 1, 65)[1:-1]) for k in now if k.startswith("x")}

    def floor() -> None:
        for name, x in now.items():
            if name in edges:
                np.bincount(np.searchsorted(edges[name], x), minlength=64)
                np.count_nonzero(np.isnan(x))
            else:
                Counter(x.tolist())

    def ours() -> DriftReport:
        return drift_update(watch, cells, 60 * DAY_US, profile(now, cells))[1]

    def ks() -> None:
        for name in edges:
            scipy_stats.ks_2samp(now[name], old[name], method="asymp")

    bare, mine, rival = (_cpu(f, n) for f, n in ((floor, 3), (ours, 3), (ks, 1)))
    tracemalloc.start()
    report = ours()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    told, kept = len(msgspec.json.encode(report)) / 1e3, len(drift_pack(watch)) / 1e3
    print(f"profile and test {mine:.3f} CPU s; NumPy floor {bare:.3f}; ratio {mine / bare:.2f}")
    print(f"Kolmogorov–Smirnov on the 15 numbers {rival:.2f} CPU s")
    print(f"peak above the data {peak:.0f} MB (bar 50); report {told:.0f} kB (bar 200); state {kept:.0f} kB")


def _table(seed: int, rows: int) -> Columns:
    random = np.random.default_rng(seed)
    table: Columns = {f"x{i}": random.normal(size=rows) if i % 3 else random.lognormal(size=rows) for i in range(15)}
    for j, levels in enumerate((3, 10, 50, 200, 1000)):
        table[f"c{j}"] = np.array([f"v{i}" for i in range(levels)], object)[random.integers(0, levels, rows)]
    return table


def _cpu(run: Any, times: int) -> float:
    best = np.inf
    for _ in range(times):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return float(best)


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    read.add_argument("--data", type=Path, default=None)
    read.add_argument("--months", type=int, default=12)
    read.add_argument("--seed", type=int, default=1)
    read.add_argument("--only", default="real,year,faults,cost,worlds,unseen")
    ask = read.parse_args()
    chosen = ask.only.split(",")
    if "real" in chosen:
        real(ask.data)
    if "year" in chosen and ask.data:
        year(ask.data)
    if "faults" in chosen:
        faults()
    if "cost" in chosen:
        cost()
    if "worlds" in chosen:
        worlds(ask.months, ask.seed)
    if "unseen" in chosen:
        unseen(ask.data, ask.months, ask.seed)


if __name__ == "__main__":
    main()
