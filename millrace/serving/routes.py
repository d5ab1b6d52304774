"""Routing tables as functions of an open transaction: what an endpoint answers by now, and what it answers by next."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from millrace.access.context import Context
from millrace.base.errors import MillraceError, unknown
from millrace.catalog.tx import Tx
from millrace.features import tables as features_tables
from millrace.pipelines.signature import View
from millrace.registry import versions
from millrace.registry.records import Version
from millrace.serving import resident, rules, tables
from millrace.serving.records import Endpoint, Table


def find(tx: Tx, workspace: str, name: str) -> Endpoint:
    """The endpoint of that name. Errors: `endpoint.unknown`."""
    found = tables.endpoint(tx, workspace, name)
    if found is None:
        raise unknown("endpoint", name, (endpoint.name for endpoint in tables.endpoints(tx, workspace)))
    return found


def now(tx: Tx, workspace: str, endpoint: str) -> Table | None:
    """The table that an endpoint answers by; None before the first."""
    return tables.newest_table(tx, workspace, endpoint)


def point(cx: Context, table: Table) -> Table:
    """Make `table` what its endpoint answers by, in an open writing call; as it is kept.

    Its `number`, `made`, `actor` and `since` are filled in, and its `salt` where it is empty: by the rollout, or the
    endpoint, and the endpoint's seed.
    The call returns when every worker of this server answers by it; those that do not after ten seconds are named by
    the fact `endpoint.behind` and by `endpoint.get`.

    Errors: `endpoint.unknown`, `route.invalid`, `version.unknown`, `version.unapproved` for an arm with traffic,
    `view.unknown` and `view.changed` for a version whose views were never defined here as it was fitted with them, or
    for two versions with two definitions of one view.
    """
    endpoint = find(cx.tx, cx.workspace, table.endpoint)
    rules.check_table(table.arms, table.shadows)
    live = {arm.number for arm in table.arms if arm.weight}
    fitted: dict[str, Sequence[View]] = {}
    evidence: list[int] = []
    here = cx.ground.memory.kept("serving", "resident")
    for number in table.versions:
        version = versions.find(cx.tx, cx.workspace, endpoint.model, number)
        fitted[version.title] = version.views
        _check_defined(cx, version)
        if here is not None:
            here.load(version.tree)  # here, so that no answer waits for it
        if number in live:
            counted = versions.check_approved(cx.tx, cx.workspace, version)
            evidence += [approval.fact for approval in counted]
    rules.check_views(fitted)
    before = now(cx.tx, cx.workspace, table.endpoint)
    made = msgspec.structs.replace(
        table,
        number=before.number + 1 if before else 1,
        salt=table.salt or rules.salt(table.rollout or endpoint.id, endpoint.seed),
        made=cx.now,
        actor=cx.actor,
        since=tables.horizon(cx.tx, cx.workspace, table.endpoint),
    )
    tables.add_table(cx.tx, cx.workspace, made)
    cx.fact(
        "endpoint.routed",
        made.endpoint,
        {
            "table": made.number, "arms": {str(arm.number): arm.weight for arm in made.arms}, "shadows": made.shadows,
            "rollout": made.rollout, "reason": made.reason, "evidence": evidence,
        },
    )  # fmt: skip
    generation = tables.generation(cx.tx)
    cx.tx.afterwards.append(lambda: _in_force(cx, made, generation))
    return made


def _check_defined(cx: Context, version: Version) -> None:
    for view in version.views:
        if features_tables.definition(cx.tx, cx.workspace, view.name, view.digest) is not None:
            continue
        known = features_tables.digests(cx.tx, cx.workspace)
        if view.name not in known:
            raise unknown("view", view.name, known)
        raise MillraceError(
            "view.changed", f"{version.title} was fitted with a definition of view {view.name!r} that was never here",
            "apply the view as it was, or train anew",
        )  # fmt: skip


def _in_force(cx: Context, made: Table, generation: int) -> None:
    late = resident.in_force(cx.ground, generation)
    if late:
        data = {"table": made.number, "processes": late}
        with suppress(MillraceError):
            cx.ground.catalog.write(
                lambda tx: tx.fact(cx.workspace, cx.now, cx.actor, "endpoint.behind", made.endpoint, data)
            )
