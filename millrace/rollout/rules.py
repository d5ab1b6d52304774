"""May a version enter, go on, serve everybody, or must it go back? Pure decisions over verdicts.

Superiority is a claim about the days to come, so days are its evidence; a canary is randomised, so its rows are. Both
must agree, with no guard against. Nothing here knows the present: `now` is event time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from millrace.base.clock import DAY, Micros
from millrace.base.errors import MillraceError
from millrace.rollout.records import WHOLE, Arm, Decision, Evidence, Gate, Policy, Rollout
from millrace.serving.records import Arm as Weighted
from millrace.stats.block_verdicts import better_by_blocks, block_test, worse_by_blocks
from millrace.stats.blocks import Blocks
from millrace.stats.confidence import Arm as Mean
from millrace.stats.confidence import asymptotic_margin, difference_verdict
from millrace.stats.spending import challenger_alpha, split_alpha
from millrace.stats.student import normal_quantile
from millrace.stats.verdict import ALARM, PROVEN, UNDECIDED, Verdict, check_alpha, check_margin, finite

YEAR_DAYS = 365
MOST_ERRORS = 1_000.0  # times what is usual; a guard that tolerates more has no mathematics
LEAST_ROWS = 30


def check_reason(reason: str, what: str) -> None:
    """Errors: `rollout.reason` for an empty one."""
    if not reason.strip():
        raise MillraceError("rollout.reason", f"{what} without a reason", "say why, for those who come after")


def check_policy(policy: Policy) -> Policy:
    """`policy` itself. Errors: `policy.invalid`, `stats.alpha`, `stats.margin`."""
    check_alpha(policy.alpha)
    for margin in (policy.margin, policy.canary_margin):
        check_margin(margin)
    rising = list(policy.steps) == sorted(set(policy.steps))
    if not rising or any(not 0 < step < WHOLE for step in policy.steps):
        raise MillraceError(
            "policy.invalid", f"the steps {policy.steps}", f"shares rise, each above 0 and below {WHOLE}"
        )
    days = policy.shadow_days, policy.step_days, policy.canary_days, policy.watch_days, policy.gate_days
    if min(days) < 0 or policy.step_rows < 0:
        raise MillraceError("policy.invalid", "a number of days or rows below 0", "use 0 or more")
    if not all(0 <= tolerance <= 1 for tolerance in (policy.watch_tolerance, policy.gate_tolerance)):
        raise MillraceError("policy.invalid", "a tolerance of loss outside 0 … 1", "use 0, or a little more")
    if not 0 < policy.error_margin < MOST_ERRORS or not 0 < policy.error_rate < 1:
        raise MillraceError("policy.invalid", "an impossible tolerance of errors", "such as 1.0 and 0.05")
    return policy


def spent(policy: Policy, earlier: Sequence[Rollout], since: Micros) -> tuple[int, float]:
    """(which challenger of the year this is, what it may spend), after the endpoint's `earlier` rollouts.

    Those that reached the shadow in the year before `since` count, whatever became of them.
    """
    before = [r for r in earlier if r.challenger and since - r.since < YEAR_DAYS * DAY]
    k = len(before) + 1
    return k, challenger_alpha(policy.alpha, k)


def traffic(champion: int, rollouts: Sequence[Rollout]) -> tuple[tuple[Weighted, ...], tuple[int, ...]]:
    """(arms, shadows) while these rollouts are open: the champion serves what a canary leaves; each version once."""
    arms = [Weighted(champion, WHOLE)]
    shadows: list[int] = []
    for rollout in rollouts:
        if rollout.state == "canary":
            arms = [Weighted(champion, WHOLE - rollout.weight), Weighted(rollout.version, rollout.weight)]
        elif rollout.state == "shadow":
            shadows.append(rollout.version)
        elif rollout.state == "watching" and rollout.champion:
            shadows.append(rollout.champion)
    named = {arm.number for arm in arms}
    return tuple(arms), tuple(dict.fromkeys(number for number in shadows if number not in named))


def differences(evidence: Sequence[Evidence]) -> Blocks:
    """Blocks of the policy's metric: loss of the new version less the other's."""
    told = [e for e in evidence if e.difference is not None]
    return _blocks(told, [e.difference or 0.0 for e in told], [e.squares for e in told])


def harms(evidence: Sequence[Evidence]) -> Blocks:
    """Blocks of Brier (or squared) differences."""
    told = [e for e in evidence if e.harm is not None]
    return _blocks(told, [e.harm or 0.0 for e in told], [e.harm_squares for e in told])


def _blocks(told: Sequence[Evidence], means: Sequence[float], squares: Sequence[float]) -> Blocks:
    return Blocks(
        np.array([e.since for e in told], np.int64), np.array([e.rows for e in told], np.int64),
        np.array(means, np.float64), np.array(squares, np.float64),
    )  # fmt: skip


def row_wise(blocks: Blocks, alpha: float) -> Verdict:
    """What would be claimed if rows were independent. It is wrong where rows of a day hang together; shown beside."""
    n = int(blocks.rows.sum())
    mean = float(blocks.rows @ blocks.means) / n if n else 0.0
    total = float(blocks.squares.sum() + blocks.rows @ (blocks.means - mean) ** 2) if n else 0.0
    proven, upper = False, 0.0
    because = f"not enough evidence yet: {n} rows"
    if n >= LEAST_ROWS and total > 0:
        upper = mean + float(asymptotic_margin(n, math.sqrt(total / n), alpha, sides=1))
        proven = upper < 0
        because = f"by rows the difference lies below {upper:.4g}; rows of a day hang together, so this proves nothing"
    return Verdict(
        claim="the candidate loses less than the champion, were rows independent", unit="row", n=n,
        statistic=finite(upper), bound=0.0, alpha=alpha, decision=PROVEN if proven else UNDECIDED, because=because,
        effect=finite(mean) if n else None,
    )  # fmt: skip


def not_worse(blocks: Blocks, margin: float, alpha: float) -> Verdict:
    """Non-inferiority by days: the mean difference of blocks lies below the margin."""
    claim = f"the candidate loses at most {margin:g} more than the champion"
    return block_test(blocks, alpha, side="below", reference=margin, claim=claim)


def arms_apart(evidence: Sequence[Evidence], margin: float, alpha: float) -> Verdict:
    """Is the label loss of a randomised canary above control's by more than the margin? By rows: chance drew them."""
    canary, control = (merged([getattr(e, name) for e in evidence]) for name in ("canary", "control"))
    return difference_verdict(_mean(canary), _mean(control), margin, alpha)


