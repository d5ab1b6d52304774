"""The verbs of features."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from millrace.access.context import Context
from millrace.base.clock import from_iso
from millrace.base.errors import MillraceError, unknown
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.data import life
from millrace.data.parquet import listed
from millrace.features import online, rules, tables
from millrace.features.records import View, Window


class ApplyView(Struct, frozen=True):
    """A definition; see `View`."""

    name: str
    source: str
    keys: tuple[str, ...]
    columns: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    age: str = ""
    ttl_s: int = 0
    hop_s: int = 60
    over: Literal["event", "arrival"] = "event"
    about: str = ""


class WhichView(Struct, frozen=True):
    view: str


class ReadViews(Struct, frozen=True):
    """`keys` are columns of n values; `at` is one moment for all of them (micros or ISO text), now by default."""

    views: tuple[str, ...]
    keys: dict[str, list[Any]]
    at: int | str = ""


@op("view.apply", permission="view:write")
def apply(ask: ApplyView, cx: Context) -> View:
    """Define a feature view, or define it anew; the same definition again changes nothing.

    Errors: dataset.unknown, view.invalid, name.invalid.
    """
    given = View(**msgspec.structs.asdict(ask), made=cx.now)
    view = rules.check(given, life.find(cx.tx, cx.workspace, ask.source))
    before = tables.view(cx.tx, cx.workspace, view.name)
    if before is not None and before.digest == view.digest:
        return before
    made = msgspec.structs.replace(view, number=(before.number if before else 0) + 1)
    tables.add(cx.tx, cx.workspace, made)
    cx.fact("view.applied", made.name, {"number": made.number, "digest": made.digest, "source": made.source})
    return made


@op("view.get", permission="view:read", kind="read")
def get(ask: WhichView, cx: Context) -> View:
    """Show a feature view.

    Errors: view.unknown.
    """
    found = tables.view(cx.tx, cx.workspace, ask.view)
    if found is None:
        raise unknown("view", ask.view, (view.name for view in tables.views(cx.tx, cx.workspace)))
    return found


@op("view.list", permission="view:read", kind="read")
def list_all(ask: Paged, cx: Context) -> Page[View]:
    """List the feature views.

    Errors: page.invalid.
    """
    return page_of(tables.views(cx.tx, cx.workspace), ask, lambda one: one.name)


@op("view.read", permission="view:read", kind="work")
def read(ask: ReadViews, cx: Context) -> dict[str, list[Any]]:
    """Read features as known at one moment, by key; null where nothing was known.

    Errors: view.unknown, frame.column, request.invalid.
    """
    lengths = {len(values) for values in ask.keys.values()}
    if len(lengths) != 1:
        raise MillraceError("request.invalid", f"the key columns have lengths {sorted(lengths)}", "one value a row")
    at = cx.now if ask.at == "" else from_iso(ask.at) if isinstance(ask.at, str) else ask.at
    moments = np.full(lengths.pop(), at, np.int64)
    found = online.read(cx.ground, cx.workspace, ask.views, ask.keys, moments)
    return {name: listed(values) for name, values in found.items()}


OPS = tuple(record_of(verb) for verb in (apply, get, list_all, read))
