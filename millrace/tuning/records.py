"""What tuning remembers: studies, the space each searches, and its trials."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name
from millrace.tracking.records import State

Sampler = Literal["tpe", "random"]


class Ints(Struct, frozen=True, tag="ints", forbid_unknown_fields=True):
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int
    log: bool = False


class Floats(Struct, frozen=True, tag="floats", forbid_unknown_fields=True):
    """Numbers from `low` to `high`."""

    low: float
    high: float
    log: bool = False


class Choice(Struct, frozen=True, tag="choice", forbid_unknown_fields=True):
    """One of these values: text, numbers, booleans or None."""

    options: tuple[bool | int | float | str | None, ...]


Range = Ints | Floats | Choice


class Study(Struct, frozen=True):
    """A search. `pipeline` is run for every trial; an empty one is tried by somebody's own program.

    `metric` of the trial's run is made small, or large if `maximize`. `params` are given to every trial; `first` is
    the configuration that is tried first.
    """

    name: Name
    space: dict[str, Range]
    metric: str
    maximize: bool = False
    pipeline: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    trials: int = 20
    sampler: Sampler = "tpe"
    seed: int = 0
    made: Micros = 0


class Trial(Struct, frozen=True):
    """A configuration and the run that tried it; `value` is None while it is not known, and where it failed.

    A trial fails with its run, and also where the run ended without a finite value of the metric.
    """

    study: Name
    number: int
    params: dict[str, Any]
    run: str
    state: State = "queued"
    value: float | None = None
