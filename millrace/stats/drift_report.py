"""What a watch for drift says about one window: a verdict, and what each column did, in words a person can use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from millrace.stats.verdict import ALARM, QUIET, UNDECIDED, Floats, Ints, Verdict, figure, finite

SHOWN = 5  # columns that the sentence of an alarm names


class ColumnDrift(Struct, frozen=True, kw_only=True):
    """One column in one window. Every float is finite.

    `statistic` X² with `degrees` at `rows` effective rows; `psi`: the effect, debiased population stability (may be
    slightly negative); `direction`: which way a number moved, and about how far, the Wasserstein distance between the
    16 groups' places in units of the groups' deviation (right in sign; coarse in size for long tails: a lognormal that
    moved by −0.2 standard deviations shows −0.08), None for categories; `moved`: the group whose share changed most, in
    words. Is it more than the tolerance? `p_immaterial` over all groups, `p_trend` by the ranks of a number (for other
    columns the same again). `p_unusual`: is it unusual against the column's own past? 1 while there is none. `e`: the
    window's evidence, the smaller of what the two questions give, the first the mean over its two p; 1 while there is
    no past. `evidence` against the column by itself since the last reset. `visible_psi`: the smallest lasting change
    that would raise an alarm in this column alone in about a week (a day for windows shorter than that); 1 and more
    means practically blind; None while unknown.
    """

    name: str
    statistic: float
    degrees: int
    rows: float
    psi: float
    direction: float | None
    moved: str
    e: float
    p_immaterial: float
    p_trend: float
    p_unusual: float
    evidence: float
    visible_psi: float | None

    @property
    def visible_sd(self) -> float | None:
        """The same as a shift of a normal column in standard deviations (its population stability is the square)."""
        return None if self.visible_psi is None else float(np.sqrt(self.visible_psi))


class DriftReport(Struct, frozen=True):
    """One window against its reference of about `reference_rows` rows; `columns` is empty before there is one.

    `named`: the columns that an alarm is about, the strongest first; empty without an alarm.
    """

    start_us: int
    rows: int
    against: str
    reference_rows: float
    verdict: Verdict
    columns: tuple[ColumnDrift, ...]
    named: tuple[str, ...]


def drift_verdict(
    against: str, windows: int, statistic: float, bound: float, alpha: float, columns: Sequence[ColumnDrift],
    named: Sequence[str], why: str,
) -> Verdict:  # fmt: skip
    """The verdict on a window; an alarm when columns are `named`, and `why` says what keeps it undecided."""
    usual = {
        "usual": "what is usual at this time",
        "year": "the same season last year",
        "training": "the training data",
    }
    by = {c.name: c for c in columns}
    if named:
        shown = "; ".join(_told(by[name]) for name in named[:SHOWN])
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        because = f"differs from {usual[against]}: {shown}{more}"
    elif why:
        because = f"not enough evidence yet: {why}"
    else:
        told = f"evidence {figure(statistic)} of {figure(bound)} after {windows} windows"
        because = f"nothing beyond {usual[against]}: {told}{_blind(columns)}"
    return Verdict(
        claim=f"the window is like {usual[against]}",
        unit="window",
        n=windows,
        statistic=finite(statistic),
        bound=finite(bound),
        alpha=alpha,
        decision=ALARM if named else UNDECIDED if why else QUIET,
        because=because,
        effect=max((by[name].psi for name in named), default=None),
    )


def _blind(columns: Sequence[ColumnDrift]) -> str:
    """What this silence does not exclude."""
    visible = sorted((c.visible_sd, c.name) for c in columns if c.visible_sd is not None)
    if not visible:
        return ""
    middle, (most, name) = visible[len(visible) // 2][0], visible[-1]
    return f"; blind to lasting shifts below {middle:.2g} sd in half of the columns, {most:.2g} sd in {name}"


def _told(column: ColumnDrift) -> str:
    way = "" if column.direction is None else f" by {column.direction:+.2g} sd"
    return f"{column.name}{way} ({column.moved})"


def largest_move(current: Ints, reference: Floats, words: Sequence[str]) -> str:
    """The group whose share changed most, as "missing 0 % → 5.1 %"."""
    n, big = max(int(current.sum()), 1), max(float(reference.sum()), 1e-300)
    p, q = current / n, reference / big
    if not len(words):
        return ""
    at = int(np.argmax(np.abs(p - q)))
    return f"{words[at]} {100 * q[at]:.3g} % → {100 * p[at]:.3g} %"
