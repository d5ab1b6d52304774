"""Drift on a stream of losses: delay and false alarms on Tornado's streams, beside river's detectors in the same run.

    python bench/concept.py --data FOLDER [--seed 1] [--only shown,unseen]

FOLDER holds tornado_{sine1,mixed}_w_50_n_0p1.parquet: five streams each of 100,000 rows, a turn of the concept every
20,000 rows within some 50 rows, 10 % of labels wrong. A Gaussian naive Bayes model learns row by row, is tested on each
row before it learns it, and begins anew at an alarm. An alarm within 1,000 rows of a turn, and the first there, finds
it; every other alarm is false. `concept` is asked for so many rows between false alarms, `strata` cuts the model's
confidence at 0.6 and 0.7. Constants were chosen on these ten streams ("shown"); the "unseen" ones are drawn by
`concept_unseen.py` and no constant was chosen on them. The floor is one pass of `numpy.cumsum` over the same losses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import concept_unseen as others
import duckdb
import numpy as np
from numpy.typing import NDArray

from millrace import stats

Floats = NDArray[np.float64]
Find = Callable[[Floats, Floats], int | None]  # losses, confidences -> the alarm's row

TURNS = (20_000, 40_000, 60_000, 80_000)
SURE = np.array([0.6, 0.7])  # where the model's confidence is cut into strata


def streams(folder: Path, name: str) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    table = duckdb.read_parquet(str(folder / f"tornado_{name}_w_50_n_0p1.parquet")).fetchnumpy()
    inputs = [k for k in table if k not in ("class", "stream")]
    x = np.column_stack([np.asarray(table[k], np.float64) for k in inputs]) - 0.5
    y = (np.asarray(table["class"]) == "p").astype(np.int64)
    for stream in np.unique(table["stream"]):
        rows = np.asarray(table["stream"] == stream)
        yield x[rows], y[rows]


def naive_bayes(x: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Each row's loss (0 or 1) and the model's confidence, by what was learned from the rows before it."""
    scores = np.empty((len(y), 2))
    for c in (0, 1):
        own = (y == c)[:, None]
        count = np.cumsum(own[:, 0]) - own[:, 0]
        total, square = (np.cumsum(v * own, axis=0) - v * own for v in (x, x * x))
        n = np.maximum(count, 1)[:, None]
        mean = total / n
        variance = np.maximum((square - total * mean) / np.maximum(count - 1, 1)[:, None], 1e-9)
        fit = -0.5 * (np.log(variance) + (x - mean) ** 2 / variance).sum(axis=1)
        scores[:, c] = np.where(count > 0, fit + np.log(np.maximum(count, 1)), -1e3)
    one = 1 / (1 + np.exp(np.clip(scores[:, 0] - scores[:, 1], -50, 50)))
    return ((one > 0.5) != y).astype(np.float64), np.maximum(one, 1 - one)


def concept(between: float, strata: bool) -> Find:
    def find(losses: Floats, sure: Floats) -> int | None:
        state = stats.concept_start(between, strata=len(SURE) + 1 if strata else 1)
        which = np.digitize(sure, SURE) if strata else None
        for at in range(0, len(losses), 4096):
            part = slice(at, at + 4096)
            state = stats.concept_update(state, losses[part], None if which is None else which[part])
            if state.at >= 0:
                return state.at
        return None

    return find


def ours(start: Any, update: Callable[[Any, Floats], Any]) -> Find:
    def find(losses: Floats, sure: Floats) -> int | None:
        state = start
        for at in range(0, len(losses), 4096):
            state = update(state, losses[at : at + 4096])
            if state.at >= 0:
                return int(state.at)
        return None

    return find


def rivers(make: Callable[[], Any]) -> Find:
    def find(losses: Floats, sure: Floats) -> int | None:
        detector = make()
        for i, loss in enumerate(losses.tolist()):
            detector.update(loss)
            if detector.drift_detected:
                return i
        return None

    return find


def run(
    x: Floats, y: NDArray[np.int64], find: Find, turns: tuple[int, ...] = TURNS
) -> tuple[list[int], int, float, int]:
    """Delays by turn (1,000 where it was missed), false alarms, CPU seconds of the detector and the rows it read."""
    alarms, begin, cpu, rows = [], 0, 0.0, 0
    while begin < len(y):
        losses, sure = naive_bayes(x[begin:], y[begin:])
        started = time.process_time()
        at = find(losses, sure)
        cpu += time.process_time() - started
        rows += len(losses) if at is None else at + 1
        if at is None:
            break
        alarms.append(begin + at)
        begin += at + 1
    firsts = [min((a for a in alarms if turn <= a < turn + 1000), default=None) for turn in turns]
    delays = [1000 if a is None else a - turn for a, turn in zip(firsts, turns, strict=True)]
    return delays, len(set(alarms) - set(firsts)), cpu, rows


