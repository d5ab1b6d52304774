"""The gate: a candidate and the champion on the newest labelled rows that were served, scored as they are served."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import structs

from millrace.access.context import Context
from millrace.base.clock import DAY, SECOND, Micros
from millrace.base.errors import MillraceError
from millrace.monitoring import outcomes
from millrace.pipelines import models, signature
from millrace.registry.records import Version
from millrace.rollout import evidence, rules
from millrace.rollout.records import Evidence, Gate, Policy
from millrace.serving.records import Columns, Endpoint
from millrace.stats.verdict import Floats


def pass_(
    cx: Context, endpoint: Endpoint, version: Version, champion: Version | None, policy: Policy, *, now: Micros,
    trained_until: Micros, metrics: dict[str, float | None],
) -> Gate:  # fmt: skip
    """May `version` come in at event time `now`? Errors: `model.invalid`, `blob.corrupt`."""
    if champion is None:
        return rules.first_gate(policy, metrics)
    size = endpoint.block_s * SECOND
    first = now - policy.gate_days * DAY
    first = endpoint.day_origin + -(-(first - endpoint.day_origin) // size) * size
    new, old = (models.load(cx.blobs, one.tree) for one in (version, champion))
    missing = [item.name for item in new.signature.inputs]
    found: list[Evidence] = []
    count = failed = learned = 0
    for since in range(first, now, size):
        rows = outcomes.read(cx.ground, cx.workspace, endpoint.name, since, since + size, now)
        if not len(rows.id):
            continue
        missing = [item.name for item in new.signature.inputs if item.name not in rows.inputs]
        if missing:
            break
        ours = answers(new, rows.inputs, len(rows.id))
        theirs = answers(old, rows.inputs, len(rows.id))
        known = ~np.isnan(rows.label)
        count += len(rows.id)
        failed += int((np.isnan(ours) & ~np.isnan(theirs)).sum())
        learned += int((known & (rows.event < trained_until)).sum())
        one = evidence.compared(Evidence(since, since + size, "shadow"), policy.metric, rows.label, ours, theirs)
        if one.rows:
            found.append(one)
    if missing and count == 0 and found == []:
        gate = rules.gate(policy, [], 0, 0, 0)
        return structs.replace(gate, because=f"{gate.because}; the log has no column {missing[0]!r}")
    return rules.gate(policy, found, count, failed, learned)


def answers(scorer: models.Scorer, inputs: Columns, rows: int) -> Floats:
    """What a model answers to logged rows, (rows,) float64: P(y=1) or the prediction, NaN where it cannot answer."""
    try:
        return _column(scorer.score(signature.encode(scorer.signature.inputs, inputs)))
    except Exception:
        found = np.full(rows, np.nan)
        for row in range(rows):
            one = {name: values[row : row + 1] for name, values in inputs.items()}
            try:
                found[row] = _column(scorer.score(signature.encode(scorer.signature.inputs, one)))[0]
            except (MillraceError, ValueError, RuntimeError):
                continue
        return found


def _column(score: Any) -> Floats:
    if score.ndim == 2:
        return np.asarray(score[:, 1] if score.shape[1] == 2 else np.full(len(score), np.nan))
    return np.asarray(score, np.float64)
