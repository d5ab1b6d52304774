"""What a judged block means: verdicts on loss and calibration, incidents, and when to train. Pure decisions.

Nothing here knows the present: every time is event time, and the same blocks give the same decisions for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Literal

import numpy as np
from msgspec import Struct, structs

from millrace.base.clock import DAY, SECOND, Micros
from millrace.base.errors import MillraceError
from millrace.monitoring.records import Asked, Block, Cause, Incident, Plan, Standing
from millrace.stats.block_verdicts import biased_by_blocks, worse_by_blocks
from millrace.stats.blocks import Blocks
from millrace.stats.verdict import ALARM, UNDECIDED, Verdict, check_alpha

TAKES_OVER = 0.75  # a version that answered this share of a block's rows is its champion
LEAST_COVERAGE = 0.8  # of what is usual; below it the labels are an incident of their own
CHANCE = 3.0  # standard deviations that few rows may lie below what is usual
STARTS_EVERY = 7  # a change may come after weeks of calm, which must not count against it
USUAL_BLOCKS = 28
CALM_BLOCKS = 7  # blocks without an alarm that end an incident of drift
LEAST_REFERENCE = 3


def check_plan(plan: Plan) -> Plan:
    """`plan` itself, if it can be kept. Errors: `watch.invalid`, `stats.alpha`."""
    check_alpha(plan.alpha)
    if min(plan.calendar_days, plan.rest_days) < 0 or plan.history_days < 1 or plan.tolerance < 0:
        raise MillraceError("watch.invalid", "a number of days or a tolerance below 0", "use 0 or more")
    if plan.reference_days < LEAST_REFERENCE:
        raise MillraceError(
            "watch.invalid", f"a reference of {plan.reference_days} days", f"use at least {LEAST_REFERENCE}"
        )
    if plan.pipeline and not plan.model:
        raise MillraceError("watch.invalid", "a plan that trains names no model", "make the endpoint with its model")
    return plan


def loss_name(plan: Plan) -> str:
    """The measure that harm is judged by: "squared" for numbers, "brier" for probabilities."""
    return "squared" if plan.metric == "squared" else "brier"


def due_blocks(
    judged: Micros, until: Micros, *, origin: Micros, block_s: int, maturity_s: int, most: int | None = None
) -> list[tuple[Micros, Micros]]:
    """The whole blocks from `judged` on whose end lies at least `maturity_s` before `until`, in order.

    With `most`, the first ones alone; no more are made than that.
    """
    size = block_s * SECOND
    start = origin + -(-(judged - origin) // size) * size
    last = until - maturity_s * SECOND
    return [(since, since + size) for since in range(start, last - size + 1, size)[:most]]


def champion_of(before: int, answered: Mapping[int, int]) -> int:
    """Whose block it is: the version that answered most of its rows, if that was `TAKES_OVER`, else as before.

    `answered`: version → rows it answered on an arm. So a canary is no champion, however its day fell out.
    """
    total = sum(answered.values())
    if not total:
        return before
    first = max(sorted(answered), key=lambda version: answered[version])
    if not before or answered[first] >= TAKES_OVER * total:
        return first
    return before


def series(blocks: Sequence[Block], measure: str) -> Blocks:
    """Block means of a measure, of the blocks that have labels."""
    told = [block for block in blocks if block.measures.rows and measure in block.measures.mean]
    return Blocks(
        np.array([block.since for block in told], np.int64),
        np.array([block.measures.rows for block in told], np.int64),
        np.array([block.measures.mean[measure] for block in told], np.float64),
        np.array([block.measures.squares[measure] for block in told], np.float64),
    )


def reference_loss(plan: Plan, champion: Sequence[Block]) -> tuple[float | None, int]:
    """What the champion's loss is compared with, and how many of its blocks that took: the plan's, or its first days'.

    None until there are enough blocks.
    """
    if plan.loss is not None:
        return plan.loss, 0
    means = series(champion, loss_name(plan)).means
    if len(means) < plan.reference_days:
        return None, len(means)
    return float(means[: plan.reference_days].mean()), plan.reference_days


def bound(plan: Plan, champion: Sequence[Block]) -> float | None:
    """What the champion's loss is held to: its reference and the tolerance; None while that is being made."""
    reference, _ = reference_loss(plan, champion)
    return None if reference is None else reference + plan.tolerance


def verdicts(plan: Plan, champion: Sequence[Block], fresh: Micros) -> dict[str, Verdict]:
    """The verdicts on the champion's blocks from `fresh` on: "loss" against its reference, "residual" against 0.

    `champion`: its blocks since it came in, in order. A reference made of its first blocks is no evidence too.
    """
    reference, taken = reference_loss(plan, champion)
    told = [block for block in champion if block.measures.rows]
    later = [block for block in told[taken:] if block.since >= fresh]
    if reference is None:
        loss = _waiting(plan, taken)
    else:
        loss = worse_by_blocks(
            series(later, loss_name(plan)), reference, plan.tolerance, plan.alpha, starts_every=STARTS_EVERY
        )
    watched = series([b for b in told if b.since >= fresh], "residual")
    residual = biased_by_blocks(watched, plan.alpha, starts_every=STARTS_EVERY)
    return {"loss": loss, "residual": residual}


def _waiting(plan: Plan, have: int) -> Verdict:
    return Verdict(
        claim="the loss stays at its reference", unit="block", n=have, statistic=0.0, bound=1 / plan.alpha,
        alpha=plan.alpha, decision=UNDECIDED,
        because=f"the reference is the mean of the first {plan.reference_days} days; {have} are there",
    )  # fmt: skip


class Ask(Struct, frozen=True):
    """A challenger is asked for: because of a breach or because it is due."""

    why: Literal["breach", "calendar"]
    cause: str
    verdict: Verdict | None = None