def merged(arms: Sequence[Arm]) -> Arm:
    """The arm over all blocks."""
    n = sum(arm.labelled for arm in arms)
    mean = sum(arm.labelled * arm.mean for arm in arms) / n if n else 0.0
    squares = sum(arm.squares + arm.labelled * (arm.mean - mean) ** 2 for arm in arms)
    rows, failed, events = (sum(getattr(arm, name) for arm in arms) for name in ("rows", "failed", "events"))
    return Arm(rows, failed, n, mean, squares, events)


def _mean(arm: Arm) -> Mean:
    return Mean(arm.labelled, arm.mean, arm.squares / arm.labelled if arm.labelled else 0.0, arm.events)


def shadow(rollout: Rollout, evidence: Sequence[Evidence], now: Micros) -> Decision:
    """A challenger beside the champion: go on to the canary, end, or wait.

    Better by days at its share of α, and by days not worse than the margin on the Brier score; shown harm ends it, and
    so do `shadow_days` without a verdict.
    """
    policy = rollout.policy
    better = better_by_blocks(differences(evidence), rollout.alpha)
    harm = harms(evidence)
    worse = worse_by_blocks(harm, 0.0, policy.margin, split_alpha(policy.alpha)["label loss"])
    kept = not_worse(harm, policy.margin, policy.alpha)
    found = {
        "better": better, "rows": row_wise(differences(evidence), rollout.alpha), "harm": worse, "not_worse": kept,
    }  # fmt: skip
    if worse.decision == ALARM:
        return Decision("end", f"worse: {worse.because}", found)
    rows, failed = sum(e.canary.rows for e in evidence), sum(e.canary.failed - e.control.failed for e in evidence)
    if rows >= policy.step_rows and failed > policy.gate_failures * rows:
        return Decision("end", f"it failed on {failed} of {rows} rows more than the champion", found)
    if better.decision == PROVEN and kept.decision == PROVEN:
        return Decision("canary", f"better: {better.because}", found)
    if now - rollout.since >= policy.shadow_days * DAY:
        return Decision("end", f"no verdict after {policy.shadow_days} days{_left_out(evidence)}", found)
    because = better.because if better.decision != PROVEN else kept.because
    return Decision("hold", f"{because}{_left_out(evidence)}", found)


