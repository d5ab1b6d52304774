"""Evidence from one block of answers and outcomes: pairs that both versions scored, and what each arm answered."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct, structs

from millrace.base.clock import Micros
from millrace.monitoring.outcomes import LEAST_OF_A_CLASS, Outcomes
from millrace.monitoring.records import Metric
from millrace.rollout.records import Arm, Evidence, Policy, Rollout
from millrace.stats.assignment import Assignment, assignment_start, assignment_update, assignment_verdict
from millrace.stats.betting import Bet, bet_losses, bet_start, bet_verdict
from millrace.stats.guard import Guard, guard_start, guard_update, guard_verdict
from millrace.stats.influence import auc_influence
from millrace.stats.packing import pack, unpack
from millrace.stats.spending import split_alpha
from millrace.stats.sticky import first_errors
from millrace.stats.verdict import Floats, Verdict

_EDGE = 1e-12


class Running(NamedTuple):
    """What a canary carries from block to block: the bet, the assignment check, the error guard, the units counted.

    `assigned`: units whose assignment was counted; `errors`: unit → the weight its error was counted at. Units are
    hashes of the sticky key.
    """

    bet: Bet
    assignment: Assignment
    guard: Guard
    assigned: frozenset[str]
    errors: dict[str, float]


class _Packed(Struct, frozen=True, array_like=True):
    bet: bytes
    assignment: bytes
    guard: bytes
    assigned: list[str]
    errors: dict[str, float]


def start(policy: Policy) -> Running:
    """Before the first block of a canary."""
    return Running(
        bet_start(policy.canary_margin), assignment_start(2), guard_start(policy.error_margin), frozenset(), {}
    )  # fmt: skip


def to_bytes(running: Running) -> bytes:
    """The running state as bytes; the same state gives the same bytes."""
    return msgspec.msgpack.encode(
        _Packed(
            pack(running.bet),
            pack(running.assignment),
            pack(running.guard),
            sorted(running.assigned),
            dict(sorted(running.errors.items())),
        )
    )


def from_bytes(packed: bytes) -> Running:
    """The state behind `to_bytes`."""
    found = msgspec.msgpack.decode(packed, type=_Packed)
    return Running(
        unpack(Bet, found.bet), unpack(Assignment, found.assignment), unpack(Guard, found.guard),
        frozenset(found.assigned), found.errors,
    )  # fmt: skip


def guards(running: Running, policy: Policy) -> dict[str, Verdict]:
    """The verdicts of the running state: assignment first, for nothing else counts without it; errors; and the bet on
    the margin."""
    return {
        "assignment": assignment_verdict(running.assignment, unit="unit"),
        "errors": guard_verdict(running.guard, split_alpha(policy.alpha)["errors"], unit="unit"),
        "not_worse": bet_verdict(running.bet, policy.alpha, what="Brier score"),
    }


def pairs(rollout: Rollout, rows: Outcomes, since: Micros, until: Micros) -> Evidence:
    """The block's rows that both the new version and the one before it scored and that have a value."""
    blank = Evidence(since, until, rollout.state, rollout.step)
    new, old = rows.column(rollout.version), rows.column(rollout.champion)
    if new is None or old is None:
        return structs.replace(blank, left_out="one of the versions scored nothing")
    both = rows.scored[:, new] & rows.scored[:, old]
    blank = structs.replace(
        blank, canary=Arm(int(both.sum()), int((rows.failed[:, new] & both).sum())),
        control=Arm(int(both.sum()), int((rows.failed[:, old] & both).sum())),
    )  # fmt: skip
    return compared(blank, rollout.policy.metric, rows.label, rows.score[:, new], rows.score[:, old])


def compared(blank: Evidence, metric: Metric, label: Floats, new: Floats, old: Floats) -> Evidence:
    """`blank` with the differences of the rows that have a label and both scores; all (n,), NaN where unknown."""
    both = ~np.isnan(label) & ~np.isnan(new) & ~np.isnan(old)
    label, new, old = label[both], new[both], old[both]
    if not len(label):
        return structs.replace(blank, left_out="no row has an outcome and both scores")
    harm = (label - new) ** 2 - (label - old) ** 2
    mean, squares, why = _metric(metric, label, new, old, harm)
    return structs.replace(
        blank, rows=len(label), difference=mean, squares=squares, left_out=why,
        harm=float(harm.mean()), harm_squares=float(((harm - harm.mean()) ** 2).sum()),
    )  # fmt: skip


