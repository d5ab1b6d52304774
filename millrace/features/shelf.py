"""Rows of a view's source, grouped by key and ordered by time, and the one fold that every reader uses.

A shelf is one float64 matrix: event, arrival, the moment a later row of the same dataset key corrected it, then the
values that the view reads. Microseconds fit a float64 exactly until the year 2255. Training makes one shelf of all
rows; an online read makes one of the keys that were asked for. Both call `fold`, so both get the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.base.clock import SECOND
from millrace.features.records import View, Window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EVENT, ARRIVED, CORRECTED, VALUES = 0, 1, 2, 3
_CHUNK = 4_000_000


class Shelf(NamedTuple):
    """`rows` (n, 3 + values) float64: those of key k are rows[start[k]:start[k + 1]], in the view's order.

    `plain` says that every row was known when it happened and none was corrected.
    """

    rows: Floats
    start: Ints
    plain: bool


def shelve(rows: Floats, codes: Ints, keys: int, over: str) -> Shelf:
    """Group rows by their key's code (0 … keys − 1) and put each group in order. `rows` (n, 3 + values), any order."""
    rows = rows[order(rows, over, codes)]
    start = np.searchsorted(np.sort(codes), np.arange(keys + 1))
    return Shelf(rows, start.astype(np.int64), is_plain(rows))


def order(rows: Floats, over: str, codes: Ints | None = None) -> Ints:
    """The canonical order of rows: by key, then time, ties by all they hold, so that no order of arrival matters."""
    return np.lexsort([*_ranks(rows), axis(rows, over), *([] if codes is None else [codes])])


def _ranks(rows: Floats) -> list[Floats]:
    """Event, arrival, then the values, the least important first. A correction that came later must not move a row.

    What is unknown comes before every value: of two rows of one moment the one that says more is the newer.
    """
    values = (rows[:, place] for place in range(rows.shape[1] - 1, CORRECTED, -1))
    return [*(np.where(np.isnan(column), -np.inf, column) for column in values), rows[:, ARRIVED], rows[:, EVENT]]


def axis(rows: Floats, over: str) -> Floats:
    """The time that windows run over: event time, or when the row became known."""
    return rows[:, EVENT] if over == "event" else np.maximum(rows[:, EVENT], rows[:, ARRIVED])


def is_plain(rows: Floats) -> bool:
    return bool(np.isinf(rows[:, CORRECTED]).all() and (rows[:, ARRIVED] <= rows[:, EVENT]).all())


def fold(view: View, shelf: Shelf, key: Ints, at: Ints, naive: bool = False) -> dict[str, Floats]:
    """The view's features for questions (key's code or −1 for one that is not there, moment in micros), (m,) each.

    Texts come as the codes that the shelf holds. `naive` ignores when rows arrived.
    """
    moments = at.astype(np.float64)
    there = key >= 0
    known = np.where(there, key, 0)
    if not len(shelf.rows):
        there = np.zeros_like(there)
    found: dict[str, Floats] = {}
    if view.columns or view.age:
        found.update(_newest(view, shelf, known, there, moments, naive))
    if view.windows:
        found.update(_windows(view, shelf, known, there, moments, at, naive))
    return found


def _newest(
    view: View, shelf: Shelf, key: Ints, there: NDArray[np.bool_], at: Floats, naive: bool
) -> dict[str, Floats]:
    """Values of the newest row, by event time, of those that were known."""
    rows = shelf.rows
    place = _newest_rows(shelf, key, at, naive) if len(rows) else np.full(len(at), -1, np.int64)
    good = there & (place >= 0)
    held = rows[np.maximum(place, 0)] if len(rows) else np.full((len(at), VALUES + len(view.reads)), np.nan)
    if view.ttl_s:
        good &= at - held[:, EVENT] <= view.ttl_s * SECOND
    column = {name: VALUES + number for number, name in enumerate(view.reads)}
    found = {f"{view.name}__{name}": np.where(good, held[:, column[name]], np.nan) for name in view.columns}
    if view.age:
        found[f"{view.name}__{view.age}"] = np.where(good, (at - held[:, EVENT]) / SECOND, np.nan)
    return found


