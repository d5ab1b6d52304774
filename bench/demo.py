"""What one turn of the wheel costs: time to the end of the demo, time of its replay, memory of all its processes.

    .venv/bin/python -m bench.demo [--days 306] [--fresh]

Bars, on two cores that nobody else uses: the replay with all its training at most 150 s, resident memory at most 1 GB,
and with `--fresh` (a clone of HEAD without an environment, package caches warm) everything at most 5 minutes.
The floor is what the same calls would cost if the server did nothing: as many empty round trips over one connection.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CALLS_A_DAY = 53  # 8 pushes, 24 batches of labels, 19 requests for predictions, and the day's end


def tree(root: int) -> list[int]:
    """A process and its descendants, those in sessions of their own too."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found = [root]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def resident_mb(root: int) -> float:
    """Resident memory of all, shared pages counted once."""
    total = 0
    for one in tree(root):
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1))  # type: ignore[union-attr]  # always there
    return total / 1_024


def told(command: list[str], folder: Path) -> tuple[dict[str, float], float]:
    """(seconds at which each heading was printed, and the end; most memory in MB)."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    most = [0.0]

    def watch() -> None:
        while process.poll() is None:
            most[0] = max(most[0], resident_mb(process.pid))
            time.sleep(1)

    threading.Thread(target=watch, daemon=True).start()
    at: dict[str, float] = {}
    assert process.stdout is not None
    for line in process.stdout:
        sys.stderr.write(line)
        if line.startswith("── "):
            at[line[3:].split(":")[0].strip()] = time.monotonic() - began
    assert process.wait() == 0, f"{command} failed"
    at["end"] = time.monotonic() - began
    return at, most[0]


def round_trip_s(folder: Path, calls: int = 2_000) -> float:
    """One empty call over a connection that stays."""
    import urllib3

    from millrace.demo.server import Server

    server = Server(folder)
    pool = urllib3.PoolManager()
    try:
        pool.request("GET", f"{server.url}/health")
        began = time.perf_counter()
        for _ in range(calls):
            pool.request("GET", f"{server.url}/health")
        return (time.perf_counter() - began) / calls
    finally:
        server.stop()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--days", type=int, default=306)
    asked.add_argument("--fresh", action="store_true")
    args = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        where, command = ROOT, [sys.executable, "-m", "millrace.cli.main", "demo"]
        if args.fresh:
            where = Path(place) / "clone"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(where)], check=True)
            command = [str(where / "demo")]
        command += ["--dir", f"{place}/story", "--exit", "--days", str(args.days)]
        at, memory = told(command, where)
        shutil.rmtree(f"{place}/story")
        trip = round_trip_s(Path(place) / "floor")
    starts = [*at.values()]
    setup, replay, close = (after - before for before, after in itertools.pairwise(starts))
    floor = args.days * CALLS_A_DAY * trip
    print(f"before the first line {starts[0]:6.1f} s   (with --fresh: the environment)")
    print(f"January and February  {setup:6.1f} s")
    ratio = f"floor {floor:.1f} s, {replay / floor:.1f} ×"
    print(f"replay of {args.days} days    {replay:6.1f} s   bar 150 at 306 days; {ratio}")
    print(f"close                 {close:6.1f} s")
    print(f"in all                {at['end']:6.1f} s   bar 300 with --fresh")
    print(f"resident at most      {memory:6.0f} MB  bar 1,000")


if __name__ == "__main__":
    main()
