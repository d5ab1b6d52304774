"""A dataset's life as functions of an open writing call, for this room's verbs and for the rooms that read data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Context
from millrace.base.errors import MillraceError, unknown
from millrace.catalog.tx import Tx
from millrace.data import parquet, rules, tables
from millrace.data.parquet import Columns
from millrace.data.records import Column, Dataset, Kind, Version
from millrace.store import tree
from millrace.store.tree import Entry


def find(tx: Tx, workspace: str, name: str) -> Dataset:
    """The dataset `name`. Errors: `dataset.unknown`."""
    return _receiving(tx, workspace, name)[0]


def _receiving(tx: Tx, workspace: str, name: str) -> tuple[Dataset, int]:
    found = tables.receiving(tx, workspace, name)
    if found is None:
        raise unknown("dataset", name, tables.names(tx, workspace))
    return found


def resolve(tx: Tx, workspace: str, name: str, number: int = 0) -> Version:
    """A version of a dataset, the newest for number 0. Errors: `dataset.unknown`, `version.unknown`."""
    found = tables.version(tx, workspace, name, number)
    if found is None:
        dataset = find(tx, workspace, name)
        hint = f"there are 1 to {dataset.latest}" if dataset.latest else f"add rows first: millrace dataset add {name}"
        raise MillraceError("version.unknown", f"dataset {name!r} has no version {number or 'yet'}", hint)
    return found


def define(cx: Context, made: Dataset) -> bool:
    """Make a dataset, or make one that never had a row otherwise; False if it had one, or is like this already."""
    done = tables.add(cx.tx, cx.workspace, made) or tables.redefine(cx.tx, cx.workspace, made)
    if done:
        cx.fact("dataset.made", made.name, {"key": made.key, "event": made.event, "arrived": made.arrived})
    return done


def push(cx: Context, given: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, int]:
    """Take in small batches for several datasets, all or none; rows by dataset. Durable when the call's commit is.

    Errors: `dataset.unknown`, `dataset.schema`, `dataset.empty`, `dataset.null`, `dataset.infinite`,
    `dataset.duplicate`, `dataset.time`, `dataset.whole`, `dataset.wide`.
    """
    taken: dict[str, int] = {}
    for name, lists in given.items():
        dataset, last = _receiving(cx.tx, cx.workspace, name)
        columns, found = rules.from_lists(dataset, lists)
        fitted = rules.schema(name, dataset.columns, found)
        dataset = msgspec.structs.replace(dataset, columns=fitted)
        rules.roles(dataset)
        rules.check(dataset, columns)
        if not dataset.latest and not last:
            tables.set_columns(cx.tx, cx.workspace, name, fitted, 0)
        rows = len(columns[fitted[0].name])
        tables.add_push(cx.tx, cx.workspace, name, last + 1, rows, pack(columns, fitted))
        taken[name] = rows
    return taken


def seal(cx: Context, name: str) -> Version:
    """Make what was pushed part of a new version; the newest version there is then.

    Errors: `dataset.unknown`, `version.unknown` where nothing was ever added.
    """
    dataset = find(cx.tx, cx.workspace, name)
    batches = tables.pushes(cx.tx, cx.workspace, name)
    if not batches:
        return resolve(cx.tx, cx.workspace, name)
    columns = joined([unpack(packed, exact=True) for _, packed in batches], dataset)
    part = cx.blobs.put(parquet.write(columns))
    entry = Entry("", part, cx.blobs.size(part))
    return cut(cx, dataset, dataset.columns, [(entry, columns)], pushed=batches[-1][0])


def cut(
    cx: Context,
    dataset: Dataset,
    fitted: tuple[Column, ...],
    parts: Iterable[tuple[Entry, Columns]],
    *,
    anew: bool = False,
    pushed: int = 0,
) -> Version:
    """A new version: these parts after (or, `anew`, instead of) the newest one's. The newest one if nothing changed."""
    before = tables.version(cx.tx, cx.workspace, dataset.name)
    kept = [] if before is None or anew else list(tree.read(cx.blobs, before.tree))
    held = {entry.digest for entry in kept}
    summary = () if before is None or anew else before.summary
    added, spans = 0, [] if before is None or anew else [(before.since, before.until)]
    entries = list(kept)
    for entry, columns in parts:
        if entry.digest in held and not pushed:
            continue
        entries.append(entry._replace(path=f"{len(entries):06d}.parquet"))
        held.add(entry.digest)
        summary = rules.merged(summary, rules.summaries(columns, fitted))
        spans.append(rules.span(columns, dataset.event))
        added += len(columns[fitted[0].name])
    digest = tree.make(cx.blobs, {entry.path: entry for entry in entries})
    if before is not None and digest == before.tree:
        return before
    first, last = [s for s, _ in spans if s is not None], [u for _, u in spans if u is not None]
    made = Version(
        dataset=dataset.name, number=(before.number if before else 0) + 1, id=cx.new_id(), tree=digest,
        rows=added + (before.rows if before and not anew else 0), added=added, columns=fitted, key=dataset.key,
        event=dataset.event, arrived=dataset.arrived, since=min(first, default=None), until=max(last, default=None),
        summary=summary, made=cx.now, actor=cx.actor, pushed=pushed or (before.pushed if before else 0),
    )  # fmt: skip
    tables.add_version(cx.tx, cx.workspace, made)
    cx.fact("dataset.versioned", dataset.name, {"number": made.number, "tree": made.tree, "rows": made.rows})
    return made


