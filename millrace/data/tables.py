"""The only SQL of data."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, func, or_, select, update

from millrace.catalog.schema import binary, integer, table, text
from millrace.catalog.statements import insert_absent
from millrace.catalog.tx import Tx
from millrace.data.records import Column, Dataset, Version

_dataset = table(
    "dataset",
    text("workspace", key=True),
    text("name", key=True),
    text("key"),
    text("event"),
    text("arrived"),
    text("columns"),
    integer("made"),
    integer("latest"),
    integer("pushed"),
)
_version = table(
    "dataset_version",
    text("workspace", key=True),
    text("dataset", key=True),
    integer("number", key=True),
    text("tree"),
    text("version"),
)
_push = table(
    "dataset_push",
    text("workspace", key=True),
    text("dataset", key=True),
    integer("number", key=True),
    integer("rows"),
    binary("columns"),
)
_d, _v, _p = _dataset.c, _version.c, _push.c
_place: Any = bindparam("place")
_which: Any = bindparam("which")

_add = insert_absent(_dataset)
_waiting = (
    select(func.coalesce(func.sum(_p.rows), 0))
    .where(_p.workspace == _d.workspace, _p.dataset == _d.name)
    .scalar_subquery()
)
_shape = _d.name, _d.key, _d.event, _d.arrived, _d.columns, _d.made, _d.latest
_one = select(*_shape, _d.pushed).where(_d.workspace == _place, _d.name == _which)
_counted = select(*_shape, _waiting).where(_d.workspace == _place).order_by(_d.name)
_one_counted = _counted.where(_d.name == _which)
_names = select(_d.name).where(_d.workspace == _place)
_settle = (
    update(_dataset)
    .where(_d.workspace == _place, _d.name == _which)
    .values(columns=bindparam("schema"), latest=bindparam("newest"))
)
_redefine = (
    update(_dataset)
    .where(_d.workspace == _place, _d.name == _which, _d.latest == 0, _d.pushed == 0)
    .where(
        or_(
            _d.key != bindparam("keys"),
            _d.event != bindparam("events"),
            _d.arrived != bindparam("arrivals"),
            _d.columns != bindparam("schema"),
        )
    )
    .values(
        key=bindparam("keys"), event=bindparam("events"), arrived=bindparam("arrivals"), columns=bindparam("schema")
    )
)
_standing = select(_d.latest, _d.pushed).where(_d.workspace == _place, _d.name == _which)
_count = update(_dataset).where(_d.workspace == _place, _d.name == _which).values(pushed=bindparam("last"))
_add_version = insert_absent(_version)
_some_version = select(_v.version).where(_v.workspace == _place, _v.dataset == _which, _v.number == bindparam("number"))
_newest = select(_v.version).where(_v.workspace == _place, _v.dataset == _which).order_by(_v.number.desc()).limit(1)
_versions = select(_v.version).where(_v.workspace == _place, _v.dataset == _which).order_by(_v.number)
_trees = select(_v.tree)
_add_push = insert_absent(_push)
_pushes = (
    select(_p.number, _p.columns)
    .where(_p.workspace == _place, _p.dataset == _which, _p.number > bindparam("after"))
    .order_by(_p.number)
)
_drop_pushes = _push.delete().where(_p.workspace == _place, _p.dataset == _which, _p.number <= bindparam("last"))


def add(tx: Tx, workspace: str, made: Dataset) -> bool:
    return (
        tx.change(
            _add,
            workspace=workspace, name=made.name, key=_json(made.key), event=made.event, arrived=made.arrived,
            columns=_json(made.columns), made=made.made, latest=0, pushed=0,
        )
        == 1
    )  # fmt: skip


def redefine(tx: Tx, workspace: str, made: Dataset) -> bool:
    """Define a dataset otherwise; False if it is defined like this already, or rows ever came for it."""
    changed = tx.change(
        _redefine,
        place=workspace, which=made.name, keys=_json(made.key), events=made.event, arrivals=made.arrived,
        schema=_json(made.columns),
    )  # fmt: skip
    return changed == 1


def dataset(tx: Tx, workspace: str, name: str) -> Dataset | None:
    """A dataset; the rows that wait are not counted."""
    found = receiving(tx, workspace, name)
    return found[0] if found else None


def receiving(tx: Tx, workspace: str, name: str) -> tuple[Dataset, int] | None:
    """`dataset`, and the number of the newest push."""
    row = tx.one(_one, place=workspace, which=name)
    return (_whole((*row[:-1], 0)), int(row[-1])) if row else None


def counted(tx: Tx, workspace: str, name: str) -> Dataset | None:
    """A dataset with the number of rows that wait."""
    row = tx.one(_one_counted, place=workspace, which=name)
    return _whole(row) if row else None


def datasets(tx: Tx, workspace: str) -> list[Dataset]:
    return [_whole(row) for row in tx.run(_counted, place=workspace)]


def names(tx: Tx, workspace: str) -> list[str]:
    return [row[0] for row in tx.run(_names, place=workspace)]


def standing(tx: Tx, workspace: str, name: str) -> tuple[int, int]:
    """(number of the newest version, number of the newest push)."""
    row = tx.one(_standing, place=workspace, which=name)
    return (int(row[0]), int(row[1])) if row else (0, 0)


def add_version(tx: Tx, workspace: str, version: Version) -> None:
    tx.change(
        _add_version,
        workspace=workspace, dataset=version.dataset, number=version.number, tree=version.tree, version=_json(version),
    )  # fmt: skip
    tx.change(_settle, place=workspace, which=version.dataset, schema=_json(version.columns), newest=version.number)
    if version.pushed:
        tx.change(_drop_pushes, place=workspace, which=version.dataset, last=version.pushed)


def version(tx: Tx, workspace: str, name: str, number: int = 0) -> Version | None:
    """One version; the newest for number 0."""
    row = (
        tx.one(_some_version, place=workspace, which=name, number=number)
        if number
        else tx.one(_newest, place=workspace, which=name)
    )
    return msgspec.json.decode(row[0], type=Version) if row else None


def versions(tx: Tx, workspace: str, name: str) -> list[Version]:
    return [msgspec.json.decode(row[0], type=Version) for row in tx.run(_versions, place=workspace, which=name)]


def roots(tx: Tx) -> list[str]:
    """The trees of every version of every workspace: what garbage collection must keep."""
    return [row[0] for row in tx.run(_trees)]


def add_push(tx: Tx, workspace: str, name: str, number: int, rows: int, columns: bytes) -> None:
    tx.change(_add_push, workspace=workspace, dataset=name, number=number, rows=rows, columns=columns)
    tx.change(_count, place=workspace, which=name, last=number)


def set_columns(tx: Tx, workspace: str, name: str, columns: tuple[Column, ...], latest: int) -> None:
    tx.change(_settle, place=workspace, which=name, schema=_json(columns), newest=latest)


def pushes(tx: Tx, workspace: str, name: str, after: int = 0) -> list[tuple[int, bytes]]:
    """(number, packed columns) of what was pushed after `after` and is in no version."""
    return [(int(row[0]), bytes(row[1])) for row in tx.run(_pushes, place=workspace, which=name, after=after)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _whole(row: Any) -> Dataset:
    return Dataset(
        row[0], tuple(msgspec.json.decode(row[1])), row[2], row[3],
        msgspec.json.decode(row[4], type=tuple[Column, ...]), row[5], row[6], int(row[7]),
    )  # fmt: skip
