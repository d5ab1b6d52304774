"""How an error rate is shared out: over challengers that come one after another, over a rollout's reasons to roll back.

Claim: the whole keeps α however many parts are opened, by the union bound; the parts need not be independent.
What breaks it: spending the same part twice (a challenger replaced half-way is a new one), or choosing the split
after seeing the data.
Unit: the part, a challenger or a reason.
Sources: Bonferroni's inequality (Dunn 1961); Foster & Stine, "Alpha-investing" (JRSS B 2008), with the telescoping
sequence 1/(k(k+1)) for challengers.
"""

from __future__ import annotations

from collections.abc import Mapping

from millrace.base.errors import MillraceError
from millrace.stats.verdict import check_alpha, check_whole, scalar

ROLLBACK: Mapping[str, float] = {"errors": 0.5, "latency": 0.25, "label loss": 0.25}


def challenger_alpha(alpha: float, k: int) -> float:
    """What the k-th challenger (k = 1, 2, …) may spend: α/(k(k+1)); the sum over all k is α.

    Unit of evidence: the challenger. Errors: stats.alpha; stats.data when k < 1.
    Source: Foster & Stine, "Alpha-investing" (JRSS B 2008), with the telescoping sequence 1/(k(k+1)).
    """
    k = check_whole(k, "challenger's number", least=1)
    return check_alpha(alpha) / (k * (k + 1))


def split_alpha(alpha: float, shares: Mapping[str, float] = ROLLBACK) -> dict[str, float]:
    """α split over named reasons in proportion to `shares` (any positive numbers). Errors: stats.alpha, stats.weight.

    The default is a rollout's: errors ½, latency ¼, label loss ¼. What a rollout does not look at stays unspent: rows
    of one request may go to both arms, so rollouts of rows do not judge latency. Promotion needs no split: every guard
    must agree.
    """
    alpha = check_alpha(alpha)
    total = sum(scalar(share, f"share of {name}", code="stats.weight") for name, share in shares.items())
    if not shares or min(shares.values()) <= 0:
        raise MillraceError("stats.weight", f"the shares of α are {dict(shares)}", "give each reason a share above 0")
    return {name: alpha * share / total for name, share in shares.items()}