def pack(columns: Columns, kinds: Sequence[Column]) -> bytes:
    """Columns as one value of the catalog: numbers and times as little-endian bytes, and where they are masked, if they
    are; text as it is.
    """
    packed: dict[str, tuple[Any, ...]] = {}
    for column in kinds:
        values = columns[column.name]
        data = np.ma.getdata(values)
        plain = data.tolist() if data.dtype == object else data.astype(data.dtype.newbyteorder("<")).tobytes()
        mask = (np.ma.getmaskarray(values).tobytes(),) if np.ma.is_masked(values) else ()
        packed[column.name] = (data.dtype.str.lstrip("<>=|"), plain, *mask)
    return msgspec.msgpack.encode(packed)


def unpack(packed: bytes, *, exact: bool = False) -> Columns:
    """The inverse of `pack`: what is masked as float64 with NaN, or masked in its own type where `exact`.

    Errors: `dataset.whole` where float64 would round a value.
    """
    found: Columns = {}
    for name, (kind, values, *masks) in msgspec.msgpack.decode(packed).items():
        column = _texts(values) if kind == "O" else np.frombuffer(values, np.dtype(kind).newbyteorder("<"))
        for mask in masks:
            column = np.ma.MaskedArray(column, np.frombuffer(mask, np.bool_))
        found[name] = column if exact else parquet.floating(name, column)
    return found


def joined(parts: Sequence[Columns], dataset: Dataset) -> Columns:
    """Rows of several batches in the order of event time; a column keeps its type, and is masked where it is null."""
    found = {c.name: _one([part[c.name] for part in parts], c.kind) for c in dataset.columns}
    return in_order(found, dataset.event)


def in_order(columns: Columns, event: str) -> Columns:
    """Rows in the order of event time; rows of one moment, and those of a dataset without it, stay as they came."""
    if not event:
        return columns
    order = np.argsort(columns[event], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def _one(parts: Sequence[NDArray[Any]], kind: Kind) -> NDArray[Any]:
    if kind in ("whole", "time", "bool"):
        parts = [_masked(values, kind) if values.dtype.kind == "f" else values for values in parts]
    if any(np.ma.isMaskedArray(values) for values in parts):
        return np.ma.concatenate(parts)  # type: ignore[no-any-return, no-untyped-call]  # numpy leaves it open
    return np.concatenate(parts)


def _masked(values: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """A column whose nulls are NaN, as rows that were pushed to an earlier Millrace wait."""
    missing = np.isnan(values)
    return np.ma.MaskedArray(np.where(missing, 0, values).astype(np.bool_ if kind == "bool" else np.int64), missing)


def _texts(values: list[Any]) -> Any:
    found = np.empty(len(values), object)
    found[:] = values
    return found