def _metric(metric: Metric, label: Floats, new: Floats, old: Floats, harm: Floats) -> tuple[float | None, float, str]:
    """(mean difference of the loss, its sum of squares over rows, why there is none)."""
    if metric == "auc":
        positives = int((label > 0.5).sum())
        if min(positives, len(label) - positives) < LEAST_OF_A_CLASS:
            return None, 0.0, f"fewer than {LEAST_OF_A_CLASS} rows of either class"
        ours, theirs = auc_influence(label, new), auc_influence(label, old)
        assert ours is not None and theirs is not None, "both classes are there"
        off = ours[1] - theirs[1]
        return theirs[0] - ours[0], float((off**2).sum()), ""
    if metric == "log_loss":
        harm = _log_loss(label, new) - _log_loss(label, old)
    return float(harm.mean()), float(((harm - harm.mean()) ** 2).sum()), ""


def _log_loss(label: Floats, score: Floats) -> Floats:
    kept = np.clip(score, _EDGE, 1 - _EDGE)
    return np.asarray(-np.where(label > 0.5, np.log(kept), np.log1p(-kept)))


def arms(rollout: Rollout, rows: Outcomes, since: Micros, until: Micros, running: Running) -> tuple[Evidence, Running]:
    """What canary and control answered in the block, and the running state after it.

    Rows count with the weight that was logged when they were routed; a unit's assignment counts once, its error as
    `stats.sticky` says. Losses above 1 count as 1.
    """
    blank = Evidence(since, until, rollout.state, rollout.step)
    new, old = rows.column(rollout.version), rows.column(rollout.champion)
    if new is None or old is None:
        return structs.replace(blank, left_out="one of the arms answered nothing"), running
    on_canary = rows.served == new
    either = on_canary | (rows.served == old)
    weight = np.where(on_canary, rows.weight, 1 - rows.weight)
    either &= (weight > 0) & (weight < 1)
    column = np.where(on_canary, new, old)
    place = np.arange(len(rows.id)), column
    failed = rows.failed[place] & either
    loss = np.minimum((rows.label - rows.score[place]) ** 2, 1.0)
    told = either & ~np.isnan(loss)
    running = running._replace(bet=bet_losses(running.bet, loss[told], on_canary[told], weight[told]))
    running = _assigned(running, rows, either, on_canary, weight)
    running = _errors(running, rows, failed, on_canary, weight)
    done = structs.replace(
        blank,
        canary=_arm(either & on_canary, failed, told, loss),
        control=_arm(either & ~on_canary, failed, told, loss),
    )
    return done, running


def _arm(mask: np.ndarray, failed: np.ndarray, told: np.ndarray, loss: Floats) -> Arm:
    own = loss[mask & told]
    mean = float(own.mean()) if len(own) else 0.0
    return Arm(
        int(mask.sum()), int((failed & mask).sum()), len(own), mean, float(((own - mean) ** 2).sum()),
        int((own > 0.25).sum()),
    )  # fmt: skip


def _assigned(running: Running, rows: Outcomes, either: np.ndarray, on_canary: np.ndarray, weight: Floats) -> Running:
    fresh: dict[str, int] = {}
    for row in np.flatnonzero(either).tolist():
        name = unit(str(rows.key[row]))
        if name not in running.assigned:
            fresh.setdefault(name, row)
    if not fresh:
        return running
    chosen = np.array(list(fresh.values()))
    distinct, inverse = np.unique(weight[chosen], return_inverse=True)
    hit = np.bincount(inverse[on_canary[chosen]], minlength=len(distinct))
    every = np.bincount(inverse, minlength=len(distinct))
    check = assignment_update(
        running.assignment, np.column_stack([1 - distinct, distinct]), np.column_stack([every - hit, hit])
    )
    return running._replace(assignment=check, assigned=running.assigned | fresh.keys())


def _errors(running: Running, rows: Outcomes, failed: np.ndarray, on_canary: np.ndarray, weight: Floats) -> Running:
    which = np.flatnonzero(failed).tolist()
    told = ((unit(str(rows.key[row])), bool(on_canary[row]), float(weight[row])) for row in which)
    batch, entries = first_errors(running.errors, told)
    return running._replace(guard=guard_update(running.guard, batch), errors={**running.errors, **entries})


def unit(key: str) -> str:
    """A unit by a hash of its sticky key: the key itself may be personal."""
    return blake2b(key.encode(), digest_size=8).hexdigest()
