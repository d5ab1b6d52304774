"""What calm costs: days until a change is shown after so many calm days, with one start and with a start a week.

    python -m bench.calm [--paths 200]

The floor is the test that knows when the change begins: `block_evidence` of the days since. False alarms are counted
over 120 days with a look after each, α = .05, beside it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from millrace.stats.block_verdicts import block_evidence, started_evidence
from millrace.stats.verdict import Floats

TARGET = math.log(1 / 0.05)
DAYS, NEVER = 60, 99


def path(days: int, memory: float, random: np.random.Generator) -> Floats:
    """Days of mean 0 and standard deviation 1 with lag-one autocorrelation `memory`."""
    noise = random.normal(size=days)
    found = noise.copy()
    for day in range(1, days):
        found[day] = memory * found[day - 1] + math.sqrt(1 - memory**2) * noise[day]
    return found


def shown(evidence: Floats) -> int:
    there = np.flatnonzero(evidence >= TARGET)
    return int(there[0]) + 1 if len(there) else NEVER


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--paths", type=int, default=200)
    paths = asked.parse_args().paths
    ways: dict[str, Callable[[Floats], Floats]] = {
        "one start": block_evidence, "a start a week": lambda x: started_evidence(x, 7),
    }  # fmt: skip
    print("false alarms in 120 days    " + "   ".join(f"{name:>14}" for name in ways))
    for memory in (0.0, 0.2, 0.4):
        random = np.random.default_rng(1)
        drawn = [path(120, memory, random) for _ in range(paths)]
        rates = [np.mean([shown(way(one)) < NEVER for one in drawn]) for way in ways.values()]
        print(f"memory {memory:<20}  " + "   ".join(f"{rate:14.3f}" for rate in rates), flush=True)
    print("median days until shown     " + "   ".join(f"{name:>14}" for name in ways) + f"   {'known start':>14}")
    for shift in (1.0, 2.3):
        for calm in (0, 7, 28, 84):
            random = np.random.default_rng(2)
            drawn = [
                path(calm + DAYS, 0.0, random) + np.where(np.arange(calm + DAYS) < calm, 0, shift) for _ in range(paths)
            ]
            delays = [np.median([shown(way(one)[calm:]) for one in drawn]) for way in ways.values()]
            known = np.median([shown(block_evidence(one[calm:])) for one in drawn])
            told = "   ".join(f"{delay:14.1f}" for delay in (*delays, known))
            print(f"{shift} sd after {calm:2d} calm days    {told}", flush=True)


if __name__ == "__main__":
    main()