def shown(folder: Path, detectors: dict[str, Find]) -> None:
    for name in ("sine1", "mixed"):
        every = list(streams(folder, name))
        losses = naive_bayes(*every[0])[0]
        started = time.process_time()
        for _ in range(100):
            np.cumsum(losses)
        floor = (time.process_time() - started) / 100 / len(losses) * 1e6
        print(f"\n{name}: {len(every)} streams, {4 * len(every)} turns; floor {floor:.4f} µs CPU a row")
        print(f"{'':34}{'mean delay':>11}{'worst':>7}{'missed':>8}{'false':>7}{'first stream':>14}{'µs a row':>10}")
        for label, find in detectors.items():
            results = [run(x, y, find) for x, y in every]
            delays = np.array([r[0] for r in results])
            first = f"{delays[0].mean():.1f}, {results[0][1]}"
            cost = sum(r[2] for r in results) / sum(r[3] for r in results) * 1e6
            print(
                f"{label:34}{delays.mean():11.2f}{delays.max():7}{(delays == 1000).sum():8}"
                f"{sum(r[1] for r in results):7}{first:>14}{cost:10.2f}"
            )


def unseen(folder: Path, detectors: dict[str, Find], seed: int) -> None:
    """Mean delay of the turns that were found, missed turns and false alarms, a column a detector."""
    print("\nunseen streams, five of 100,000 rows each: mean delay of what was found / missed / false alarms")
    print(f"{'':26}" + "".join(f"{label[:22]:>24}" for label in detectors))
    rows = [(kind.name, list(others.streams(kind, 5, seed)), TURNS if kind.turns else ())
            for kind in (*others.KINDS, *others.CALM)]  # fmt: skip
    rows.append(("SEA, one of 40,000", *others.sea(folder)))
    false, seen = dict.fromkeys(detectors, 0), 0
    calm, still = dict.fromkeys(detectors, 0), 0
    for name, every, turns in rows:
        size = sum(len(y) for _, y in every)
        cells, seen, still = [], seen + size, still + (0 if turns else size)
        for label, find in detectors.items():
            results = [run(x, y, find, turns) for x, y in every]
            delays = np.array([d for r in results for d in r[0]])
            wrong = sum(r[1] for r in results)
            false[label] += wrong
            calm[label] += 0 if turns else wrong
            found = delays[delays < 1000]
            told = f"{found.mean():.1f}" if len(found) else "–"
            cells.append(f"{told} / {(delays == 1000).sum()} / {wrong}")
        print(f"{name:26}" + "".join(f"{cell:>24}" for cell in cells), flush=True)
    print(f"{f'false in {seen:,} rows':26}" + "".join(f"{n:>24}" for n in false.values()))
    print(f"{'of them in calm streams':26}" + "".join(f"{n:>24}" for n in calm.values()))
    rates = (f"{f'1 in {still // n:,}' if n else f'0 in {still:,}':>24}" for n in calm.values())
    print(f"{'a row of calm streams':26}" + "".join(rates) + "   `concept` promises 1 in 20,000 (50,000)")


def main() -> None:
    from river import drift

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="shown,unseen")
    given = parser.parse_args()
    detectors: dict[str, Find] = {
        "concept, 20,000, strata": concept(20_000, True),
        "concept, 50,000, strata": concept(50_000, True),
        "concept, 50,000": concept(50_000, False),
        "change point, α = .01": ours(stats.change_start(0.01), stats.change_update),
        "moving average (HDDM_W)": ours(stats.moving_start(), stats.moving_update),
        "river HDDM_W": rivers(drift.binary.HDDMW),
        "river ADWIN": rivers(drift.ADWIN),
        "river PageHinkley": rivers(lambda: drift.PageHinkley(mode="up")),
    }
    chosen = given.only.split(",")
    if "shown" in chosen:
        shown(given.data, detectors)
    if "unseen" in chosen:
        left_out = ("moving average (HDDM_W)", "concept, 50,000", "river PageHinkley")
        unseen(given.data, {k: v for k, v in detectors.items() if k not in left_out}, given.seed)


if __name__ == "__main__":
    main()
