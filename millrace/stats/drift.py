"""Drift of an endpoint's inputs or predictions, window after window in event time, with a rate that is promised.

Claim: while every column goes on as in its own past, or changes by less than the tolerance, the time to a false alarm
is ten years of windows on average or longer for each model, however often one looks and however many columns there
are. A column's evidence is the smaller of two e-values, so that each alone suffices to stay silent: "the change is
immaterial" (noncentral chi-square at the tolerance, in units of population stability; for a number the mean of two
e-values, over all groups and over the trend of its ranks, which a shift of the mean fills alone) and "it is not unusual
against the column's own past". Unit: the window. Measured: `python bench/drift.py`.

Of real series with season (electricity prices before a break, bicycle hires, flights, weather; 41 months of days) it
alarmed three times (95 %: 0.015 to 0.21 a month); fixed limits on population stability or Kolmogorov–Smirnov against
the first two months alarmed on 98 % of the days. 56 of 56 faults put into flights were found in 1 day (median; 5 where
delays themselves grew), the right column first. The constants (10 years, lag, degrees of freedom, short memory,
calibrator) and the rule for names were chosen with these very series and faults in sight, so both are optimistic.
Unseen when they were chosen: 143 months of other years, columns, airports and hours gave 10 alarms (0.070 a month; the
blizzard of February, both changes of the clock and new flight numbers among them), 56 of 56 other faults on other dates
were found in 1 day (median; 4.5 where delays grew), two changes below the tolerance never (`--only unseen`).
Simulated hours of 30 columns, three months of each: no alarm with independent rows (500, 5,000 or 100,000 an hour) nor
with AR(1) 0.9 or 0.98 means of sd 0.1; 0.2 sd in 3 columns was found in 11, 2 and 1 hours (medians). Of twelve unseen
kinds of hours, six months each, ten had none. Not held: three alarms where five columns burst in 2 % of hours, one with
AR(1) 0.6 means of sd 0.2 (before ranks were asked, one more where spreads remember themselves); and, not seen, shares
that change while the distribution of each column stays the same.

Neutral while evidence is missing: no rows, no reference yet, or fewer than `past.LEAST` windows of the past give an
undecided verdict and leave the detectors where they were.
What breaks it: a past that is no guide (a first winter) and memory much longer than the past.
Sources: Vovk & Wang (Annals of Statistics 2021) for e-values and their means; Shin, Ramdas & Rinaldo (NEJSDS 2024) for
the detectors; Cochran 1954 and Armitage 1955 for the trend; the rest with the parts: `contrast`, `past`, `detector`.

Feed `drift_update` each window's profile once, in order; store the state between windows with `drift_pack`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.base.errors import MillraceError, nearest
from millrace.stats import detector as detectors
from millrace.stats import past as pasts
from millrace.stats import reference as references
from millrace.stats.bins import Layout
from millrace.stats.chi_square import chi_square_point, chi_square_tail
from millrace.stats.contrast import Contrast, Grid, contrast, directions, grid, grouped, trend
from millrace.stats.detector import Detector
from millrace.stats.drift_report import ColumnDrift, DriftReport, drift_verdict, largest_move
from millrace.stats.packing import pack, unpack
from millrace.stats.profile_packing import seal, unseal
from millrace.stats.profiles import Profile
from millrace.stats.reference import DAY_US, HOUR_US, WEEK_US, Against
from millrace.stats.verdict import (
    Floats,
    Ints,
    Latest,
    Verdict,
    check_choice,
    check_rising,
    check_whole,
    numbers,
    of_shape,
)

MAGIC, VERSION = b"MRDR", 1
TOLERANCE = 0.01  # population stability: a shift of 0.1 standard deviations
NAMING = 0.1  # the false discovery rate of the names beside an alarm
COOLING_US = WEEK_US
LEAST_HISTORY = 400
YEAR_US = 365.25 * DAY_US


class Drift(NamedTuple):
    """A watch over k columns (parts of the layout) between two windows. Times are event time in microseconds.

    `starts` (t,) and `counts` (t, groups) are the windows that references are made of, `frozen` (groups,) the training
    data's; `roots` (h, k) the cube roots of the statistics so far, oldest first, of which the first `fixed` stay the
    past for ever; `tolerance` (k,); the rest is the detectors' state (`detector.Detector`) and the clock.
    """

    layout: str
    against: str
    window_us: int
    fleet: int
    tolerance: Floats
    starts: Ints
    counts: Ints
    frozen: Ints
    roots: Floats
    fixed: int
    own: Floats
    shared: Floats
    blocks: Floats
    mass: Floats
    length: Ints
    size: Ints
    run: float
    peak: float
    windows: int
    last_us: Latest
    cooling_until_us: Latest

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.data, stats.shape."""
        check_choice(self.against, "reference", references.AGAINST)
        k, groups = len(self.tolerance), len(self.frozen)
        of_shape("windows", (len(self.starts),), self.starts)
        of_shape("counts", (len(self.starts), groups), self.counts)
        of_shape("the past", (len(self.roots), k), self.roots)
        detectors.Detector(*self[10:19]).fits()
        of_shape("columns", (k,), self.tolerance, self.own)


