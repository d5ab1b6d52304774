"""Searching runs: the columns of each workspace, kept in memory beside the catalog they were read from."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import msgspec

from millrace.base.page import wrong_cursor
from millrace.catalog.engine import Catalog
from millrace.catalog.tx import Tx
from millrace.tracking import tables
from millrace.tracking.columns import Columns, Row
from millrace.tracking.grammar import ATTRIBUTES, Both, Compare, Field, parse, parse_order
from millrace.tracking.records import Run

_ATTRIBUTES = {name: Field("run", name) for name in ATTRIBUTES}
_LONGEST = 200


class _Held:
    """The columns of one catalog, by workspace, and the lock that guards them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.columns: dict[str, Columns] = {}


_held: weakref.WeakKeyDictionary[Catalog, _Held] = weakref.WeakKeyDictionary()
_holding = threading.Lock()


def find(
    catalog: Catalog, tx: Tx, workspace: str, where: str, experiment: str, order: str, after: str, limit: int
) -> tuple[list[str], int]:
    """Ids of a page of the runs that fit, in order, and how many fit. Errors: `search.invalid`, `page.invalid`."""
    tree, orders = parse(where), parse_order(order)
    if experiment:
        only = Compare(Field("run", "experiment"), "=", experiment)
        tree = only if tree is None else Both(only, tree)
    with _holding:
        held = _held.setdefault(catalog, _Held())
    with held.lock:
        columns = held.columns.setdefault(workspace, Columns())
        refresh(columns, tx, workspace)
        found = columns.find(tree, orders, after, limit)
    if found is None:
        raise wrong_cursor(after)
    return found


def refresh(columns: Columns, tx: Tx, workspace: str) -> None:
    """Take in every run that changed since the columns were last brought up to date."""
    newest = tables.newest_revision(tx, workspace)
    if newest <= columns.seen:
        return
    bare, values, latests = tables.fresh(tx, workspace, columns.seen)
    rows = {run.id: Row(run.id, _attributes(run)) for run in bare}
    fields: dict[tuple[str, str], Field] = {}
    for owner, kind, key, value in values:
        field = fields.get((kind, key)) or fields.setdefault((kind, key), Field(f"{kind}s", key))
        rows[owner].values[field] = _scalar(msgspec.json.decode(value)) if kind == "param" else value
    for owner, key, value in latests:
        field = fields.get(("metric", key)) or fields.setdefault(("metric", key), Field("metrics", key))
        rows[owner].values[field] = float("nan") if value is None else value
    columns.update(rows.values(), newest)


def _attributes(run: Run) -> dict[Field, Any]:
    seconds = (run.ended - run.started) / 1e6 if run.ended and run.started else None
    return {field: seconds if name == "seconds" else getattr(run, name) for name, field in _ATTRIBUTES.items()}


def _scalar(value: Any) -> Any:
    """A parameter as it is searched: numbers and truth as numbers, lists and objects by their JSON text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return msgspec.json.encode(value).decode()[:_LONGEST]
