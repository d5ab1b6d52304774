"""Versions as functions of an open transaction, for this room's verbs and for the rooms to its right."""

from __future__ import annotations

from millrace.access import tables as access_tables
from millrace.base.errors import unknown
from millrace.catalog.tx import Tx
from millrace.registry import rules, tables
from millrace.registry.records import Approval, Lineage, Model, Version
from millrace.tracking import tables as tracking_tables


def find_model(tx: Tx, workspace: str, name: str) -> Model:
    """The model of that name. Errors: `model.unknown`."""
    found = tables.model(tx, workspace, name)
    if found is None:
        raise unknown("model", name, (model.name for model in tables.models(tx, workspace)))
    return found


def find(tx: Tx, workspace: str, model: str, number: int) -> Version:
    """One version. Errors: `model.unknown`, `version.unknown`."""
    find_model(tx, workspace, model)
    found = tables.version(tx, workspace, model, number)
    if found is None:
        known = (f"{model}@{version.number}" for version in tables.versions(tx, workspace, model))
        raise unknown("version", f"{model}@{number}", known)
    return found


def approved_by(tx: Tx, workspace: str, version: Version) -> tuple[Approval, ...]:
    """The approvals that count for a version."""
    given = tables.approvals(tx, workspace, version.model)
    return rules.counting(version, given, access_tables.owners(tx))


def check_approved(tx: Tx, workspace: str, version: Version) -> tuple[Approval, ...]:
    """The approvals that count, if they are enough for the model's policy. Errors: `version.unapproved`."""
    counted = approved_by(tx, workspace, version)
    rules.check_approved(find_model(tx, workspace, version.model), version, counted)
    return counted


def missing_approvals(tx: Tx, workspace: str, model: Model, number: int) -> int:
    """How many more approvals a version needs before it may serve; 0 where there is no such version."""
    version = tables.version(tx, workspace, model.name, number) if model.approvals else None
    return rules.missing_approvals(model, approved_by(tx, workspace, version)) if version else 0


def lineage(tx: Tx, workspace: str, version: Version) -> Lineage:
    """What a version came from."""
    run = tracking_tables.run(tx, workspace, version.run) if version.run else None
    inputs = run.inputs if run else ()
    return Lineage(
        version=version,
        run=run,
        data=tuple(item for item in inputs if item.kind == "dataset"),
        features=tuple(item for item in inputs if item.kind == "view"),
        code=run.origin.code if run else "",
        environment=run.origin.environment if run else "",
        approvals=approved_by(tx, workspace, version),
        aliases=tuple(a for a in tables.aliases(tx, workspace, version.model) if a.number == version.number),
    )
