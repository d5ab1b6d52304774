"""What a window is compared with: what is usual now, the same season a year ago, or the training data.

- `usual`: windows of the same hour of the week over the last six weeks, and one average window of all those weeks, so
  that a young or thin slot leans on the whole.
- `year`: the same hour of the week 364 days ago, give or take three weeks; sees growth, to which six weeks are blind.
- `training`: all windows of the training data, frozen; tells the model's risk, not an incident.

No claim of its own: counts in, counts out. Unit: the window. Breaks: holidays that move, which no weekday knows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from millrace.stats.verdict import Floats, Ints

Against = Literal["usual", "year", "training"]
AGAINST: tuple[Against, ...] = ("usual", "year", "training")

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
USUAL_US = 6 * WEEK_US
YEAR_US = 52 * WEEK_US
SEASON_US = 3 * WEEK_US
KEPT_US = {"usual": USUAL_US, "year": YEAR_US + SEASON_US, "training": 0}
LEAST = 2  # windows of the same slot below which there is no reference


def usual(start_us: int, starts: Ints, counts: NDArray[np.generic]) -> Floats | None:
    """The reference counts (groups,) for a window at `start_us`, from earlier windows `starts` (t,), `counts`
    (t, groups); None while fewer than `LEAST` windows of the same hour of the week are at hand."""
    age = start_us - starts
    lately = (age > 0) & (age <= USUAL_US)
    same = lately & (age % WEEK_US == 0)
    if int(same.sum()) < LEAST:
        return None
    return np.asarray(counts[same].sum(axis=0) + counts[lately].sum(axis=0) / int(lately.sum()), np.float64)


def last_year(start_us: int, starts: Ints, counts: NDArray[np.generic]) -> Floats | None:
    """As `usual`, from the same hour of the week within three weeks of 364 days ago. None before a year exists."""
    age = start_us - starts
    same = (np.abs(age - YEAR_US) <= SEASON_US) & (age % WEEK_US == 0)
    before = bool(len(starts)) and int(age.max()) >= YEAR_US
    return np.asarray(counts[same].sum(axis=0), np.float64) if before and int(same.sum()) >= LEAST else None


def seasons(starts: Ints, counts: NDArray[np.generic]) -> tuple[NDArray[np.bool_], Floats]:
    """For each window (t,) its season without itself: the same slot within three weeks on either side.

    bool (t,) whether there are `LEAST` such windows, and float64 (t, groups) their counts. This is the past of a
    first comparison with last year: how far a window lies from its own season within one year.
    """
    apart = np.abs(starts[:, None] - starts[None, :])
    same = (apart <= SEASON_US) & (apart % WEEK_US == 0) & (apart > 0)
    return same.sum(axis=1) >= LEAST, np.asarray(same.astype(np.float64) @ counts.astype(np.float64))


def others(counts: NDArray[np.generic]) -> Floats:
    """For each of the windows `counts` (t, groups) all the other windows together: the past of a training profile."""
    whole = counts.astype(np.float64)
    return np.asarray(whole.sum(axis=0) - whole)
