"""Hours of a simulated endpoint: normal columns whose hourly means may remember, drawn as counts, not rows."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from millrace.stats import Profile, Summary, layout
from millrace.stats.distinct import empty

HOUR_US = 3_600_000_000
COLUMNS = 30


class World:
    """`rows` rows an hour in 30 columns; hourly means are AR(1) with `rho` and standard deviation `sd`."""

    def __init__(self, random: np.random.Generator, rho: float, sd: float, rows: int) -> None:
        self.random, self.rho, self.sd, self.rows = random, rho, sd, rows
        self.cells = layout({f"x{i}": random.normal(size=20_000) for i in range(COLUMNS)})
        self.cuts = np.array([bins.cuts for _, bins in self.cells.parts()])  # type: ignore[union-attr]
        grid = np.linspace(-9, 9, 20_001)
        self.grid, self.normal = grid, np.array([NormalDist().cdf(float(x)) for x in grid])
        self.mean = random.normal(size=COLUMNS) * sd
        self.hour = 0

    def window(self, shift: float = 0.0, columns: int = 0) -> tuple[int, Profile]:
        """The next hour; the first `columns` columns lie `shift` standard deviations higher."""
        step = self.random.normal(size=COLUMNS) * self.sd * np.sqrt(1 - self.rho**2)
        self.mean = self.rho * self.mean + step
        mean = self.mean + np.where(np.arange(COLUMNS) < columns, shift, 0.0)
        below = np.interp(self.cuts - mean[:, None], self.grid, self.normal)
        share = np.diff(np.concatenate([np.zeros((COLUMNS, 1)), below, np.ones((COLUMNS, 1))], axis=1), axis=1)
        counts = self.random.multinomial(self.rows, share)
        self.hour += 1
        parts = {
            f"x{i}": Summary(np.append(c, 0), empty(), finite=self.rows, mean=float(m), minimum=-5.0, maximum=5.0)
            for i, (c, m) in enumerate(zip(counts, mean, strict=True))
        }
        return self.hour * HOUR_US, Profile(self.cells.digest, self.rows, parts)

    def state(self) -> tuple[Any, ...]:
        """Where the world is, for `back`."""
        return self.hour, self.mean.copy()

    def back(self, state: tuple[Any, ...]) -> None:
        """Go back to an earlier moment; chance goes on."""
        self.hour, self.mean = state
