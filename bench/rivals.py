"""The same windows and the same question to Evidently and NannyML, each in an environment that this builds and removes.

    python bench/rivals.py --rivals [--data FOLDER] [--keep FOLDER] [--only evidently,nannyml]
                           [--cases series,500,5000] [--draws 3]

Needs the package index, or its cache; nothing of it is among Millrace's requirements. The pins are the newest releases
and the newest NumPy and pandas with which they start. The question: does this window differ from what came before?

- Evidently: `DataDriftPreset` as it comes, against the reference; "any" alarms where any column drifted, "own" where
  its own rule does (half of the columns; asked of clean windows only, as one bad column is never half).
- NannyML: the univariate Jensen–Shannon calculator as it comes, a chunk a window; "any" where any column alerts, "own"
  is the same rule.
- Millrace: `drift_update`, which saw the reference as its history.

The reference's rows are the first two months (real series) or the newest 40 hours (worlds). Each world's reference,
history and windows have seeds of their own, so none moves when another gets longer; what a rival says of one reference
may differ from what it says of the next, so there are several draws, told together. "clean": windows in which nothing
was changed; "detected": of the cases with a fault, those with an alarm, and the median delay in windows; who alarms on
clean windows as well "detects" everything at once, so read the two together. CPU a window without imports.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drift_series import DAY_US, FAULTS, TRAINED_DAYS, Columns, Series, bikes, electricity, flights
from drift_unseen import BREAK_ROW

from millrace.stats import ALARM, Drift, Layout, drift_start, drift_update, layout, profile

PINS = {
    "evidently": ("evidently==0.7.23", "numpy==1.26.4", "pandas==2.2.3"),
    "nannyml": ("nannyml==0.13.1", "numpy==1.26.4", "pandas==2.2.3", "scipy==1.13.1", "statsmodels==0.14.4"),
}
MISSING = "\N{SYMBOL FOR NULL}"
FAULT_DAYS = (120, 230)
MOST = 15  # clean windows of a series that are put to a rival, evenly spread: each is compared with one reference
HOUR_US = 3_600_000_000
CLEAN, BROKEN = "clean", "broken"


class Case(NamedTuple):
    """Windows put to everybody: `watch` is Millrace's state before the first of them."""

    name: str
    kind: str
    reference: Columns
    windows: list[Columns]
    starts: list[int]
    watch: Drift
    cells: Layout


def cases(data: Path | None, chosen: Sequence[str], draws: int) -> Iterator[Case]:
    if "series" in chosen:
        yield from _series(data)
    for rows_an_hour in (500, 5_000):
        if str(rows_an_hour) in chosen:
            for draw in range(draws):
                yield from _worlds(rows_an_hour, draw)


def _series(data: Path | None) -> Iterator[Case]:
    chosen = [(flights(), None)]
    if data:
        electric = electricity(data)
        before = int(np.searchsorted(electric.bounds, BREAK_ROW))
        chosen += [(bikes(data), 365), (electric, before)]
    for series, until in chosen:
        last = len(series.starts) if until is None else until
        watch, begin, reference = _trained(series, TRAINED_DAYS + 40)
        rows = [series.rows(i) for i in range(begin, last)]
        yield Case(series.name, CLEAN, reference, rows, series.starts[begin:last].tolist(), watch, series.cells)
    if data:
        watch, begin, reference = _trained(electric, before)
        rows = [electric.rows(i) for i in range(begin, begin + 7)]
        yield Case("electricity's break", BROKEN, reference, rows, electric.starts[begin : begin + 7].tolist(),
                   watch, electric.cells)  # fmt: skip
    series = chosen[0][0]
    for day in FAULT_DAYS:
        watch, begin, reference = _trained(series, day)
        for name, (_, change) in FAULTS.items():
            random, rows = np.random.default_rng(day), [series.rows(i) for i in range(begin, begin + 7)]
            for window in rows:
                change(window, random)
            starts = series.starts[begin : begin + 7].tolist()
            yield Case(f"flights: {name}", BROKEN, reference, rows, starts, watch, series.cells)


def _worlds(n: int, draw: int) -> Iterator[Case]:
    seeds = [np.random.default_rng([n, draw, part]) for part in range(4)]  # reference, history, clean, broken

    def hours(random: np.random.Generator, many: int, shift: float = 0.0) -> list[Columns]:
        moved = np.where(np.arange(30) < 3, shift, 0.0)
        return [dict(zip(names, (random.normal(size=(n, 30)) + moved).T, strict=True)) for _ in range(many)]

    names = [f"x{i}" for i in range(30)]
    weeks = 24 * 7 * 5  # from three weeks on there is a reference, a week later a past
    past = hours(seeds[0], 40)
    reference = {k: np.concatenate([w[k] for w in past]) for k in names}
    cells = layout(reference)
    history = [(i * HOUR_US, profile(hours(seeds[1], 1)[0] if i < weeks - 40 else past[i - weeks + 40], cells))
               for i in range(weeks)]  # fmt: skip
    watch = drift_start(cells, window_us=HOUR_US, history=history)
    start = weeks * HOUR_US
    for kind, shift, many, random in ((CLEAN, 0.0, 100, seeds[2]), (BROKEN, 0.2, 20, seeds[3])):
        starts = [start + i * HOUR_US for i in range(many)]
        name = f"30 normal columns, {n:,} rows" + (", 3 of them + 0.2 sd" if shift else "")
        yield Case(name, kind, reference, hours(random, many, shift), starts, watch, cells)


