"""Volume, null rate and latency against their own season: a robust z of one number a window, and the same detector.

Claim: while the number goes on as in its past (same hour of the week over six weeks, and the hours just before),
the time to a false alarm is ten years of windows on average or longer, however often one looks. Unit: the window.
The centre is the median of the same slot, moved by how far the last windows lay from theirs; the spread is the larger
of the slot deviations' median absolute deviation and standard deviation over six weeks, so that one bad day of the
past widens it and two-sided p stay honest with heavy tails (Student's t, 6 degrees of freedom).
Give counts as their logarithm, rates as their logit (`volume_of`, `rate_of` do), latencies as their
logarithm: then a season that multiplies adds.
What breaks it: holidays; a past shorter than three weeks gives no verdict.

Sources: Rousseeuw & Croux 1993 (median absolute deviation); `detector` for the promise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from millrace.base.errors import MillraceError
from millrace.stats import detector as detectors
from millrace.stats.reference import DAY_US, HOUR_US, USUAL_US, WEEK_US
from millrace.stats.student import student_tail
from millrace.stats.verdict import (
    ALARM,
    QUIET,
    UNDECIDED,
    Floats,
    Gapped,
    Ints,
    Latest,
    Verdict,
    check_whole,
    finite,
    same_rows,
    scalar,
)

DEGREES = 6.0
LEAST_SAME = 2
LEAST_US = 3 * WEEK_US
HALVING = 0.5  # how much of the last windows' distance from their season is expected of the next
YEAR_US = 365.25 * DAY_US


class Reading(NamedTuple):
    """One number of a window on an additive scale, and the standard deviation that chance alone gives it."""

    value: float
    noise: float


class Season(NamedTuple):
    """What has been seen of one number: `starts` (t,) in microseconds of event time, `values` and `noises` (t,), how
    far each lay `apart` (t,) from its slot's median (NaN where there was none), and the detector's state."""

    window_us: int
    fleet: int
    starts: Ints
    values: Floats
    noises: Floats
    apart: Gapped
    evidence: float
    windows: int
    cooling_until_us: Latest

    def fits(self) -> None:
        """Whether the columns have one length. Errors: stats.shape."""
        same_rows("starts, values, noises and distances", self.starts, self.values, self.noises, self.apart)


def season_start(window_us: int = DAY_US, fleet: int = 1) -> Season:
    """A watch over one number a window; windows of an hour to a week. Errors: stats.time, stats.data."""
    if not (isinstance(window_us, int | np.integer) and HOUR_US <= window_us <= WEEK_US and WEEK_US % window_us == 0):
        hint = "take an hour, a day, a week, or another divisor of a week between them"
        raise MillraceError("stats.time", f"windows of {window_us!r} µs", hint)
    detectors.threshold(YEAR_US / window_us, fleet)
    none = np.zeros(0)
    return Season(int(window_us), int(fleet), np.zeros(0, np.int64), none, none, none, 0.0, 0, -1)


def season_update(
    state: Season, start_us: int, value: float, noise: float = 0.0, *, what: str = "volume"
) -> tuple[Season, Verdict]:
    """The watch after the window at `start_us`, and whether `value` is as usual; the verdict's `effect` is the z.

    `noise`: the standard deviation that chance alone gives the value; the spread is never taken as less than this
    or, where smaller, what it usually is in this slot.

    Errors: stats.time for a window that is not later than the last or not whole windows after it, stats.data for a
    value or noise that is not finite.
    """
    last = int(state.starts[-1]) if len(state.starts) else -1
    start_us = check_whole(start_us, "start of a window", most=2**62, code="stats.time")
    if start_us < 0 or start_us <= last or (last >= 0 and (start_us - last) % state.window_us):
        hint = "give each window once, in order, whole windows apart, in microseconds since 1970"
        raise MillraceError("stats.time", f"a window at {start_us} after one at {last}", hint)
    value, noise = scalar(value, what), scalar(noise, f"noise of the {what}")
    if noise < 0:
        raise MillraceError("stats.data", f"the {what} is {value!r} ± {noise!r}", "leave out windows without a value")
    age = start_us - state.starts
    slot = (age <= USUAL_US) & (age % WEEK_US == 0)
    known = int(slot.sum()) >= LEAST_SAME
    apart = float(value - np.median(state.values[slot])) if known else math.nan
    least = min(noise, float(np.median(state.noises[slot]))) if known else noise
    z = _z(state, apart, least) if len(age) and int(age.max()) >= LEAST_US else None
    bound = detectors.threshold(YEAR_US / state.window_us, state.fleet)
    cooling = start_us < state.cooling_until_us
    evidence, windows = state.evidence, state.windows
    if z is not None and not cooling:
        p = min(1.0, 2 * student_tail(abs(z), DEGREES))
        after = detectors.detector_update(
            detectors.detector_start(1)._replace(own=np.array([evidence]), shared=np.array([evidence])),
            detectors.e_values([p]), [1.0],
        )  # fmt: skip
        evidence, windows = detectors.combined(after), windows + 1
    alarm = evidence >= bound and not cooling
    why = "less than three weeks of its past" if z is None else "an alarm less than a week ago" if cooling else ""
    told = "" if z is None else f"{z:+.3g} standard deviations from what is usual at this time"
    verdict = Verdict(
        claim=f"the {what} is as usual",
        unit="window",
        n=windows,
        statistic=finite(evidence),
        bound=bound,
        alpha=1 / detectors.SAFETY,
        decision=ALARM if alarm else UNDECIDED if why else QUIET,
        because=f"the {what} lies {told}" if not why else f"not enough evidence yet: {why}",
        effect=None if z is None else finite(z),
    )
    fresh = age <= USUAL_US
    return state._replace(
        starts=np.append(state.starts[fresh], np.int64(start_us)),
        values=np.append(state.values[fresh], float(value)),
        noises=np.append(state.noises[fresh], float(noise)),
        apart=np.append(state.apart[fresh], apart),
        evidence=0.0 if alarm else evidence,
        windows=0 if alarm else windows,
        cooling_until_us=int(start_us) + WEEK_US if alarm else state.cooling_until_us,
    ), verdict


def _z(state: Season, apart: float, noise: float) -> float | None:
    lag = max(1, (DAY_US if state.window_us < DAY_US else WEEK_US) // state.window_us)
    past = state.apart[~np.isnan(state.apart)]
    settled = past[: max(len(past) - lag, 0)]
    if math.isnan(apart) or len(settled) < 2 * LEAST_SAME:
        return None
    moved = HALVING * float(np.clip(np.median(past[-lag:]), settled.min(), settled.max()))
    spread = max(1.4826 * float(np.median(np.abs(settled - np.median(settled)))), float(settled.std()))
    smallest = 1e-9 + 1e-6 * float(np.abs(state.values).max())
    return (apart - moved) / (max(spread, noise, smallest) * math.sqrt(1 + 3 / len(settled)))


def volume_of(rows: int) -> Reading:
    """A count for `season_update`: ln(rows + 1), and Poisson's noise. Errors: stats.data below 0."""
    rows = check_whole(rows, "number of rows")
    return Reading(math.log1p(rows), 1 / math.sqrt(rows + 1))


def rate_of(part: int, rows: int) -> Reading:
    """A share of rows (nulls, say) for `season_update`: its logit, with half a row on either side, and its noise.

    Errors: stats.data unless 0 ≤ part ≤ rows.
    """
    rows = check_whole(rows, "number of rows")
    part = check_whole(part, "part")
    if part > rows:
        raise MillraceError("stats.data", f"{part} of {rows} rows", "give counts, the part not above the whole")
    yes, no = part + 0.5, rows - part + 0.5
    return Reading(math.log(yes / no), math.sqrt(1 / yes + 1 / no))
