"""What tracking costs: logging, searching and drawing, beside the floors of the same machine in the same run.

    python bench/tracking.py [RUNS]

The floor of a log call is the same bytes inserted and committed on a bare sqlite3 connection with the same pragmas;
the floor of a search is NumPy's own comparison and sort over a ready column.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from millrace.assemble import Platform, open_platform
from millrace.catalog.tx import Tx
from millrace.tracking import series, tables
from millrace.tracking.records import Experiment, Point, Run


def timed(what: str, repeat: int, run: Callable[[], Any]) -> float:
    """Print CPU and wall of one `run`; the CPU seconds."""
    run()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeat):
        run()
    cpu, wall = (time.process_time() - cpu) / repeat, (time.perf_counter() - wall) / repeat
    print(f"{what:<76} {cpu * 1e3:9.3f} ms CPU {wall * 1e3:9.3f} ms")
    return cpu


def logging(platform: Platform, folder: Path) -> None:
    run = platform.call("run.start", {"experiment": "bench"}).id
    step = iter(range(10_000_000))

    def log(count: int) -> None:
        at = next(step)
        platform.call("run.log", {"run": run, "points": [[f"m{i % 10}", i * 0.5, at, 1 + i] for i in range(count)]})

    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, points BLOB)")
    raw.execute("CREATE TABLE l (k TEXT PRIMARY KEY, v REAL)")

    def floor(count: int) -> None:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO t (points) VALUES (?)", (b"x" * 24 * count,))
        raw.executemany("INSERT OR REPLACE INTO l VALUES (?, ?)", [(f"m{i}", 1.0) for i in range(min(count, 10))])
        raw.execute("COMMIT")

    for count in (1, 10, 1_000):
        ours = timed(f"log {count} point(s), durable", 200, lambda count=count: log(count))
        bare = timed(
            f"  floor: the same bytes on bare sqlite3, {count} point(s)", 200, lambda count=count: floor(count)
        )
        print(f"  ratio {ours / bare:.1f}, {ours / count * 1e6:.1f} µs CPU a point")


def curves(platform: Platform, count: int = 1_000_000) -> None:
    run = platform.call("run.start", {"experiment": "bench"}).id
    values = np.random.default_rng(1).normal(size=count).cumsum()
    began = time.process_time()
    for start in range(0, count, 10_000):
        batch = values[start : start + 10_000].tolist()
        points = [["loss", v, start + i, start + i + 1] for i, v in enumerate(batch)]
        platform.call("run.log", {"run": run, "points": points})
    logged = time.process_time() - began
    began = time.process_time()
    platform.call("run.finish", {"run": run})
    sealed = time.process_time() - began
    print(f"{count} points, 10,000 a call: {logged / count * 1e6:.2f} µs CPU a point; sealed in {sealed:.2f} s CPU")
    with platform.ground.catalog.read() as tx:
        size = sum(len(s.points) + len(s.peaks) for s in tables.segments(tx, "main", run, "loss"))
    print(f"  {size / count:.1f} bytes a point, against 24 unpacked")
    ask = {"run": run, "key": "loss", "points": 1_200}
    timed("draw 1M points as 1,200 buckets", 20, lambda: platform.call("run.metrics", ask))
    rows = np.zeros(count, series.EMPTY.dtype)
    rows["value"] = values
    timed("  floor: NumPy's min and max of the ready array", 20, lambda: series.peaks_of(rows, count // 1_200))


def fill(platform: Platform, count: int) -> None:
    random = np.random.default_rng(2)

    def write(tx: Tx, start: int) -> None:
        tables.add_experiment(tx, "main", Experiment("many", 0))
        for i in range(start, min(start + 5_000, count)):
            run = Run(
                id=platform.ground.ids.new(), experiment="many", name=f"run-{i}", kind="run", subject="",
                state="finished", actor="local", parent=None, queued=i, started=i,
                ended=i + int(random.integers(1, 1_000_000)),
                params={f"p{k}": int(random.integers(0, 100)) for k in range(10)},
                tags={"team": "abc"[i % 3], "host": f"h{i % 20}", "note": f"n{i}"},
            )  # fmt: skip
            tables.add_run(tx, "main", run)
            tables.put_latest(tx, "main", run.id, [Point(f"m{k}", float(random.normal()), 1, i) for k in range(10)])

    for start in range(0, count, 5_000):
        platform.ground.catalog.write(lambda tx, start=start: write(tx, start))


def searching(platform: Platform, count: int) -> None:
    began = time.perf_counter()
    fill(platform, count)
    print(f"{count} runs with 10 metrics, 10 parameters and 3 tags each, made in {time.perf_counter() - began:.0f} s")
    began = time.perf_counter()
    platform.call("run.search", {"limit": 1})
    print(f"cold start of the columns: {time.perf_counter() - began:.2f} s")
    for where, order in (
        ("", ""),
        ("metrics.m1 < -2", ""),
        ("", "metrics.m1"),
        ("metrics.m1 < 0.2 and params.p3 > 60 and tags.team = 'a'", "metrics.m2 desc"),
        ("tags.note like 'n99%'", "params.p1, started desc"),
    ):
        ask = {"where": where, "order": order}
        timed(f"search {where!r} by {order or 'newest'}", 10, lambda ask=ask: platform.call("run.search", ask))
    column = np.random.default_rng(3).normal(size=count)
    timed("  floor: NumPy's compare and argsort of one ready column", 10, lambda: np.argsort(column[column < 9])[:100])

    def change_and_search() -> None:
        platform.call("run.start", {"experiment": "many", "params": {"p1": 1}})
        platform.call("run.search", {"where": "metrics.m1 < -2"})

    timed("one write, then a search", 20, change_and_search)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as place:
        platform = open_platform(Path(place) / "home")
        try:
            logging(platform, Path(place))
            curves(platform)
            searching(platform, count)
        finally:
            platform.close()


if __name__ == "__main__":
    main()