def _trained(series: Series, until: int) -> tuple[Drift, int, Columns]:
    """The watch before window `until`, that number, and the rows of the first two months."""
    watch = drift_start(series.cells)
    for i in range(until):
        window = profile(series.rows(i), series.cells)
        watch, _ = drift_update(watch, series.cells, int(series.starts[i]), window, quick=True)
    trained = int(np.searchsorted(series.starts, series.starts[0] + TRAINED_DAYS * DAY_US))
    return watch, until, {k: v[: series.bounds[trained]] for k, v in series.columns.items()}


def ours(case: Case) -> tuple[list[bool], float]:
    watch, alarms = case.watch, []
    began = time.process_time()
    for start, rows in zip(case.starts, case.windows, strict=True):
        watch, report = drift_update(watch, case.cells, start, profile(rows, case.cells))
        alarms.append(report.verdict.decision == ALARM)
        if case.kind == BROKEN and alarms[-1]:
            break
    return alarms, (time.process_time() - began) / len(alarms)


@contextmanager
def environment(name: str, keep: Path | None) -> Iterator[Path]:
    """The interpreter of a fresh environment with a rival in it; it is removed afterwards unless kept."""
    place = Path(tempfile.mkdtemp(prefix=f"{name}-")) if keep is None else keep / name
    python = place / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
            command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-input"]
            if shutil.which("uv"):
                command = ["uv", "pip", "install", "--quiet", "--no-config", "--python", str(python)]
            subprocess.run([*command, *PINS[name]], check=True)
        yield python
    finally:
        if keep is None:
            shutil.rmtree(place, ignore_errors=True)


def ask(python: Path, name: str, case: Case, place: Path) -> tuple[list[bool], list[bool], float]:
    """A rival's alarms by window, of any column and by its own rule, and its CPU seconds a window."""
    windows = case.windows
    if case.kind == CLEAN and len(windows) > MOST:
        windows = [windows[i] for i in np.linspace(0, len(windows) - 1, MOST).astype(int).tolist()]
    bounds = np.cumsum([0, *(len(next(iter(w.values()))) for w in windows)])
    now = {k: np.concatenate([w[k] for w in windows]) for k in case.reference}
    for side, columns in (("reference", case.reference), ("current", now)):
        np.savez(place / f"{side}.npz", **{k: _plain(v) for k, v in columns.items()})  # type: ignore[arg-type]
    worker = str(Path(__file__).with_name("rivals_worker.py"))
    stop = "stop" if case.kind == BROKEN else "all"
    given = [str(python), worker, name, str(place), json.dumps(bounds.tolist()), stop]
    done = subprocess.run(given, capture_output=True, text=True, env={"NML_DISABLE_USAGE_LOGGING": "1",
                          "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", "HOME": str(place)})  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name} failed on {case.name}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["any"], found["own"], found["cpu_s"] / len(found["any"])


def _plain(x: np.ndarray) -> np.ndarray:
    return np.array([MISSING if v is None else str(v) for v in x]) if x.dtype == object else x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", action="store_true", help="build the rivals' environments (downloads, minutes)")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--keep", type=Path, default=None, help="keep the environments there, and use them again")
    parser.add_argument("--only", default="evidently,nannyml")
    parser.add_argument("--cases", default="series,500,5000", help="the real series, and worlds by rows an hour")
    parser.add_argument("--draws", type=int, default=3, help="of each world")
    given = parser.parse_args()
    results: dict[tuple[str, str, str], list[tuple[list[bool], float]]] = {}

    def note(who: str, case: Case, alarms: list[bool], cpu: float) -> None:
        results.setdefault((case.kind, case.name, who), []).append((alarms, cpu))

    def every() -> Iterator[Case]:  # drawn again for each, so that the worlds' rows need not all be kept
        return cases(given.data, given.cases.split(","), given.draws)

    for case in every():
        note("Millrace", case, *ours(case))
    for name in given.only.split(",") if given.rivals else ():
        with environment(name, given.keep) as python, tempfile.TemporaryDirectory() as place:
            for case in every():
                some, own, cpu = ask(python, name, case, Path(place))
                note(f"{name}, any column", case, some, cpu)
                if name == "evidently" and case.kind == CLEAN:
                    note(f"{name}, own rule", case, own, cpu)
    print(", ".join(f"{name}: {' '.join(pins)}" for name, pins in PINS.items()))
    table(results)


def table(results: dict[tuple[str, str, str], list[tuple[list[bool], float]]]) -> None:
    order = {key: i for i, key in enumerate(dict.fromkeys((kind, name) for kind, name, _ in results))}
    for kind in (CLEAN, BROKEN):
        head = "alarms, of windows" if kind == CLEAN else "detected, median delay"
        print(f"\n{kind:<50}{'':24}{head:>26}{'CPU ms a window':>17}")
        for (_, name, who), found in sorted(
            ((k, v) for k, v in results.items() if k[0] == kind), key=lambda item: order[item[0][:2]]
        ):
            cpu = 1000 * float(np.mean([c for _, c in found]))
            if kind == CLEAN:
                told = f"{sum(sum(a) for a, _ in found)} of {sum(len(a) for a, _ in found)}"
            else:
                delays = [a.index(True) + 1 for a, _ in found if any(a)]
                told = f"{len(delays)} of {len(found)}" + (f", {np.median(delays):g}" if delays else "")
            print(f"{name:<50}{who:<24}{told:>26}{cpu:17.1f}")


if __name__ == "__main__":
    main()
