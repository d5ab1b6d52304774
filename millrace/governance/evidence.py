"""What the platform can show about a version, by part of its card, from the rooms' records alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from millrace.base.clock import Micros, to_iso
from millrace.catalog import tables as journal_tables
from millrace.catalog.tx import Tx
from millrace.monitoring import tables as monitoring_tables
from millrace.monitoring.judge import plan_of
from millrace.monitoring.records import Block
from millrace.pipelines.models import Manifest
from millrace.registry import versions
from millrace.registry.records import Lineage, Version
from millrace.rollout import tables as rollout_tables
from millrace.rollout.records import Rollout
from millrace.serving import tables as serving_tables

_EVER: Micros = 1 << 62
_PAGE = 100
_VERDICT = ("claim", "decision", "unit", "n", "statistic", "bound", "alpha", "effect", "because")
Parts = dict[str, dict[str, Any]]


def gather(tx: Tx, workspace: str, version: Version, manifest: Manifest) -> Parts:
    """Evidence by part name. Event times are ISO 8601; nothing is guessed, what is unknown is None or left out."""
    found = versions.lineage(tx, workspace, version)
    model = versions.find_model(tx, workspace, version.model)
    endpoints = [one for one in serving_tables.endpoints(tx, workspace) if one.model == version.model]
    rollouts = [
        one
        for endpoint in endpoints
        for one in rollout_tables.rollouts(tx, workspace, endpoint.name)
        if version.number in (one.version, one.champion)
    ]
    own = [one for one in rollouts if one.version == version.number]
    live = {endpoint.name: _served(tx, workspace, endpoint.name, version.number) for endpoint in endpoints}
    return {
        "version": {
            "model": version.model, "number": version.number, "about": model.about, "owners": list(version.authors),
            "made": to_iso(version.made), "aliases": [alias.name for alias in found.aliases],
            "format": version.format, "bytes": version.size, "libraries": manifest.libraries,
            "endpoints": [endpoint.name for endpoint in endpoints],
        },
        "method": {
            "estimator": manifest.estimator, "task": manifest.signature.task,
            "parameters": dict(found.run.params) if found.run else None, "code": found.code,
            "environment": found.environment, "pipeline": version.pipeline, "run": version.run,
            "compiled": manifest.format == "onnx", **({"why_not_compiled": manifest.why} if manifest.why else {}),
        },
        "data": _data(found, manifest),
        "tests": {
            "held_out": dict(found.run.metrics) if found.run else None,
            "compiled_against_estimator": to_builtins(manifest.parity),
            "gate_and_rollout": [_rollout(tx, workspace, one) for one in own],
        },
        "limits": {"live": {name: one for name, one in live.items() if one}},
        "changes": {
            "approvals_asked": model.approvals,
            "approvals": [
                {"actor": one.actor, "at": to_iso(one.at), "fact": one.fact, "note": one.note}
                for one in found.approvals
            ],
            "rollouts": [_change(one) for one in rollouts],
        },
        "monitoring": {
            "plans": [to_builtins(plan_of(tx, workspace, endpoint)) for endpoint in endpoints],
            "live": {name: one for name, one in live.items() if one},
            "incidents": [
                {
                    "endpoint": one.endpoint, "cause": one.cause, "opened": to_iso(one.opened), "because": one.because,
                    "closed": to_iso(one.closed) if one.closed is not None else None,
                }
                for one in monitoring_tables.incidents(tx, workspace)
                if one.endpoint in live
            ],
        },
    }  # fmt: skip


def _data(found: Lineage, manifest: Manifest) -> dict[str, Any]:
    data, features = (
        [{"name": one.name, "version": one.number, "digest": one.digest} for one in kind] if found.run else None
        for kind in (found.data, found.features)
    )
    return {
        "datasets": data,
        "features": features,
        "inputs": [item.name for item in manifest.signature.inputs],
        "target": manifest.signature.target,
    }


def _rollout(tx: Tx, workspace: str, one: Rollout) -> dict[str, Any]:
    return {
        "rollout": one.id, "state": one.state, "because": one.because, "forced": one.forced, "since": to_iso(one.since),
        "gate": _gate(tx, workspace, one), "verdicts": _verdicts(to_builtins(one.verdicts)),
    }  # fmt: skip


def _gate(tx: Tx, workspace: str, one: Rollout) -> dict[str, Any]:
    """What the gate decided, as the journal has it: a rollout keeps its newest verdicts. Nothing if it was forced."""
    page = journal_tables.facts_about(tx, workspace, one.id, 0, _PAGE)
    while page:
        for fact in page:
            if fact.kind in ("gate.passed", "gate.refused") and fact.data["endpoint"] == one.endpoint:
                asked = {name: value for name, value in fact.data["gate"].items() if name not in ("passed", "verdicts")}
                decision = fact.kind.partition(".")[2]
                return {"decision": decision, **asked, "verdicts": _verdicts(fact.data["verdicts"])}
        page = journal_tables.facts_about(tx, workspace, one.id, page[-1].number, _PAGE)
    return {}


def _change(one: Rollout) -> dict[str, Any]:
    return {
        "rollout": one.id, "version": one.version, "before": one.champion, "state": one.state,
        "since": to_iso(one.since), "over": to_iso(one.over) if one.over is not None else None, "reason": one.reason,
        "because": one.because,
    }  # fmt: skip


def _verdicts(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {part: verdict[part] for part in _VERDICT} for name, verdict in told.items()}


def _served(tx: Tx, workspace: str, endpoint: str, version: int) -> dict[str, Any]:
    """What a version showed at an endpoint, served or in the shadow; nothing if it never scored a row there."""
    blocks = monitoring_tables.blocks(tx, workspace, endpoint, 0, _EVER, version)
    if not blocks:
        return {}
    labelled = sum(block.measures.rows for block in blocks)
    aucs = [block.measures.auc for block in blocks if block.measures.auc is not None]
    return {
        "from": to_iso(blocks[0].since), "to": to_iso(blocks[-1].until), "days": len(blocks),
        "rows": sum(block.rows for block in blocks), "failed": sum(block.failed for block in blocks),
        "labelled": labelled, "states": _states(blocks),
        "means": {name: _mean(blocks, name) for name in sorted({n for b in blocks for n in b.measures.mean})},
        "auc_mean_of_days": sum(aucs) / len(aucs) if aucs else None,
    }  # fmt: skip


def _mean(blocks: list[Block], measure: str) -> float:
    told = [block.measures for block in blocks if measure in block.measures.mean]
    return sum(one.rows * one.mean[measure] for one in told) / sum(one.rows for one in told)


def _states(blocks: list[Block]) -> dict[str, int]:
    found: dict[str, int] = {}
    for block in blocks:
        for name, count in block.states.items():
            found[name] = found.get(name, 0) + count
    return dict(sorted(found.items()))