def _newest_rows(shelf: Shelf, key: Ints, at: Floats, naive: bool) -> Ints:
    """For each question the place of the newest row by (event, arrival) of those that were known; −1 for none.

    Rows that raise the running maximum, in the order in which they became known, are the only ones that can be newest.
    """
    rows = shelf.rows
    codes = np.repeat(np.arange(len(shelf.start) - 1), np.diff(shelf.start))
    seen = rows[:, EVENT] if naive else np.maximum(rows[:, EVENT], rows[:, ARRIVED])
    rank = np.empty(len(rows), np.int64)
    rank[np.lexsort([*_ranks(rows), codes])] = np.arange(len(rows))
    by_seen = np.lexsort((rank, seen, codes))
    ranks = rank[by_seen]
    chain = by_seen[ranks == np.maximum.accumulate(ranks)]  # ranks grow from key to key, so each key begins anew
    start = np.searchsorted(codes[chain], np.arange(len(shelf.start)))
    last = _Places(seen[chain], start, key, np.ones(len(key), np.bool_), at).after(at) - 1
    place = chain[np.maximum(last, 0)]
    place = np.where((last >= 0) & (codes[place] == key), place, -1)
    if naive or shelf.plain:
        return place
    for question in np.flatnonzero((place >= 0) & (rows[place, CORRECTED] <= at)).tolist():
        first, stop = shelf.start[key[question]], shelf.start[key[question] + 1]
        good = (seen[first:stop] <= at[question]) & (rows[first:stop, CORRECTED] > at[question])
        place[question] = first + int(np.argmax(np.where(good, rank[first:stop], -1))) if good.any() else -1
    return place


def _bisect(times: Floats, low: Ints, high: Ints, at: Floats) -> Ints:
    """For each question the first place in [low, high) whose time is greater than `at`, all in step."""
    low, high = low.astype(np.int64).copy(), high.astype(np.int64).copy()
    while True:
        open_ = low < high
        if not open_.any():
            return low
        middle = (low + high) // 2
        right = open_ & (times[np.minimum(middle, len(times) - 1)] <= at)
        low = np.where(right, middle + 1, low)
        high = np.where(open_ & ~right, middle, high)


def _windows(
    view: View, shelf: Shelf, key: Ints, there: NDArray[np.bool_], at: Floats, exact: Ints, naive: bool
) -> dict[str, Floats]:
    rows = shelf.rows
    places = _Places(axis(rows, view.over), shelf.start, key, there, at)
    last = places.after(at)
    column = {name: VALUES + place for place, name in enumerate(view.reads)}
    hidden = not naive and not shelf.plain
    masked = hidden and (view.over == "event" or bool(np.isfinite(rows[:, CORRECTED]).any()))
    folded: dict[str, _Values] = {}
    found: dict[str, Floats] = {}
    firsts: dict[int, Ints] = {}
    for window in view.windows:
        if window.span_s not in firsts:
            old = (exact - window.span_s * SECOND) // (view.hop_s * SECOND) * (view.hop_s * SECOND)
            firsts[window.span_s] = np.minimum(places.after(old.astype(np.float64)), last)
        first = firsts[window.span_s]
        name = f"{view.name}__{window.name}"
        if masked:
            values = rows[:, column[window.column]] if window.column else np.zeros(len(rows))
            found[name] = _masked(window, rows, values, first, last, at)
        elif window.how == "count" and not window.column:
            found[name] = (last - first).astype(np.float64)
        else:
            if window.column not in folded:
                folded[window.column] = _Values(rows[:, column[window.column]])
            found[name] = folded[window.column].fold(window, first, last)
    return found


class _Places:
    """Where moments fall among the rows of each question's key.

    Key and time make one number where it stays whole in a float64, so that one search serves all keys; otherwise each
    key's rows are halved, all questions in step.
    """

    def __init__(self, times: Floats, start: Ints, key: Ints, there: NDArray[np.bool_], at: Floats) -> None:
        self._times = times
        known = len(start) > 1
        self._start = np.where(there, start[key] if known else 0, 0)
        self._stop = np.where(there, start[key + 1] if known else 0, 0)
        self._line: Floats | None = None
        if not len(times) or not len(at):
            return
        self._base = float(min(times.min(), at.min()))
        step = float(max(times.max(), at.max())) - self._base + 1.0
        if step * (len(start) + 1) < 2**53:
            self._line = np.repeat(np.arange(len(start) - 1) * step, np.diff(start)) + (times - self._base)
            self._offset = key * step - self._base

    def after(self, moment: Floats) -> Ints:
        """For each question the place of the first row of its key that is later than `moment` (m,) micros."""
        if self._line is None:
            return _bisect(self._times, self._start, self._stop, moment)
        found = self._line.searchsorted(self._offset + moment, "right")
        return np.minimum(np.maximum(found, self._start), self._stop)


