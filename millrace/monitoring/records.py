"""What monitoring remembers: plans, measured blocks, their verdicts, and incidents. All times are event time."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name
from millrace.stats.verdict import Verdict

Metric = Literal["auc", "brier", "log_loss", "squared"]
Cause = Literal["loss", "residual", "drift", "labels"]

SERVED = 0
"""The version number under which a block holds what was served, whoever answered."""


class Plan(Struct, frozen=True):
    """What is watched at an endpoint, and what follows, as data.

    `pipeline` is what a breach or the calendar retrains with, its `params` completed by ``since`` and ``until``: the
    last `history_days` of event time. `on_breach` False leaves a breach an incident; `calendar_days` 0 leaves the
    calendar out; at least `rest_days` lie between two trainings. `metric` is what challengers are compared on.
    `loss` is what the champion's loss is compared with (None: the mean of its first `reference_days` blocks) and
    `tolerance` how much more is no breach. Inputs are counted in cells made from the first `reference_days` blocks;
    with `training` they are compared with the champion's training data too, once a week.
    """

    endpoint: Name
    model: Name = ""
    pipeline: Name = ""
    params: dict[str, Any] = field(default_factory=dict)
    metric: Metric = "brier"
    calendar_days: int = 28
    history_days: int = 120
    rest_days: int = 7
    on_breach: bool = True
    alpha: float = 0.05
    loss: float | None = None
    tolerance: float = 0.01
    reference_days: int = 7
    training: bool = True


class Measures(Struct, frozen=True):
    """Sums over the labelled rows of one version in one block: `mean` of each measure and Σ(x − mean)² as `squares`.

    Measures are brier, log_loss and residual (label − score), for "squared" plans squared and residual. `auc` is None
    with fewer than ten rows of either class.
    """

    rows: int = 0
    positives: int = 0
    mean: dict[str, float] = field(default_factory=dict)
    squares: dict[str, float] = field(default_factory=dict)
    auc: float | None = None
    score: float | None = None


class Block(Struct, frozen=True):
    """One version in one block of event time. `version` 0 is what was served, whoever answered.

    `rows` were scored, `failed` of them without an answer; `labelled` have a value, `states` counts the outcomes of
    another kind (cancelled …), so ``coverage`` is the share of rows whose outcome is known.
    """

    version: int
    since: Micros
    until: Micros
    rows: int
    failed: int
    labelled: int
    states: dict[str, int]
    measures: Measures

    @property
    def known(self) -> int:
        return self.labelled + sum(self.states.values())

    @property
    def coverage(self) -> float | None:
        return self.known / self.rows if self.rows else None


class Judgement(Struct, frozen=True):
    """What one block led to: the champion it found, and the verdicts so far. `drift` names the columns that moved.

    `reference` is the bound that the champion's loss was held to, its reference and the tolerance; None while that is
    being made. `late` counts the outcomes of the block's rows that came, or changed, after it was judged: they are in
    no verdict, and the next judgement says so. Once a week the verdict "training" compares what was served with what
    the champion learned from; `learned` names the columns that are another.
    """

    since: Micros
    until: Micros
    champion: int
    champion_since: Micros
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    reference: float | None = None
    late: int = 0
    learned: tuple[str, ...] = ()


class Asked(Struct, frozen=True):
    """The last asking for a challenger: the `pipeline` it named, and what the standing held before it.

    `changed` tells that the plan trains otherwise since.
    """

    pipeline: Name
    asked: Micros | None
    fresh: Micros
    changed: bool = False


class Standing(Struct, frozen=True):
    """How far an endpoint is judged, and what the next block needs to know.

    `judged` is the end of the last judged block. `asked` is when a challenger was last asked for; `fresh` is where the
    evidence for the next breach begins. `blocks` counts judged blocks that had rows, `calm` those in a row without an
    alarm of drift. `labels` names the last batch of outcomes that was looked at, None before the first look. `usual`
    are the rows of the last blocks whose labels were not lost, and how many of them have an outcome; `dry` counts the
    rows since then, of which none has. `last` lets an asking that came to nothing be taken back.
    """

    endpoint: Name
    begun: Micros
    judged: Micros
    champion: int = 0
    champion_since: Micros = 0
    asked: Micros | None = None
    fresh: Micros = 0
    blocks: int = 0
    calm: int = 0
    labels: str | None = None
    usual: tuple[tuple[int, int], ...] = ()
    dry: int = 0
    last: Asked | None = None


class Incident(Struct, frozen=True):
    """One cause, from the block that showed it to the block that ended it."""

    endpoint: Name
    number: int
    cause: Cause
    opened: Micros
    because: str
    verdict: Verdict | None = None
    columns: tuple[str, ...] = ()
    closed: Micros | None = None
    outcome: str = ""


class Told(Struct, frozen=True):
    """A judged block in short: the champion's loss and AUC, and what was served."""

    since: Micros
    rows: int
    labelled: int
    coverage: float | None
    champion: int
    loss: float | None
    auc: float | None


class Late(Struct, frozen=True):
    """How many outcomes of the block that began at `since` came or changed after it was judged."""

    since: Micros
    outcomes: int


class Judged(Struct, frozen=True):
    """What one call judged, and whether it asked for a challenger ("breach", "calendar" or "").

    `late` are outcomes that came or changed after their blocks were judged.
    """

    endpoint: Name
    until: Micros
    blocks: tuple[Told, ...] = ()
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    asked: str = ""
    late: tuple[Late, ...] = ()
