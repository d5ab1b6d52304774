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

    def __init__(self, random: np.random.Generator, rho: float, sd: float, rows: int, columns: int = COLUMNS) -> None:
        self.random, self.rho, self.sd, self.rows, self.columns = random, rho, sd, rows, columns
        self.cells = layout({f"x{i}": random.normal(size=20_000) for i in range(columns)})
        self.cuts = np.array([bins.cuts for _, bins in self.cells.parts()])  # type: ignore[union-attr]
        grid = np.linspace(-9, 9, 20_001)
        self.grid, self.normal = grid, np.array([NormalDist().cdf(float(x)) for x in grid])
        self.mean = random.normal(size=columns) * sd
        self.hour = 0

    def step(self) -> tuple[np.ndarray, np.ndarray, int]:
        """The next hour's means and spreads (columns,) and its number of rows."""
        fresh = self.random.normal(size=self.columns) * self.sd * np.sqrt(1 - self.rho**2)
        self.mean = self.rho * self.mean + fresh
        return self.mean.copy(), np.ones(self.columns), self.rows

    def window(self, shift: float = 0.0, columns: int = 0) -> tuple[int, Profile]:
        """The next hour; the first `columns` columns lie `shift` standard deviations higher."""
        mean, spread, rows = self.step()
        k = self.columns
        mean = mean + np.where(np.arange(k) < columns, shift, 0.0)
        below = np.interp((self.cuts - mean[:, None]) / spread[:, None], self.grid, self.normal)
        share = np.diff(np.concatenate([np.zeros((k, 1)), below, np.ones((k, 1))], axis=1), axis=1)
        counts = self.random.multinomial(rows, share)
        self.hour += 1
        parts = {
            f"x{i}": Summary(np.append(c, 0), empty(), finite=rows, mean=float(m), minimum=-5.0, maximum=5.0)
            for i, (c, m) in enumerate(zip(counts, mean, strict=True))
        }
        return self.hour * HOUR_US, Profile(self.cells.digest, rows, parts)

    def state(self) -> tuple[Any, ...]:
        """Where the world is, for `back`."""
        return self.hour, self.mean.copy()

    def back(self, state: tuple[Any, ...]) -> None:
        """Go back to an earlier moment; chance goes on."""
        self.hour, self.mean = state