def _masked(window: Window, rows: Floats, values: Floats, first: Ints, last: Ints, at: Floats) -> Floats:
    """A window in which some rows were not known yet, or known no more: those are taken out before the fold."""
    found = np.empty(len(first))
    sizes = last - first
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(first):
        reach = int(np.searchsorted(ends, (ends[begin - 1] if begin else 0) + _CHUNK, "right"))
        end = max(begin + 1, reach)
        some = sizes[begin:end]
        owner = np.repeat(np.arange(end - begin), some)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(some) - some, some)
        place = first[begin:end][owner] + offset
        moment = at[begin:end][owner]
        known = (rows[place, ARRIVED] <= moment) & (rows[place, CORRECTED] > moment)
        counts = np.bincount(owner[known], minlength=end - begin)
        stops = np.cumsum(counts)
        found[begin:end] = _Values(values[place[known]]).fold(window, stops - counts, stops)
        begin = end
    return found


class _Values:
    """A column's values, folded over slices of it; what several windows need is made once."""

    def __init__(self, values: Floats) -> None:
        missing = np.isnan(values)
        self._gone: Ints | None = None
        if missing.any():
            self._gone = _prefix(missing)
            values = values[~missing]
        self._values = values
        self._sums: Floats | None = None
        self._whole: bool | None = None
        self._above: dict[float, Ints] = {}

    def fold(self, window: Window, first: Ints, last: Ints) -> Floats:
        if self._gone is not None:
            first, last = first - self._gone[first], last - self._gone[last]
        sizes = last - first
        if window.how == "count":
            return sizes.astype(np.float64)
        found = np.full(len(first), np.nan)
        some = sizes > 0
        if some.any():
            found[some] = self._folded(window, first[some], last[some])
        return found

    def _folded(self, window: Window, low: Ints, high: Ints) -> Floats:
        """Of slices that are not empty."""
        values = self._values
        if window.how == "last":
            return values[high - 1]
        if window.how in ("min", "max"):
            return _reduced(np.minimum if window.how == "min" else np.maximum, values, low, high)
        if window.how == "share":
            if window.above not in self._above:
                self._above[window.above] = _prefix(values > window.above)
            above = self._above[window.above]
            shares: Floats = (above[high] - above[low]) / (high - low)
            return shares
        sums = self._sum(low, high)
        return sums if window.how == "sum" else sums / (high - low)

    def _sum(self, low: Ints, high: Ints) -> Floats:
        """Whole numbers are exact by prefixes; others are added up slice by slice, never subtracted."""
        values = self._values
        if self._whole is None:
            self._whole = bool((values == np.floor(values)).all()) and float(np.abs(values).sum()) < 2**53
            if self._whole:
                self._sums = np.empty(len(values) + 1)
                self._sums[0] = 0.0
                np.cumsum(values, out=self._sums[1:])
        if self._sums is None:
            return _reduced(np.add, values, low, high)
        sums: Floats = self._sums[high] - self._sums[low]
        return sums


def _prefix(marks: NDArray[np.bool_]) -> Ints:
    """How many marks lie before each place, (n + 1,)."""
    counts = np.zeros(len(marks) + 1, np.int64)
    np.cumsum(marks, out=counts[1:])
    return counts


def _reduced(how: np.ufunc, values: Floats, low: Ints, high: Ints) -> Floats:
    """`how` over each non-empty slice; a slice's answer depends on its own values and their order alone."""
    padded = np.concatenate([values, values[:1]])  # a place for a slice that ends with the last value
    pairs = np.empty(2 * len(low), np.int64)
    pairs[0::2], pairs[1::2] = low, high
    found: Floats = how.reduceat(padded, pairs)[0::2]
    return found
