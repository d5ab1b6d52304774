"""Thompson sampling in batches, with a floor, so that every arm goes on being measured.

Claim: none about which arm is best; it earns while it learns. Unit of evidence: the request. Weights are the chance of
being best under independent Beta posteriors, mixed with a floor of 3 % an arm, held for a batch and **logged with every
request as its propensity**, so that `propensity.py` and the guards stay right. A guard's failure freezes the weights.
What breaks it: rewards that come late (a batch must be older than the labels' maturity), tastes that change faster
than `keep` forgets.
Source: Thompson 1933; Chapelle & Li (NeurIPS 2011); Hadad et al., "Confidence intervals for policy evaluation in
adaptive experiments" (PNAS 2021), for the need of a floor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats, check_share, check_whole, column, same_rows

FLOOR = 0.03


class Bandit(NamedTuple):
    """The state: a value. `good`, `bad`: (k,) rewards and their complements so far; `weights`: (k,) in force now."""

    good: Floats
    bad: Floats
    weights: Floats

    def fits(self) -> None:
        """Whether the parts speak of the same arms. Errors: stats.shape."""
        same_rows("rewards and weights", self.good, self.bad, self.weights)


def bandit_start(arms: int) -> Bandit:
    """A new bandit over `arms` ≥ 2 arms at even weights. Errors: stats.shape."""
    arms = check_whole(arms, "number of arms", least=2, most=10_000, code="stats.shape")
    return Bandit(np.zeros(arms), np.zeros(arms), np.full(arms, 1 / arms))


def bandit_update(
    bandit: Bandit,
    served: ArrayLike,
    rewards: ArrayLike,
    rng: np.random.Generator,
    *,
    floor: float = FLOOR,
    keep: float = 1.0,
    frozen: bool = False,
    draws: int = 4000,
) -> Bandit:
    """The bandit after a batch. `served`: (k,) requests by arm; `rewards`: (k,) sums of rewards in [0, 1].

    `keep` in [0, 1] is the share of the past that counts on; `frozen` (a guard failed) keeps the weights as they are.
    Errors: stats.shape, stats.data; stats.weight when k·floor > 1.
    """
    n, reward = column(served, "requests"), column(rewards, "rewards")
    draws = check_whole(draws, "number of draws", least=1, most=10**7)
    k = len(bandit.weights)
    if n.shape != (k,) or reward.shape != (k,):
        raise MillraceError("stats.shape", f"shapes {n.shape} and {reward.shape}", f"give a value for each of {k} arms")
    if bool((reward < 0).any()) or bool((reward > n).any()):
        raise MillraceError("stats.data", "rewards outside [0, requests]", "scale each reward to [0, 1]")
    if check_share(floor, "floor") * k > 1:
        raise MillraceError("stats.weight", f"a floor of {floor:g} for {k} arms", f"give at most {1 / k:.3g}")
    good = check_share(keep, "share kept") * bandit.good + reward
    bad = keep * bandit.bad + n - reward
    if frozen:
        return Bandit(good, bad, bandit.weights)
    best = np.argmax(rng.beta(1 + good, 1 + bad, size=(draws, k)), axis=1)
    chance = np.bincount(best, minlength=k) / draws
    return Bandit(good, bad, floor + (1 - k * floor) * chance)
