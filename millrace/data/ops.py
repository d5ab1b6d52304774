"""The verbs of data."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct, field

from millrace.access.context import Context
from millrace.base.errors import MillraceError
from millrace.base.names import check_name
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of, page_size
from millrace.catalog.tx import Tx
from millrace.data import ingest, life, parquet, read, rules, tables
from millrace.data.parquet import listed
from millrace.data.records import KINDS, Column, Dataset, Kind, Version
from millrace.store.tree import Entry


class MakeDataset(Struct, frozen=True):
    """`columns` (name to kind) may be left to the first rows."""

    name: str
    key: tuple[str, ...] = ()
    event: str = ""
    arrived: str = ""
    columns: dict[str, Kind] = field(default_factory=dict)


class Roles(Struct, frozen=True, forbid_unknown_fields=True):
    """Where `key`, `event` or `arrived` is given, even empty, a dataset that is not there is made with its first rows;
    one that is there must have the same as what is not empty. `columns` (name to kind) are for one that is made."""

    key: tuple[str, ...] | None = None
    event: str | None = None
    arrived: str | None = None
    columns: dict[str, Kind] = field(default_factory=dict)


class AddRows(Roles, frozen=True, kw_only=True):
    """`files` are digests of stored Parquet or CSV bytes. ``mode="replace"`` begins the table anew; see `Roles`."""

    dataset: str
    files: tuple[str, ...]
    mode: Literal["append", "replace"] = "append"


class PushRows(Struct, frozen=True):
    """Rows by dataset, each a mapping of columns to lists of equal length; null where unknown. `roles` by dataset."""

    tables: dict[str, dict[str, list[Any]]]
    roles: dict[str, Roles] = field(default_factory=dict)


class Pushed(Struct, frozen=True):
    """Rows taken in, by dataset."""

    rows: dict[str, int]


class WhichDataset(Struct, frozen=True):
    dataset: str


class Versions(Page[Version], frozen=True):
    """A page of versions, oldest first."""


class ListVersions(Paged, frozen=True, kw_only=True):
    dataset: str


class WhichVersion(Struct, frozen=True):
    """`number` 0 is the newest version."""

    dataset: str
    number: int = 0
    limit: int = 20


class Preview(Struct, frozen=True):
    """The first rows of a version."""

    version: Version
    columns: dict[str, list[Any]]


class CompareVersions(Struct, frozen=True):
    dataset: str
    before: int
    after: int = 0


class Difference(Struct, frozen=True):
    """What changed from one version to another: rows, and by key (where there is one) rows added, gone and changed."""

    dataset: str
    before: int
    after: int
    rows_before: int
    rows_after: int
    added: int | None
    gone: int | None
    changed: int | None


@op("dataset.make", permission="dataset:write")
def make(ask: MakeDataset, cx: Context) -> Dataset:
    """Make a dataset: a named table with its key, event time and arrival. One that never had a row may be made anew.

    Errors: dataset.exists, dataset.schema, dataset.wide, name.invalid.
    """
    rules.check_width(len(ask.columns))
    columns = tuple(Column(name, kind) for name, kind in ask.columns.items())
    made = Dataset(check_name("dataset", ask.name), ask.key, ask.event, ask.arrived, columns, cx.now)
    if columns:
        rules.roles(made)
    if not life.define(cx, made):
        raise MillraceError("dataset.exists", f"there is a dataset {ask.name!r} already", "use it, or choose a name")
    return made


@op("dataset.add", permission="dataset:write", kind="work")
def add(ask: AddRows, cx: Context) -> Version:
    """Add the rows of stored files; a new version, or the newest as it is when it holds them already.

    A dataset that is made by it is there with its first version, or not at all.

    Errors: dataset.unknown, dataset.schema, dataset.kind, dataset.unreadable, dataset.empty, dataset.null,
    dataset.infinite, dataset.duplicate, dataset.time, dataset.whole, dataset.wide, blob.unknown, name.invalid.
    """
    while True:
        with cx.read() as tx:
            dataset, anew = _wanted(ask.dataset, ask, tx, cx)
        try:
            return _add(ask, cx, dataset, anew=anew)
        except _DefinedMeanwhile:
            continue


class _DefinedMeanwhile(Exception):
    """The dataset was made, or made otherwise, while its rows were read."""


def _wanted(name: str, roles: Roles, tx: Tx, cx: Context) -> tuple[Dataset, bool]:
    """The dataset that rows are added to, and whether it is to be made, or made otherwise.

    Errors: `dataset.unknown`, `dataset.schema`, `name.invalid`.
    """
    given = {"key": roles.key, "event": roles.event, "arrived": roles.arrived}
    said: dict[str, Any] = {role: value for role, value in given.items() if value}
    columns = tuple(Column(name, kind) for name, kind in roles.columns.items())
    there = tables.dataset(tx, cx.workspace, name)
    if there is None and any(value is not None for value in given.values()):
        empty = Dataset(check_name("dataset", name), (), "", "", columns, cx.now)
        return msgspec.structs.replace(empty, **said), True
    there = there or life.find(tx, cx.workspace, name)
    wanted = msgspec.structs.replace(there, **said)
    if tables.standing(tx, cx.workspace, name) == (0, 0):
        wanted = msgspec.structs.replace(wanted, columns=columns or wanted.columns)
    elif wanted != there:
        had, asked = (
            ", ".join(f"{role} {_plain(getattr(one, role))}" for role in said if getattr(there, role) != said[role])
            for one in (there, wanted)
        )
        raise MillraceError(
            "dataset.schema", f"{name!r} is there with {had}, not with {asked}",
            "say the same, leave it out, or choose another name",
        )  # fmt: skip
    return wanted, wanted != there


def _plain(named: str | tuple[str, ...]) -> str:
    columns = [named] if isinstance(named, str) else named
    return ", ".join(repr(column) for column in columns if column) or "none"


def _add(ask: AddRows, cx: Context, dataset: Dataset, *, anew: bool) -> Version:
    if not ask.files:
        raise MillraceError("dataset.empty", f"no file came for {ask.dataset!r}", "store the files' bytes first")
    parts = []
    fitted = dataset.columns
    for digest in ask.files:
        known = msgspec.structs.replace(dataset, columns=fitted)
        columns, fitted = ingest.columns_of(cx.blobs.path(digest), known)
        rules.roles(msgspec.structs.replace(dataset, columns=fitted))
        rules.check(dataset, columns)
        columns = life.in_order(columns, dataset.event)
        part = cx.blobs.put(parquet.write(columns))
        parts.append((Entry("", part, cx.blobs.size(part)), columns))

    def write(within: Context) -> Version:
        if anew and not life.define(within, dataset):
            raise _DefinedMeanwhile
        now = life.find(within.tx, within.workspace, ask.dataset)
        if (now.key, now.event, now.arrived) != (dataset.key, dataset.event, dataset.arrived):
            raise _DefinedMeanwhile
        rules.schema(ask.dataset, now.columns, fitted)
        if ask.mode == "append" and tables.pushes(within.tx, within.workspace, ask.dataset):
            life.seal(within, ask.dataset)
        return life.cut(within, now, fitted, parts, anew=ask.mode == "replace")

    return cx.commit(write)


@op("dataset.push", permission="dataset:write")
def push(ask: PushRows, cx: Context) -> Pushed:
    """Take in small batches of rows for one or several datasets, durably, all or none; no version is cut.

    A dataset that is made by it is there with its first rows, or not at all.

    Errors: dataset.unknown, dataset.schema, dataset.empty, dataset.null, dataset.infinite, dataset.duplicate,
    dataset.time, dataset.whole, dataset.wide, name.invalid.
    """
    for name, roles in ask.roles.items():
        if name not in ask.tables:
            raise MillraceError("dataset.empty", f"no rows came for {name!r}", "a dataset is made with its first rows")
        dataset, anew = _wanted(name, roles, cx.tx, cx)
        if anew:
            life.define(cx, dataset)
    return Pushed(life.push(cx, ask.tables))


@op("dataset.seal", permission="dataset:write")
def seal(ask: WhichDataset, cx: Context) -> Version:
    """Make what was pushed part of a new version.

    Errors: dataset.unknown, version.unknown.
    """
    return life.seal(cx, ask.dataset)


@op("dataset.get", permission="dataset:read", kind="read")
def get(ask: WhichDataset, cx: Context) -> Dataset:
    """Show one dataset.

    Errors: dataset.unknown.
    """
    return tables.counted(cx.tx, cx.workspace, ask.dataset) or life.find(cx.tx, cx.workspace, ask.dataset)


@op("dataset.list", permission="dataset:read", kind="read")
def list_all(ask: Paged, cx: Context) -> Page[Dataset]:
    """List the datasets.

    Errors: page.invalid.
    """
    return page_of(tables.datasets(cx.tx, cx.workspace), ask, lambda one: one.name)


@op("dataset.versions", permission="dataset:read", kind="read")
def versions(ask: ListVersions, cx: Context) -> Versions:
    """List the versions of a dataset, oldest first.

    Errors: dataset.unknown, page.invalid.
    """
    life.find(cx.tx, cx.workspace, ask.dataset)
    page = page_of(tables.versions(cx.tx, cx.workspace, ask.dataset), ask, lambda one: str(one.number))
    return Versions(page.items, page.next, page.total)


@op("dataset.preview", permission="dataset:read", kind="read")
def preview(ask: WhichVersion, cx: Context) -> Preview:
    """Show the first rows of a version.

    Errors: dataset.unknown, version.unknown, page.invalid.
    """
    limit = page_size(ask.limit)
    version = life.resolve(cx.tx, cx.workspace, ask.dataset, ask.number)
    return Preview(version, read.head(cx.blobs, version, limit))


@op("dataset.diff", permission="dataset:read", kind="read")
def diff(ask: CompareVersions, cx: Context) -> Difference:
    """Compare two versions of a dataset; `after` 0 is the newest.

    Errors: dataset.unknown, version.unknown.
    """
    one = life.resolve(cx.tx, cx.workspace, ask.dataset, ask.before)
    two = life.resolve(cx.tx, cx.workspace, ask.dataset, ask.after)
    counts: tuple[int | None, int | None, int | None] = (None, None, None)
    if one.key:
        counts = _by_key(cx, one, two)
    return Difference(ask.dataset, one.number, two.number, one.rows, two.rows, *counts)


def _by_key(cx: Context, one: Version, two: Version) -> tuple[int, int, int]:
    before, after = (_rows_by_key(read.columns(cx.blobs, version, exact=True), version) for version in (one, two))
    changed = sum(1 for key, row in after.items() if key in before and before[key] != row)
    return len(after.keys() - before.keys()), len(before.keys() - after.keys()), changed


def _rows_by_key(columns: parquet.Columns, version: Version) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The newest row of each key, as tuples that compare."""
    plain = {name: listed(values) for name, values in columns.items()}
    rank = version.arrived or version.event
    order = np.argsort(columns[rank], kind="stable") if rank else range(len(next(iter(columns.values()))))
    names = [column.name for column in version.columns]
    return {tuple(plain[name][row] for name in version.key): tuple(plain[name][row] for name in names) for row in order}


OPS = tuple(record_of(verb) for verb in (make, add, push, seal, get, list_all, versions, preview, diff))
assert set(KINDS) == set(rules._TYPES), "every kind has its types"