def drift_start(
    layout: Layout,
    *,
    window_us: int = DAY_US,
    against: Against = "usual",
    history: Sequence[tuple[int, Profile]] = (),
    tolerance: float = TOLERANCE,
    importance: Mapping[str, float] | None = None,
    fleet: int = 1,
) -> Drift:
    """A watch before its first window.

    `window_us`: an hour to a week, a divisor of a week; comparison with last year takes windows of a day or more.
    `against`: "usual", "year" or "training". `history`: such windows (start, profile) from before, in order; for
    "training" they are the training data and are needed, else they are as if they had been fed, without a report.
    `tolerance`: the population stability below which a change is immaterial (strict 0.002, usual 0.01, loose 0.05),
    divided by a column's `importance` (1 unless given, cut to [0.1, 10]). `fleet`: how many models are watched so.
    Errors: stats.data, stats.time, stats.shape.
    """
    cells = grid(layout)
    check_choice(against, "reference", references.AGAINST)
    _check_window(window_us, against)
    detectors.threshold(YEAR_US / window_us, fleet)
    k = len(cells.names)
    watch = Drift(
        layout.digest, against, int(window_us), int(fleet), _tolerances(tolerance, importance or {}, cells),
        np.zeros(0, np.int64), np.zeros((0, cells.groups), np.int64), np.zeros(cells.groups, np.int64),
        np.zeros((0, k)), 0, *detectors.detector_start(k), -1, -1,
    )  # fmt: skip
    check_rising([start for start, _ in history], "starts of windows")
    if against != "training":
        for start, profile in history:
            watch, _ = drift_update(watch, layout, start, profile, quick=True)
        return watch._replace(**detectors.detector_start(k)._asdict(), cooling_until_us=-1)
    counts = np.array([grouped(p, cells) for _, p in history if p.rows], np.int64).reshape(-1, cells.groups)
    if not len(counts):
        raise MillraceError("stats.data", "no training data to compare with", "give its windows as history")
    roots = np.cbrt(contrast(counts, references.others(counts), cells.starts).statistic)
    roots = roots if len(counts) > 1 else roots[:0]
    enough = len(roots) - _lag(watch) >= pasts.LEAST
    return watch._replace(frozen=counts.sum(axis=0), roots=roots, fixed=len(roots) if enough else 0)