def _left_out(evidence: Sequence[Evidence]) -> str:
    """Why most of the days say nothing, where they do: a shadow that does not load is not waited for in silence."""
    why = [one.left_out for one in evidence if one.left_out]
    return f"; {len(why)} of {len(evidence)} days left out: {why[-1]}" if len(why) * 2 > len(evidence) else ""


def canary(rollout: Rollout, evidence: Sequence[Evidence], guards: Mapping[str, Verdict], now: Micros) -> Decision:
    """A canary: go back, take the next step, serve everybody, or wait.

    `guards` are the running verdicts by name, "not_worse" (the bet on the margin) among them. Any alarm goes back at
    once, the first one named. A step takes its least exposure; the last one also the bet, and `canary_days` without it
    go back.
    """
    policy = rollout.policy
    loss = arms_apart(evidence, policy.canary_margin, split_alpha(policy.alpha)["label loss"])
    found = {**guards, "loss": loss}
    for name, verdict in found.items():
        if verdict.decision == ALARM:
            return Decision("rollback", f"{name}: {verdict.because}", found)
    own = [e for e in evidence if e.step == rollout.step and e.since >= rollout.phase_since and e.canary.rows]
    rows = sum(e.canary.rows for e in own)
    exposed = len(own) >= policy.step_days and rows >= policy.step_rows
    if exposed and rollout.step + 1 < len(policy.steps):
        share = policy.steps[rollout.step] / 100
        return Decision("step", f"{len(own)} days and {rows} rows at {share:g} %, no guard against it", found)
    if exposed and found["not_worse"].decision == PROVEN:
        return Decision("promote", f"not worse: {found['not_worse'].because}", found)
    first = min((e.since for e in evidence), default=rollout.phase_since)
    if now - first >= policy.canary_days * DAY:
        return Decision("rollback", f"not shown within {policy.canary_days} days to be no worse", found)
    return Decision("hold", found["not_worse"].because if exposed else f"{len(own)} days at this share", found)


def watching(rollout: Rollout, evidence: Sequence[Evidence], now: Micros) -> Decision:
    """A version that serves everybody, with the one before as its shadow: go back, be done with it, or wait.

    Harm is looked for in the Brier score and, where versions are compared on AUC, in their ranking too, each at half
    of the share of α: a bad ranking shows within days where the Brier score takes weeks.
    """
    policy = rollout.policy
    share = split_alpha(policy.alpha)["label loss"]
    own = [e for e in evidence if e.phase == "watching"]
    ranked = policy.metric == "auc"
    alpha = share / 2 if ranked else share
    found = {"loss": worse_by_blocks(harms(own), 0.0, policy.watch_tolerance, alpha)}
    if ranked:
        found["ranking"] = worse_by_blocks(differences(own), 0.0, policy.watch_tolerance, alpha)
    for name, worse in found.items():
        if worse.decision == ALARM:
            return Decision("rollback", f"{name}: worse than the version before: {worse.because}", found)
    if now - rollout.phase_since >= policy.watch_days * DAY:
        return Decision("finish", f"{policy.watch_days} days without harm shown", found)
    return Decision("hold", found["loss"].because, found)


