"""What a durable verb costs: record, fact and idempotency key through `dispatch`, beside bare sqlite3 in the same run.

    python bench/dispatch.py [SECONDS]

Bars: at most 200 µs of CPU each from 32 callers at once; one caller waits at most twice as long as the same two
inserts and commit take on a bare sqlite3 connection with the same pragmas. The floor at 32 callers is one bare
connection that commits 32 pairs at a time.
"""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from millrace.assemble import Platform, open_platform

CPU_BAR_US, LATENCY_BAR = 200.0, 2.0


def bare(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE record (workspace TEXT, name TEXT, made INTEGER, about TEXT, PRIMARY KEY (workspace, name))"
    )
    connection.execute(
        "CREATE TABLE fact (workspace TEXT, number INTEGER, at INTEGER, actor TEXT, kind TEXT, subject TEXT, "
        "data TEXT, hash BLOB, PRIMARY KEY (workspace, number))"
    )
    return connection


def two_inserts(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("INSERT INTO record VALUES (?, ?, ?, ?)", ("main", f"e{number}", 1, ""))
    connection.execute(
        "INSERT INTO fact VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ("main", number, 1, "local", "experiment.made", f"e{number}", "{}", bytes(32)),
    )


def latencies(run: Callable[[int], None], seconds: float, numbers: itertools.count[int]) -> list[float]:
    """Seconds of each call, one after the other."""
    found = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        run(next(numbers))
        found.append(time.perf_counter() - began)
    return found


def crowd(run: Callable[[int], None], callers: int, seconds: float) -> tuple[float, float]:
    """(CPU, wall) seconds of a call when that many callers call all the time."""
    counts = [0] * callers
    end = time.perf_counter() + seconds

    def go(caller: int) -> None:
        numbers = itertools.count()
        while time.perf_counter() < end:
            run(caller * 10_000_000 + next(numbers))
            counts[caller] += 1

    threads = [threading.Thread(target=go, args=(caller,)) for caller in range(callers)]
    cpu, wall = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - cpu) / sum(counts), (time.perf_counter() - wall) / sum(counts)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory() as place:
        platform = open_platform(Path(place) / "home")
        connection = bare(Path(place))
        try:
            one_caller(platform, connection, seconds)
            many_callers(platform, connection, seconds)
        finally:
            platform.close()
            connection.close()


def one_caller(platform: Platform, connection: sqlite3.Connection, seconds: float) -> None:
    def floor(number: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        two_inserts(connection, number)
        connection.execute("COMMIT")

    def ours(number: int) -> None:
        platform.call("experiment.make", {"name": f"one{number}"})

    numbers = itertools.count(1)
    for run in (floor, ours):  # both logs have grown to their size, so that a sync is no longer one of new blocks
        for _ in range(500):
            run(next(numbers))
    found: dict[str, list[float]] = {"floor": [], "ours": []}
    for _ in range(10):  # in turns, because the disk of a shared machine changes its mind
        found["floor"] += latencies(floor, seconds / 10, numbers)
        found["ours"] += latencies(ours, seconds / 10, numbers)
    bottom, median = (statistics.median(found[name]) * 1e3 for name in ("floor", "ours"))
    print(f"one caller: {median:.2f} ms a verb, floor (two inserts and commit, bare sqlite3) {bottom:.2f} ms")
    print(f"  ratio {median / bottom:.2f}, bar {LATENCY_BAR} {told(median / bottom <= LATENCY_BAR)}")


def many_callers(platform: Platform, connection: sqlite3.Connection, seconds: float) -> None:
    numbers = itertools.count(50_000_000)

    def group(_: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(32):
            two_inserts(connection, next(numbers))
        connection.execute("COMMIT")

    cpu = time.process_time()
    count = len(latencies(group, seconds / 2, itertools.count()))
    bottom = (time.process_time() - cpu) / (32 * count) * 1e6
    for key in (False, True):
        names = itertools.count()

        def ours(number: int, key: bool = key, names: itertools.count[int] = names) -> None:
            name = f"c{int(key)}-{number}-{next(names)}"
            platform.call("experiment.make", {"name": name}, key=name if key else None)

        cpu, wall = crowd(ours, 32, seconds)
        what = "record, fact and idempotency key" if key else "record and fact"
        print(f"32 callers: {cpu * 1e6:.0f} µs CPU, {1 / wall:.0f} verbs a second ({what}); floor {bottom:.0f} µs")
        bar = "" if key else f", bar {CPU_BAR_US:.0f} µs {told(cpu * 1e6 <= CPU_BAR_US)}"
        print(f"  ratio {cpu * 1e6 / bottom:.1f}{bar}")


def told(holds: bool) -> str:
    return "met" if holds else "MISSED"


if __name__ == "__main__":
    main()