def drift_update(
    state: Drift, layout: Layout, start_us: int, profile: Profile, *, quick: bool = False
) -> tuple[Drift, DriftReport]:
    """The watch after the window that began at `start_us`, and what it shows.

    `layout` is the one of `drift_start`. Windows come once each, in order, whole windows apart; some may be missing.
    With `quick` the report names columns only in an alarm. Errors: stats.time, stats.shape.
    """
    cells = grid(layout)
    if state.layout != cells.layout:
        hint = "give the layout that drift_start got, or start a new watch"
        raise MillraceError("stats.shape", f"a watch under layout {state.layout}, not {cells.layout}", hint)
    counts = grouped(profile, cells)
    start_us = _check_start(state, start_us)
    k = len(cells.names)
    state = state._replace(last_us=start_us)
    compared = _reference(state, cells, start_us) if profile.rows and k else None
    if compared is None:
        why = "no rows" if not profile.rows else "no columns" if not k else _waiting(state.against)
        report = DriftReport(start_us, profile.rows, state.against, 0.0, _verdict(state, (), why), (), ())
        return _remember(state, start_us, counts, None), report
    reference, state = compared
    found = contrast(counts, reference, cells.starts)
    root = np.cbrt(found.statistic)
    shown = _shown(state, cells, counts, reference, found)
    seen = shown.seen
    alarm = False
    named: tuple[str, ...] = ()
    evidence = np.zeros(k)
    cooling = start_us < state.cooling_until_us
    if seen is not None and not cooling:
        after = detectors.detector_update(_detector(state), shown.e, seen.memory)
        state = state._replace(**after._asdict())
        evidence = detectors.evidence_by_column(after, seen.memory)
        alarm = detectors.combined(after) >= _bound(state)
        if alarm:
            named = _named(state, evidence, cells)
    columns: tuple[ColumnDrift, ...] = ()
    if alarm or not quick:
        columns = _columns(state, cells, profile, counts, reference, found, shown, evidence)
    why = "" if seen is not None else f"fewer than {_least(state)} windows of its own past"
    if cooling:
        why = "an alarm was raised less than a week ago, and what follows belongs to it"
    verdict = _verdict(state, columns, why, named)
    whole = float(np.add.reduceat(reference, cells.starts)[0])
    report = DriftReport(start_us, profile.rows, state.against, whole, verdict, columns, named)
    if alarm:
        state = state._replace(
            **detectors.detector_start(k)._asdict(), cooling_until_us=start_us + COOLING_US
        )  # the next promise begins anew
    return _remember(state, start_us, counts, root), report


def drift_pack(state: Drift) -> bytes:
    """The state as bytes, compressed and with a checksum; the same state gives the same bytes."""
    return seal(MAGIC, VERSION, zlib.compress(pack(state), 3))


def drift_unpack(packed: bytes) -> Drift:
    """The state behind `drift_pack`. Errors: stats.state."""
    body = unseal(MAGIC, VERSION, packed, "drift watch")
    try:
        return unpack(Drift, zlib.decompress(body))
    except zlib.error as error:
        raise MillraceError("stats.state", f"a damaged drift watch: {error}", "start a new one") from None


def _check_window(window_us: int, against: str) -> None:
    least = DAY_US if against == "year" else HOUR_US
    if not (isinstance(window_us, int | np.integer) and least <= window_us <= WEEK_US and WEEK_US % window_us == 0):
        hint = "take an hour, a day, a week, or another divisor of a week between them; merge shorter windows' profiles"
        if against == "year":
            hint = "compare days or weeks with last year: merge shorter windows' profiles"
        raise MillraceError("stats.time", f"windows of {window_us!r} µs", hint)


def _check_start(state: Drift, start_us: int) -> int:
    start_us = check_whole(start_us, "start of a window", most=2**62, code="stats.time")
    if start_us <= state.last_us:
        raise MillraceError("stats.time", f"a window at {start_us} after one at {state.last_us}",
                            "give each window once, in the order of event time, from 1970 on")  # fmt: skip
    if state.last_us >= 0 and (start_us - state.last_us) % state.window_us:
        raise MillraceError("stats.time", f"a window at {start_us} is not whole windows after {state.last_us}",
                            f"its windows are {state.window_us} µs long; give them from one origin")  # fmt: skip
    return start_us