def live(errors: Verdict, rate: Verdict) -> Decision:
    """What the answers of this very moment ask for: go back at an alarm, else wait.

    `errors` compares a canary with control, `rate` judges a version that has no control by itself.
    """
    found = {"errors": errors, "rate": rate}
    for name, verdict in found.items():
        if verdict.decision == ALARM:
            return Decision("rollback", f"{name}: {verdict.because}", found)
    return Decision("hold", errors.because, found)


def while_paused(decision: Decision) -> Decision:
    """A paused rollout still goes back when it must, and does nothing else."""
    if decision.act in ("rollback", "hold"):
        return decision
    return Decision("hold", f"paused; otherwise {decision.act}: {decision.because}", decision.verdicts)


def gate(policy: Policy, evidence: Sequence[Evidence], rows: int, failed: int, in_training: int) -> Gate:
    """May a version that would follow a champion come in? On the newest labelled rows, both scored as they are served.

    Shown worse is refused. What goes straight to live traffic must be shown not to be worse by the margin; what goes to
    the shadow first harms nobody there, so it may also be undecided.
    """
    harm = harms(evidence)
    worse = worse_by_blocks(harm, 0.0, policy.gate_tolerance, policy.alpha)
    kept = not_worse(harm, policy.margin, policy.alpha)
    found = {"worse": worse, "not_worse": kept, "rows": row_wise(harm, policy.alpha)}
    passed, because = True, kept.because
    if rows and failed > policy.gate_failures * rows:
        passed, because = False, f"it has no answer for {failed} of {rows} rows"
    elif worse.decision == ALARM:
        passed, because = False, f"worse than the champion: {worse.because}"
    elif kept.decision != PROVEN and policy.strategy != "shadow":
        passed, because = False, f"not shown to be as good: {kept.because}"
    elif kept.decision != PROVEN:
        because = f"undecided, so the shadow decides: {kept.because}"
    return Gate(passed, because, rows, len(evidence), failed, in_training, found)


def first_gate(policy: Policy, metrics: Mapping[str, float | None]) -> Gate:
    """May the first version of an endpoint come in? Better than the base rate on what its run held back, if it says so.

    `metrics` are those of its run: `auc` is compared with ½; `brier` with `brier_base`, or with b(1 − b) of
    `base_rate`; names may begin with ``test_``. Without them nothing is shown, and the gate says that. With `rows` and
    `positives` the AUC is tested against its spread where scores say nothing, (n + 1) / 12 n₁n₀ (Mann and Whitney
    1947), rows taken as independent; a figure without counts can refuse, but proves nothing.
    """
    auc, brier, base = (_held_out(metrics, name) for name in ("auc", "brier", "brier_base"))
    rate = _held_out(metrics, "base_rate")
    if base is None and rate is not None:
        base = rate * (1 - rate)
    n, late = int(_held_out(metrics, "rows") or 0), int(_held_out(metrics, "positives") or 0)
    shown = UNDECIDED
    if brier is not None and base is not None:
        name, value, bound, good = "Brier score", brier, base, brier < base
    elif auc is not None:
        name, value, bound, good = "AUC", auc, 0.5, auc > 0.5
        if 0 < late < n:
            bound += normal_quantile(min(2 * policy.alpha, 0.999)) * math.sqrt((n + 1) / (12 * late * (n - late)))
            shown = PROVEN if auc > bound else UNDECIDED
    else:
        return Gate(True, "nothing to compare with: no champion, and its run logged neither auc nor brier")
    because = f"{name} {value:.4g} against {bound:.4g}, " + (f"on {n} held-out rows" if n else "as its run logged them")
    if good and shown != PROVEN:
        because += "; the figure is better, and nothing is proven"
    verdict = Verdict(
        claim=f"the {name} on held-out rows is better than the base rate's", unit="row", n=n, statistic=finite(value),
        bound=finite(bound), alpha=policy.alpha, decision=shown, because=because,
    )  # fmt: skip
    return Gate(good, because, n, verdicts={"base_rate": verdict})


def _held_out(metrics: Mapping[str, float | None], name: str) -> float | None:
    found = metrics.get(f"test_{name}")
    return metrics.get(name) if found is None else found
