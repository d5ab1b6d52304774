"""What a rollout remembers: its policy, where it stands, and its evidence block by block. Times are event time."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name
from millrace.monitoring.records import Metric
from millrace.stats.verdict import Verdict

Strategy = Literal["shadow", "canary", "all"]
State = Literal["refused", "shadow", "canary", "watching", "promoted", "ended", "rolled_back"]
ACTIVE: tuple[State, ...] = ("shadow", "canary")
OPEN: tuple[State, ...] = ("shadow", "canary", "watching")
WHOLE = 10_000


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """How a version may come to serve, as data. Shares are ten-thousandths, margins are of the Brier score.

    `strategy`: "shadow" proves first, on rows that both versions score, that the new one is better by `metric`, within
    `shadow_days`; then canary. "canary" begins with the canary, "all" serves everybody at once. `steps` are the
    canary's shares before it gets all, each for at least `step_days` judged days and `step_rows` rows; in the whole
    canary, of at most `canary_days`, the loss must be shown to rise by less than `canary_margin`. `margin` is the same
    in gate and shadow, by days. For `watch_days` after it the version before stays as a shadow: worse by more than
    `watch_tolerance` goes back. `alpha` is the error rate of a year of challengers, and of each guard.

    The gate compares `gate_days` of logged rows: worse by more than `gate_tolerance`, or failing on more than
    `gate_failures` of them, is refused. `error_margin` is the rise of errors that is tolerated (1: twice as many) and
    `error_rate` the share of errors that is no longer tolerated whatever the champion does.
    """

    strategy: Strategy = "shadow"
    metric: Metric = "brier"
    alpha: float = 0.05
    margin: float = 0.01
    shadow_days: int = 28
    steps: tuple[int, ...] = (1_000, 5_000)
    step_days: int = 2
    step_rows: int = 100
    canary_days: int = 28
    canary_margin: float = 0.03
    watch_days: int = 28
    watch_tolerance: float = 0.002
    gate_days: int = 14
    gate_tolerance: float = 0.0
    gate_failures: float = 0.01
    error_margin: float = 1.0
    error_rate: float = 0.05


class Rollout(Struct, frozen=True):
    """One version on its way to serve at an endpoint. `id` is "endpoint-number".

    `champion` is the version that served before (0: none). `since` is when it began and `phase_since` when its state
    or step did; only rows from then on, and later than `trained_until`, are evidence. `judged` is how far its evidence
    goes. `challenger` is which challenger of the year it is (0: none) and `alpha` what it may spend. `weight` is its
    share, `table` the routing table that it
    got traffic by first, and `cursor` where the log stood then. `because` says why it stands where it stands.
    """

    id: str
    endpoint: Name
    number: int
    model: Name
    version: int
    champion: int
    policy: Policy
    state: State
    since: Micros
    trained_until: Micros
    phase_since: Micros
    judged: Micros
    actor: Name
    because: str = ""
    reason: str = ""
    challenger: int = 0
    alpha: float = 0.05
    step: int = 0
    weight: int = 0
    table: int = 0
    cursor: dict[str, int] = field(default_factory=dict)
    forced: bool = False
    paused: bool = False
    over: Micros | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)


class Arm(Struct, frozen=True):
    """Rows that one arm answered in a block: `failed` without an answer, `labelled` with a loss.

    `mean` and `squares` (the sum of squared differences from it) are of those losses; `events` are losses above ¼,
    which an answer of ½ does not have.
    """

    rows: int = 0
    failed: int = 0
    labelled: int = 0
    mean: float = 0.0
    squares: float = 0.0
    events: int = 0


class Evidence(Struct, frozen=True):
    """One block: rows that both versions scored, and what each arm answered.

    `rows` were scored by both and have a value; `difference` is the loss of the new version less the other's by the
    policy's metric (None where it is not defined: see `left_out`), `squares` its sum of squares over rows; `harm` and
    `harm_squares` the same for the Brier score. `canary` and `control` are the new version and the other: what each
    answered of its share; in a shadow only how many rows both were asked for, and failed. `phase` is the rollout's
    state when it was gathered, `step` its step.
    """

    since: Micros
    until: Micros
    phase: State
    step: int = 0
    rows: int = 0
    difference: float | None = None
    squares: float = 0.0
    harm: float | None = None
    harm_squares: float = 0.0
    left_out: str = ""
    canary: Arm = Arm()
    control: Arm = Arm()


class Decision(Struct, frozen=True):
    """What follows from the evidence. `verdicts` are all that was known; `because` names what decided."""

    act: Literal["hold", "canary", "step", "promote", "end", "rollback", "finish"]
    because: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)


class Gate(Struct, frozen=True):
    """The gate's answer: on how many rows of how many blocks, and how many of them the version may have learned from.

    `failed` rows got no answer from the new version.
    """

    passed: bool
    because: str
    rows: int = 0
    blocks: int = 0
    failed: int = 0
    in_training: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)
