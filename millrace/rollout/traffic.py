"""Who answers, as the open rollouts of an endpoint ask for it: one routing table, made anew at every change."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.access.context import Context
from millrace.catalog.tx import Tx
from millrace.rollout import rules
from millrace.rollout.records import Rollout
from millrace.serving import routes
from millrace.serving.records import Table


def champion(tx: Tx, workspace: str, endpoint: str) -> int:
    """The version that serves an endpoint, or what a canary leaves of it; 0 while nothing does."""
    table = routes.now(tx, workspace, endpoint)
    return table.arms[0].number if table is not None else 0


def point(cx: Context, endpoint: str, champion: int, open_: Sequence[Rollout], rollout: str, reason: str) -> Table:
    """Serve `champion` and what the open rollouts ask for, from the next request on.

    Errors: `version.unapproved` for one that gets traffic, `route.invalid`.
    """
    arms, shadows = rules.traffic(champion, open_)
    table = Table(endpoint=endpoint, number=0, arms=arms, shadows=shadows, rollout=rollout, reason=reason)
    return routes.point(cx, table)
