"""Who may run a run, and what a step is made of its loss? Pure decisions."""

from __future__ import annotations

from millrace.base.clock import Micros
from millrace.pipelines.graph import Options

BLAMELESS = 2  # how often a step is tried again whose loss was not its own


def may_hold(me: str, holder: str, held: Micros, now: Micros) -> bool:
    """Whether `me` may take a run that `holder` holds until `held`: nobody's, its own, or one whose hold is over.

    All of wall time. A directory's holder keeps its name over a restart, so it goes on with its runs at once.
    """
    return holder in ("", me) or held < now


def again(attempt: int, options: Options, blameless: bool) -> bool:
    """Whether a lost step is tried again after `attempt` (from 0). What a function raises is never tried again."""
    return attempt < max(options.retries, BLAMELESS if blameless else 0)