def ask(plan: Plan, standing: Standing, now: Micros, found: Mapping[str, Verdict], under_way: bool) -> Ask | None:
    """Whether to train a challenger at event time `now`.

    Never without a pipeline, never while a challenger is trained or rolled out, will be, or later blocks are sealed and
    wait for their judgement (`under_way`), never within `rest_days` of the last time. A breach (an alarm on loss or
    residual) comes first, then the calendar: `calendar_days` after the last time, or after the watch began. What comes
    while it must not is not lost: the alarm stands and the calendar stays due, so the first block after that asks.
    """
    if not plan.pipeline or under_way:
        return None
    if standing.asked is not None and now - standing.asked < plan.rest_days * DAY:
        return None
    if plan.on_breach:
        for cause in ("loss", "residual"):
            verdict = found.get(cause)
            if verdict is not None and verdict.decision == ALARM:
                return Ask("breach", cause, verdict)
    last = standing.begun if standing.asked is None else standing.asked
    if plan.calendar_days and now - last >= plan.calendar_days * DAY:
        return Ask("calendar", f"{plan.calendar_days} days")
    return None


def after_asking(plan: Plan, standing: Standing, now: Micros) -> Standing:
    """`standing` once a challenger was asked for at `now`."""
    last = Asked(plan.pipeline, standing.asked, standing.fresh)
    return structs.replace(standing, asked=now, fresh=standing.judged, last=last)


def after_plan(standing: Standing, before: Plan, plan: Plan) -> Standing:
    """`standing` once the plan changed: whether it trains otherwise than when a challenger was last asked for."""
    same = (before.pipeline, before.params, before.history_days) == (plan.pipeline, plan.params, plan.history_days)
    if same or standing.last is None:
        return standing
    return structs.replace(standing, last=structs.replace(standing.last, changed=True))


def taken_back(standing: Standing) -> Standing:
    """`standing` as if the last challenger had not been asked for: its training came to nothing."""
    last = standing.last
    return structs.replace(standing, asked=last.asked, fresh=last.fresh, last=None) if last else standing


def params_of(plan: Plan, now: Micros) -> dict[str, Any]:
    """The parameters of a training at `now`: the plan's, and the last `history_days` of event time."""
    return {**plan.params, "since": now - plan.history_days * DAY, "until": now}


def usual_coverage(standing: Standing) -> float | None:
    """The share of rows with an outcome in the last blocks that make usual; None before there are three."""
    if len(standing.usual) < 3:
        return None
    return sum(known for _, known in standing.usual) / sum(rows for rows, _ in standing.usual)


def labels_lost(block: Block, standing: Standing, lost: bool) -> str:
    """Why the labels of a block are an incident, or nothing: too few rows have an outcome against what is usual.

    `standing`: before the block. `lost`: that incident is open, and what chance may do to few rows does not end it.
    """
    usual, now = usual_coverage(standing), block.coverage
    if now is None:
        return ""
    if usual is None:
        return "no row has an outcome at its maturity" if not now and standing.blocks >= 2 else ""
    least = LEAST_COVERAGE * usual
    if not lost:
        rows = block.rows if now else standing.dry + block.rows
        least = min(least, usual - CHANCE * sqrt(usual * (1 - usual) / rows))
    return f"{now:.0%} of the rows have an outcome, where {usual:.0%} is usual" if now < least else ""


def after_labels(block: Block, standing: Standing, lost: bool) -> Standing:
    """`standing` with what is usual after the block. A block whose labels are `lost` does not make it, and rows without
    an outcome do once one comes after them."""
    if lost or not block.known:
        dry = 0 if lost or not standing.usual else standing.dry + block.rows
        return structs.replace(standing, dry=dry)
    usual = (*standing.usual, (standing.dry + block.rows, block.known))
    return structs.replace(standing, usual=usual[-USUAL_BLOCKS:], dry=0)


class Finding(Struct, frozen=True):
    """What a block shows about one cause: an alarm with its reason, or calm."""

    cause: Cause
    alarm: bool
    because: str = ""
    verdict: Verdict | None = None
    columns: tuple[str, ...] = ()


def ended(incident: Incident, finding: Finding | None, *, new_champion: bool, calm: int) -> str:
    """Why an open incident is over, or nothing. `calm`: blocks without an alarm of drift so far, this one included.

    Loss and residual end when a new champion comes in, drift after `CALM_BLOCKS` calm blocks, labels when they come.
    """
    if incident.cause in ("loss", "residual"):
        return "another champion came in" if new_champion else ""
    if finding is not None and finding.alarm:
        return ""
    if incident.cause == "labels":
        return "outcomes come" if finding is not None else ""
    return f"{calm} blocks without an alarm" if calm >= CALM_BLOCKS else ""


def incidents(
    endpoint: str, known: Sequence[Incident], findings: Sequence[Finding], *, since: Micros, until: Micros,
    new_champion: bool, calm: int, number: int,
) -> tuple[list[Incident], list[Incident]]:  # fmt: skip
    """(opened, closed) by the block from `since` to `until`: at most one open incident a cause.

    `known`: those that are open; `number`: the first free one.
    """
    by_cause = {finding.cause: finding for finding in findings}
    closed = []
    for incident in known:
        outcome = ended(incident, by_cause.get(incident.cause), new_champion=new_champion, calm=calm)
        if outcome:
            closed.append(structs.replace(incident, closed=until, outcome=outcome))
    held = {incident.cause for incident in known} - {incident.cause for incident in closed}
    fresh = [finding for finding in findings if finding.alarm and finding.cause not in held]
    opened = [
        Incident(endpoint, number + place, found.cause, since, found.because, found.verdict, found.columns)
        for place, found in enumerate(fresh)
    ]
    return opened, closed
