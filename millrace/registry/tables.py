"""The only SQL of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Index, bindparam, func, select

from millrace.catalog.schema import integer, table, text
from millrace.catalog.statements import insert_absent, upsert
from millrace.catalog.tx import Tx
from millrace.registry.records import Alias, Approval, Model, Version
from millrace.tracking.records import Input

_model = table(
    "model",
    text("workspace", key=True),
    text("name", key=True),
    integer("made"),
    integer("approvals"),
    text("about"),
)
_version = table(
    "model_version",
    text("workspace", key=True),
    text("model", key=True),
    integer("number", key=True),
    text("run"),
    text("tree"),
    text("spec"),
    Index("ix_model_version_run", "workspace", "run"),
)
_source = table(
    "model_source",
    text("workspace", key=True),
    text("model", key=True),
    integer("number", key=True),
    text("digest", key=True),
    Index("ix_model_source_digest", "workspace", "digest"),
)
_alias = table(
    "model_alias",
    text("workspace", key=True),
    text("model", key=True),
    text("name", key=True),
    integer("number"),
    integer("since"),
    text("actor"),
)
_approval = table(
    "model_approval",
    text("workspace", key=True),
    text("model", key=True),
    text("id", key=True),
    integer("number"),
    text("pipeline"),
    text("actor"),
    integer("at"),
    text("note"),
    integer("fact"),
)

_place: BindParameter[Any] = bindparam("place")
_which: BindParameter[Any] = bindparam("which")
_m, _v, _s, _l, _a = _model.c, _version.c, _source.c, _alias.c, _approval.c
_add_model = insert_absent(_model)
_models = select(_m.name, _m.made, _m.approvals, _m.about).where(_m.workspace == _place).order_by(_m.name)
_one_model = _models.where(_m.name == _which)
_all_trees = select(_v.tree)
_add_version = insert_absent(_version)
_versions = select(_v.spec).where(_v.workspace == _place, _v.model == _which).order_by(_v.number)
_one_version = _versions.where(_v.number == bindparam("number"))
_of_run = _versions.where(_v.run == bindparam("run"), _v.tree == bindparam("tree"))
_newest = select(func.coalesce(func.max(_v.number), 0)).where(_v.workspace == _place, _v.model == _which)
_add_source = insert_absent(_source)
_made_from = (
    select(_v.spec)
    .where(
        _s.workspace == _place, _s.digest == _which, _v.workspace == _place, _v.model == _s.model,
        _v.number == _s.number,
    )
    .order_by(_v.model, _v.number)
)  # fmt: skip
_point = upsert(_alias)
_aliases = (
    select(_l.model, _l.name, _l.number, _l.since, _l.actor)
    .where(_l.workspace == _place, _l.model == _which)
    .order_by(_l.name)
)
_one_alias = _aliases.where(_l.name == bindparam("alias"))
_add_approval = insert_absent(_approval)
_approvals = (
    select(_a.model, _a.number, _a.pipeline, _a.actor, _a.at, _a.note, _a.fact)
    .where(_a.workspace == _place, _a.model == _which)
    .order_by(_a.id)
)


def add_model(tx: Tx, workspace: str, made: Model) -> bool:
    row = {"workspace": workspace, "name": made.name, "made": made.made, "approvals": made.approvals}
    return tx.change(_add_model, **row, about=made.about) == 1


def model(tx: Tx, workspace: str, name: str) -> Model | None:
    row = tx.one(_one_model, place=workspace, which=name)
    return Model(*row) if row else None


def models(tx: Tx, workspace: str) -> list[Model]:
    return [Model(*row) for row in tx.run(_models, place=workspace)]


def add_version(tx: Tx, workspace: str, made: Version, sources: Sequence[Input]) -> None:
    """Add a version, and what it was made from so that it is found by any of it."""
    spec = msgspec.json.encode(made).decode()
    row = {"workspace": workspace, "model": made.model, "number": made.number}
    tx.change(_add_version, **row, run=made.run, tree=made.tree, spec=spec)
    digests = {source.digest for source in sources if source.digest}
    tx.change_many(_add_source, [{**row, "digest": digest} for digest in sorted(digests)])


def version(tx: Tx, workspace: str, model: str, number: int) -> Version | None:
    row = tx.one(_one_version, place=workspace, which=model, number=number)
    return msgspec.json.decode(row[0], type=Version) if row else None


def version_of(tx: Tx, workspace: str, model: str, run: str, tree: str) -> Version | None:
    """The version that was registered from a run's tree."""
    row = tx.one(_of_run, place=workspace, which=model, run=run, tree=tree)
    return msgspec.json.decode(row[0], type=Version) if row else None


def versions(tx: Tx, workspace: str, model: str) -> list[Version]:
    """Oldest first."""
    return [msgspec.json.decode(row[0], type=Version) for row in tx.run(_versions, place=workspace, which=model)]


def newest(tx: Tx, workspace: str, model: str) -> int:
    row = tx.one(_newest, place=workspace, which=model)
    return int(row[0]) if row else 0


def made_from(tx: Tx, workspace: str, digest: str) -> list[Version]:
    return [msgspec.json.decode(row[0], type=Version) for row in tx.run(_made_from, place=workspace, which=digest)]


def point(tx: Tx, workspace: str, alias: Alias) -> int:
    """Point a name at a version; where it pointed before, 0 for nowhere."""
    before = find_alias(tx, workspace, alias.model, alias.name)
    row = {"workspace": workspace, "model": alias.model, "name": alias.name, "number": alias.number}
    tx.change(_point, **row, since=alias.since, actor=alias.actor)
    return before.number if before else 0


def find_alias(tx: Tx, workspace: str, model: str, name: str) -> Alias | None:
    row = tx.one(_one_alias, place=workspace, which=model, alias=name)
    return Alias(*row) if row else None


def aliases(tx: Tx, workspace: str, model: str) -> list[Alias]:
    return [Alias(*row) for row in tx.run(_aliases, place=workspace, which=model)]


def add_approval(tx: Tx, workspace: str, id: str, made: Approval) -> None:
    row = {"workspace": workspace, "id": id, "model": made.model, "number": made.number, "pipeline": made.pipeline}
    tx.change(_add_approval, **row, actor=made.actor, at=made.at, note=made.note, fact=made.fact)


def approvals(tx: Tx, workspace: str, model: str) -> list[Approval]:
    return [Approval(*row) for row in tx.run(_approvals, place=workspace, which=model)]


def roots(tx: Tx) -> list[str]:
    """The tree of every version of every workspace: what garbage collection must keep."""
    return [row[0] for row in tx.run(_all_trees)]