def _tolerances(tolerance: float, importance: Mapping[str, float], cells: Grid) -> Floats:
    for name in importance:
        if name not in cells.names:
            raise MillraceError("stats.data", f"no column {name!r} has importance here", nearest(name, cells.names))
    weights = numbers([importance.get(name, 1.0) for name in cells.names], "importances")
    if not (isinstance(tolerance, int | float | np.floating) and 0 <= tolerance <= 10) or bool((weights < 0).any()):
        raise MillraceError("stats.data", f"tolerance {tolerance!r}, importances {weights.tolist()}",
                            "give a tolerance such as 0.01, and importances around 1, none below 0")  # fmt: skip
    return np.asarray(tolerance / np.clip(weights, 0.1, 10.0))


def _lag(state: Drift) -> int:
    span = DAY_US if state.window_us < DAY_US else WEEK_US
    return max(1, span // state.window_us)


def _least(state: Drift) -> int:
    """Windows of the past that are needed: a week of hours, or as many as the past's own model needs."""
    return WEEK_US // state.window_us if state.window_us < DAY_US else pasts.LEAST


def _bound(state: Drift) -> float:
    return detectors.threshold(YEAR_US / state.window_us, state.fleet)


def _detector(state: Drift) -> Detector:
    return Detector(*(getattr(state, name) for name in Detector._fields))


def _reference(state: Drift, cells: Grid, start_us: int) -> tuple[Floats, Drift] | None:
    """The counts to compare with, and the state with the past that a first comparison with last year needs."""
    if state.against == "training":
        return state.frozen.astype(np.float64), state
    if state.against == "usual":
        found = references.usual(start_us, state.starts, state.counts)
        return None if found is None else (found, state)
    found = references.last_year(start_us, state.starts, state.counts)
    if found is None:
        return None
    if not len(state.roots):
        there, own = references.seasons(state.starts, state.counts)
        apart = contrast(state.counts[there], own[there], cells.starts)
        state = state._replace(roots=np.cbrt(apart.statistic))
    return found, state


def _waiting(against: str) -> str:
    return {
        "usual": f"fewer than {references.LEAST} windows of this hour of the week in six weeks",
        "year": "no year of windows yet",
        "training": "the training data are empty",
    }[against]


class _Shown(NamedTuple):
    """What a window shows: `e` (k,) and what it is made of, by column; `seen`: the outlook, None without a past."""

    e: Floats
    p_immaterial: Floats
    p_trend: Floats
    p_unusual: Floats
    seen: pasts.Outlook | None


def _shown(state: Drift, cells: Grid, counts: Ints, reference: Floats, found: Contrast) -> _Shown:
    k, root = len(cells.names), np.cbrt(found.statistic)
    both = np.append(found.statistic, trend(counts, reference, cells))
    degrees = np.append(found.degrees, np.minimum(found.degrees, _ordered(cells)))
    tails = chi_square_tail(both, degrees, np.tile(found.rows * state.tolerance, 2))
    immaterial, moved = tails[:k], np.where(_ordered(cells), tails[k:], tails[:k])
    lag = _lag(state)
    past = state.roots[: state.fixed] if state.fixed else state.roots[: max(len(state.roots) - lag, 0)]
    seen = pasts.outlook(past, state.roots, lag, pasts.sampling_spread(found.degrees), _least(state))
    if seen is None:
        return _Shown(np.ones(k), immaterial, moved, np.ones(k), None)
    odd = pasts.unusual(root, seen)
    material = (detectors.e_values(immaterial) + detectors.e_values(moved)) / 2
    return _Shown(np.minimum(material, detectors.e_values(odd)), immaterial, moved, odd, seen)


def _ordered(cells: Grid) -> NDArray[np.bool_]:
    """Which parts are numbers, (k,)."""
    return cells.ordered[cells.starts]


def _named(state: Drift, evidence: Floats, cells: Grid) -> tuple[str, ...]:
    chosen = detectors.e_bh(evidence / (_bound(state) / detectors.SAFETY), NAMING)
    order = np.argsort(-evidence, kind="stable")
    return tuple(cells.names[i] for i in order.tolist() if chosen[i] or i == order[0])


def _visible(state: Drift, cells: Grid, found: Contrast, seen: pasts.Outlook) -> Floats:
    """The smallest lasting population stability that would be seen in about `lag` windows in one column alone, (k,)."""
    steps = _lag(state)
    needed = (_bound(state) * max(len(found.rows), 1)) ** (1 / steps)
    # a column with memory gathers its own evidence τ times slower, or an even share of what it adds to the mean
    e = np.minimum(needed ** np.minimum(seen.memory, 50.0), max(len(found.rows), 1) * needed)
    p = np.clip((0.5 / np.where(seen.memory < detectors.SHORT_MEMORY, needed, e)) ** 2, 1e-15, 0.49)
    ordered, immaterial = _ordered(cells), found.rows * state.tolerance
    half = np.where(ordered, p / 4, p)  # a number's evidence is half that of its trend and half that of all groups
    one = np.minimum(found.degrees, 1)
    material = chi_square_point(half, found.degrees, immaterial) - found.degrees
    moved = chi_square_point(half, one, immaterial) - one
    t = pasts.point(p, seen.degrees)
    odd = np.maximum(seen.worst + t * seen.spread, 0.0) ** 3 - found.degrees
    least = np.maximum(np.where(ordered, np.minimum(material, moved), material), odd)
    return np.asarray(np.maximum(least, 0.0) / np.maximum(found.rows, 1e-300))


def _columns(
    state: Drift, cells: Grid, profile: Profile, counts: Ints, reference: Floats, found: Contrast, shown: _Shown,
    evidence: Floats,
) -> tuple[ColumnDrift, ...]:  # fmt: skip
    parts = list(profile.parts.values())
    ranges = np.array([(s.minimum, s.maximum) if s.finite else (np.nan, np.nan) for s in parts]).reshape(-1, 2)
    ways = directions(counts, reference, cells, ranges)
    visible = _visible(state, cells, found, shown.seen) if shown.seen is not None else None
    out = []
    ends = [*cells.starts.tolist()[1:], cells.groups]
    for i, name in enumerate(cells.names):
        span = slice(int(cells.starts[i]), ends[i])
        out.append(
            ColumnDrift(
                name=name,
                statistic=float(found.statistic[i]),
                degrees=int(found.degrees[i]),
                rows=float(found.rows[i]),
                psi=float(found.psi[i]),
                direction=None if np.isnan(ways[i]) else float(ways[i]),
                moved=largest_move(counts[span], reference[span], cells.words[span]),
                e=float(shown.e[i]),
                p_immaterial=float(shown.p_immaterial[i]),
                p_trend=float(shown.p_trend[i]),
                p_unusual=float(shown.p_unusual[i]),
                evidence=float(evidence[i]),
                visible_psi=None if visible is None else float(visible[i]),
            )
        )
    return tuple(out)


def _verdict(state: Drift, columns: tuple[ColumnDrift, ...], why: str, named: tuple[str, ...] = ()) -> Verdict:
    return drift_verdict(
        state.against, state.windows, detectors.combined(_detector(state)), _bound(state), 1 / detectors.SAFETY,
        columns, named, why,
    )  # fmt: skip


def _remember(state: Drift, start_us: int, counts: Ints, root: Floats | None) -> Drift:
    kept = references.KEPT_US[state.against]
    if counts.any() and kept:
        fresh = state.starts >= start_us - kept
        state = state._replace(
            starts=np.append(state.starts[fresh], np.int64(start_us)),
            counts=np.vstack([state.counts[fresh], counts]),
        )
    if root is not None:
        roots = np.vstack([state.roots, root])
        most = max(LEAST_HISTORY, 10 * WEEK_US // state.window_us) + state.fixed
        if len(roots) > most:
            roots = np.vstack([roots[: state.fixed], roots[len(roots) - most + state.fixed :]])
        state = state._replace(roots=roots)
    return state
