"""The point-in-time join: every row with the features, and the label, that its own moment may know.

Pure over digests, so that a step's process can make it without the catalog. No row is lost, whatever is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from millrace.base.clock import SECOND, Micros
from millrace.base.errors import MillraceError, misnamed, nearest
from millrace.data import read
from millrace.data.parquet import listed
from millrace.data.records import Dataset, Version
from millrace.features import rules
from millrace.features.records import View
from millrace.features.shelf import CORRECTED, Floats, Ints, fold, shelve
from millrace.store.blobs import Blobs

Columns = dict[str, NDArray[Any]]
ABSENT = -1


def training(
    blobs: Blobs,
    spine: Version,
    views: Sequence[tuple[View, Version]] = (),
    *,
    at: str = "",
    since: Micros | None = None,
    until: Micros | None = None,
    labels: Version | None = None,
    label_columns: Sequence[str] = (),
    naive: bool = False,
) -> Columns:
    """The spine's rows asked in ``[since, until)``, each with what was known at its moment, in order of (moment, key).

    `at` is the column with the moment (the spine's event time by default). Columns: the spine's, ``view__feature`` for
    each view, and the label columns (all but the key by default), NaN or None where nothing was known. Labels are
    joined by the spine's key; the newest that had arrived before `until` counts. `naive` ignores when anything arrived.
    Errors: `frame.column`, `frame.invalid`, and those of the store.
    """
    moment = at or spine.event
    if not moment:
        raise MillraceError("frame.invalid", f"{spine.dataset!r} has no event time", "say at which column it is asked")
    rows = read.columns(blobs, spine)
    if moment not in rows:
        raise MillraceError("frame.column", f"{spine.dataset!r} has no column {moment!r}", nearest(moment, rows))
    rows = _newest_of_each(rows, spine)
    kept = np.ones(len(rows[moment]), bool)
    if since is not None:
        kept &= rows[moment] >= since
    if until is not None:
        kept &= rows[moment] < until
    rows = {name: values[kept] for name, values in rows.items()}
    rows = {name: values[_order(rows, moment, spine.key)] for name, values in rows.items()}
    stamps = rows[moment].astype(np.int64)
    read_once: dict[str, Told] = {}
    for view, source in views:
        if source.tree not in read_once:
            mine = [other for other, version in views if version.tree == source.tree]
            keys = [name for other in mine for name in other.keys]
            reads = [name for other in mine for name in other.reads]
            read_once[source.tree] = told(read.columns(blobs, source, needed(keys, reads, source)), source)
        rows.update(known_of(view, read_once[source.tree], rows, stamps, naive))
    if labels is not None:
        rows.update(_labels(blobs, labels, label_columns, rows, spine.key, until, naive))
    return rows


def known(
    blobs: Blobs, view: View, source: Version, asked: Mapping[str, Any], at: Ints, *, naive: bool = False
) -> Columns:
    """The view's features for rows that bring its key columns, each at its moment `at` (n,). Errors: `frame.column`."""
    columns = read.columns(blobs, source, needed(view.keys, view.reads, source))
    return known_of(view, told(columns, source), asked, at, naive)


class Told(NamedTuple):
    """Rows of a dataset, (m,) each: the columns that `needed` names, event time, arrival, when a later row of the same
    key arrived (∞ for never), and `kept`: which rows count, None for all; of a key and an arrival it is the last."""

    columns: Columns
    event: Floats
    arrived: Floats
    corrected: Floats
    kept: NDArray[np.bool_] | None


def told(columns: Columns, source: Version | Dataset) -> Told:
    """The rows with what their times and keys say of each other."""
    event = columns[source.event].astype(np.float64)
    arrived = columns[source.arrived].astype(np.float64) if source.arrived else event
    return Told(columns, event, arrived, *corrections([columns[key] for key in source.key], arrived))


def known_of(view: View, rows: Told, asked: Mapping[str, Any], at: Ints, naive: bool = False) -> Columns:
    """`known` over the rows of its dataset that are in memory."""
    for key in view.keys:
        if key not in asked:
            raise MillraceError("frame.column", f"view {view.name!r} needs the key {key!r}", misnamed(key, asked))
    made = source_rows(view.keys, view.reads, rows if naive or not len(at) else _within_reach(view, rows, at))
    codes, names = coded([made.keys[key] for key in view.keys])
    there = codes >= 0
    if naive:
        there &= np.isinf(made.rows[:, CORRECTED])
        view = msgspec.structs.replace(view, over="event")
    shelf = shelve(made.rows[there], codes[there], len(names), view.over)
    question = asked_codes(asked, view.keys, names)
    return decoded(view, fold(view, shelf, question, at, naive), made.words)


class Source(NamedTuple):
    """Rows of a view's dataset as a shelf wants them: (n, 3 + values), the key columns, the words of texts, and which
    of the given rows they are."""

    rows: Floats
    keys: Columns
    places: Ints
    words: dict[str, dict[float, str]]


def _within_reach(view: View, rows: Told, at: Ints) -> Told:
    """The rows that can matter to a view at moments `at` (n,): what a fold may leave out, it need not put in order."""
    known = np.maximum(rows.event, rows.arrived)
    span = rules.horizon_s(view)
    near = (known <= at.max()) & (known >= (at.min() - span * SECOND if span else -np.inf))
    if rows.kept is not None:
        near &= rows.kept
    columns = {name: rows.columns[name][near] for name in dict.fromkeys((*view.keys, *view.reads))}
    return Told(columns, rows.event[near], rows.arrived[near], rows.corrected[near], None)


def source_rows(keys: Sequence[str], reads: Sequence[str], rows: Told) -> Source:
    """The rows that count, as a shelf wants them."""
    words: dict[str, dict[float, str]] = {}
    parts = [rows.event, rows.arrived, rows.corrected]
    for name in reads:
        values = rows.columns[name]
        parts.append(
            encoded(values, words.setdefault(name, {})) if values.dtype == object else values.astype(np.float64)
        )
    matrix = np.column_stack(parts)
    named = {key: rows.columns[key] for key in keys}
    if rows.kept is None:
        return Source(matrix, named, np.arange(len(matrix)), words)
    index = np.flatnonzero(rows.kept)
    return Source(matrix[index], {key: values[index] for key, values in named.items()}, index, words)


def corrections(key: Sequence[NDArray[Any]], arrived: Floats) -> tuple[Floats, NDArray[np.bool_] | None]:
    """(when a later row of the same key arrived, or ∞; which rows to keep, None for all)."""
    never = np.full(len(arrived), np.inf)
    if not key:
        return never, None
    if len(key) == 1 and key[0].dtype.kind == "i":
        distinct, codes = np.unique(key[0], return_inverse=True)
        keys = len(distinct)
    else:
        codes, names = coded(key)
        keys = len(names)
    if keys == len(arrived):
        return never, None
    order = np.lexsort((arrived, codes))
    same = codes[order][1:] == codes[order][:-1]
    never[order[:-1][same]] = arrived[order[1:]][same]
    doubled = np.zeros(len(arrived), bool)
    doubled[order[:-1][same]] = arrived[order[1:]][same] == arrived[order[:-1]][same]
    return never, ~doubled if doubled.any() else None


def coded(columns: Sequence[NDArray[Any]]) -> tuple[Ints, dict[tuple[Any, ...], int]]:
    """A whole number for each distinct key in the order of first sight, −1 where a part is missing; and their names."""
    plain = [listed(values) for values in columns]
    keys = plain[0] if len(plain) == 1 else list(zip(*plain, strict=True))
    one = len(plain) == 1
    first = [key for key in dict.fromkeys(keys) if (key is not None if one else None not in key)]
    codes = dict(zip(first, range(len(first)), strict=True))
    found = np.fromiter(map(codes.get, keys, repeat(ABSENT)), np.int64, len(keys))
    return found, {(key,): code for key, code in codes.items()} if one else codes


def asked_codes(asked: Mapping[str, Any], keys: Sequence[str], names: Mapping[tuple[Any, ...], int]) -> Ints:
    """The code of each asked row's key; −1 for one that is not there."""
    columns = [listed(asked[key]) for key in keys]
    if len(columns) == 1:
        codes = {name[0]: code for name, code in names.items()}
        return np.fromiter(map(codes.get, columns[0], repeat(ABSENT)), np.int64, len(columns[0]))
    return np.fromiter(map(names.get, zip(*columns, strict=True), repeat(ABSENT)), np.int64, len(columns[0]))


def encoded(values: NDArray[Any], words: dict[float, str]) -> Floats:
    """Texts as numbers that are the same in every process (48 bits of their hash); NaN where there is none."""
    code: dict[str, float] = {}
    for word in set(values.tolist()) - {None}:
        code[word] = float(int.from_bytes(blake3(word.encode()).digest()[:6], "big"))
    words.update({number: word for word, number in code.items()})
    return np.fromiter((code.get(value, np.nan) for value in values), np.float64, len(values))


def decoded(view: View, features: dict[str, Floats], words: Mapping[str, Mapping[float, str]]) -> Columns:
    """Features with the words of texts put back, in the view's order."""
    found: Columns = dict(features)
    texts = {f"{view.name}__{name}": name for name in view.columns if name in words}
    texts.update({f"{view.name}__{w.name}": w.column for w in view.windows if w.how == "last" and w.column in words})
    for name, column in texts.items():
        spelled = words[column]
        values = np.empty(len(features[name]), object)
        values[:] = [None if code != code else spelled[code] for code in features[name].tolist()]
        found[name] = values
    return {name: found[name] for name in view.features}


def needed(keys: Sequence[str], reads: Sequence[str], source: Version) -> list[str]:
    """The columns of its dataset that a view with these keys and values is made from."""
    own = (*keys, *reads, *source.key, source.event, source.arrived)
    return [name for name in dict.fromkeys(own) if name]


def _labels(
    blobs: Blobs,
    labels: Version,
    wanted: Sequence[str],
    rows: Columns,
    key: Sequence[str],
    until: Micros | None,
    naive: bool,
) -> Columns:
    names = tuple(wanted) or tuple(c.name for c in labels.columns if c.name not in key)
    stamp = labels.arrived or labels.event
    columns = read.columns(blobs, labels, [*key, *names, *([stamp] if stamp else [])])
    kept = np.arange(len(columns[key[0]]))
    if stamp:
        order = np.argsort(columns[stamp], kind="stable")
        kept = order if until is None or naive else order[columns[stamp][order] < until]
    taken = _places_of([rows[part] for part in key], [columns[part][kept] for part in key])
    taken[taken >= 0] = kept[taken[taken >= 0]]
    found: Columns = {}
    for name in names:
        values = columns[name]
        if values.dtype == object:
            picked = np.empty(len(taken), object)
            picked[taken >= 0] = values[taken[taken >= 0]]
        else:
            picked = np.full(len(taken), np.nan)
            picked[taken >= 0] = values[taken[taken >= 0]]
        found[name] = picked
    return found


def _places_of(asked: Sequence[NDArray[Any]], held: Sequence[NDArray[Any]]) -> Ints:
    """For each key that is asked for (n,) the last place that holds it; −1 for one that is not there."""
    if len(held) == 1 and held[0].dtype.kind == asked[0].dtype.kind == "i":
        order = np.argsort(held[0], kind="stable")
        after = held[0][order].searchsorted(asked[0], "right")
        last = order[np.maximum(after - 1, 0)] if len(order) else np.zeros(len(after), np.int64)
        there = (after > 0) & (held[0][last] == asked[0]) if len(order) else np.zeros(len(after), np.bool_)
        return np.where(there, last, ABSENT)
    place = dict(zip(zip(*map(listed, held), strict=True), range(len(held[0])), strict=True))
    return np.fromiter(map(place.get, zip(*map(listed, asked), strict=True), repeat(ABSENT)), np.int64, len(asked[0]))


def _newest_of_each(rows: Columns, spine: Version) -> Columns:
    """The spine with corrections applied: of each key the row that arrived last."""
    if not spine.key:
        return rows
    stamp = spine.arrived or spine.event
    arrived = rows[stamp].astype(np.float64) if stamp else np.arange(len(rows[spine.key[0]]), dtype=np.float64)
    corrected, kept = corrections([rows[key] for key in spine.key], arrived)
    newest = np.isinf(corrected) if kept is None else np.isinf(corrected) & kept
    return rows if newest.all() else {name: values[newest] for name, values in rows.items()}


def _order(rows: Columns, moment: str, key: Sequence[str]) -> Ints:
    ranks = [rows[name].astype(str) if rows[name].dtype == object else rows[name] for name in reversed(key)]
    return np.lexsort((*ranks, rows[moment]))
