"""CPU of judging one day: 900 rows × 30 columns, a champion and a challenger in its shadow, 120 days of history.

    .venv/bin/python -m bench.judging

The floor is what cannot be left out: the log's window and the labels read, and the profile of the rows counted.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

from millrace.assemble import Platform, open_platform
from millrace.base.clock import DAY, HOUR
from millrace.monitoring import outcomes
from millrace.serving import log
from millrace.serving.entry import Answer, Column, Entry
from millrace.stats.bins import layout
from millrace.stats.profiles import profile

ROWS, COLUMNS, DAYS = 900, 30, 60
ORIGIN = 15_700 * DAY


def day(platform: Platform, endpoint: Any, number: int) -> None:
    """One day of hourly requests, answered by version 1, version 2 beside it; labels with it."""
    random = np.random.default_rng(number)
    start = ORIGIN + number * DAY
    each = ROWS // 20
    entries, ids, event, values = [], [], [], []
    for hour in range(20):
        inputs: dict[str, Column] = {
            f"c{c}": Column("f", random.normal(size=each).tolist()) for c in range(COLUMNS - 3)
        }
        inputs |= {f"t{c}": Column("t", random.choice(list("abcdefgh"), each).tolist()) for c in range(3)}
        score = random.random(each)
        at = [start + hour * HOUR + row for row in range(each)]
        answers = [
            Answer("arm", 1, 10_000, None, score.tobytes()),
            Answer("shadow", 2, 0, None, np.clip(score + random.normal(0, 0.02, each), 0, 1).tobytes()),
        ]
        name = f"d{number}h{hour}"
        entries.append(Entry(name, b"", start, 70, 1, each, at, [f"{name}-{r}" for r in range(each)], answers, inputs))
        ids += [f"{name}:{row}" for row in range(each)]
        event += at
        values += (random.random(each) < score).astype(float).tolist()
    log.logs(platform.ground).of("main", endpoint).append(entries)
    arrived = [at + 2 * HOUR for at in event]
    platform.call("label.add", {"endpoint": "e", "ids": ids, "event": event, "arrived": arrived, "values": values})


def cpu(act: Callable[[], Any]) -> float:
    begun = process_time()
    act()
    return (process_time() - begun) * 1_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        platform = open_platform(folder)
        platform.call("model.make", {"name": "m"})
        made = {"name": "e", "model": "m", "day_origin": ORIGIN, "maturity_s": 86_400}
        endpoint = platform.call("endpoint.make", made)
        took, floor = [], []
        for number in range(DAYS):
            day(platform, endpoint, number)
            until = ORIGIN + (number + 1) * DAY
            platform.call("endpoint.advance", {"endpoint": "e", "until": until})
            took.append(cpu(lambda until=until: platform.call("monitor.judge", {"endpoint": "e", "until": until})))
            if number:
                rows = outcomes.read(platform.ground, "main", "e", until - 2 * DAY, until - DAY)
                cells = layout(rows.inputs)

                def least(until: int = until, cells: Any = cells) -> None:
                    again = outcomes.read(platform.ground, "main", "e", until - 2 * DAY, until - DAY)
                    profile(again.inputs, cells)

                floor.append(cpu(least))
        platform.close()
    late = np.median(took[-20:])
    bare = np.median(floor[-20:])
    sys.stdout.write(
        f"judging a day of {ROWS} rows x {COLUMNS} columns, two versions: {late:.1f} ms CPU (days {DAYS - 20}-{DAYS})\n"
        f"floor, reading and counting it: {bare:.1f} ms; ratio {late / bare:.2f}\n"
        f"the day that makes the cells: {max(took):.1f} ms\n"
    )


if __name__ == "__main__":
    main()
