"""What tracking remembers: experiments, their runs, and the points of a run's metrics."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name

State = Literal["queued", "running", "finished", "failed", "cancelled"]
OVER: tuple[State, ...] = ("finished", "failed", "cancelled")


class Experiment(Struct, frozen=True):
    """A named set of runs."""

    name: Name
    made: Micros
    about: str = ""


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that a run read: `kind` is dataset, view, tree or value; `digest` names its content."""

    kind: str
    name: str
    digest: str
    number: int = 0


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a run failed, in the three parts of every error."""

    code: str
    message: str
    hint: str = ""


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a run comes from: digests of its code and environment, the state of git, its seed, its host.

    `git` has the keys commit, branch, dirty when the code lies in a repository, and is empty otherwise. `purpose` is
    whatever the asker wants back with the outcome; it is passed through to the facts unread.
    """

    code: str = ""
    environment: str = ""
    git: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    host: str = ""
    purpose: dict[str, Any] = field(default_factory=dict)


class Run(Struct, frozen=True):
    """One execution with parameters, metrics and outputs.

    `kind` is run (logged by somebody's program), pipeline or trial; `subject` is the pipeline's or study's name.
    `metrics` holds the newest value of each series, None where that was not a number. `outputs` are digests by name.
    """

    id: str
    experiment: Name
    name: str
    kind: str
    subject: str
    state: State
    actor: Name
    parent: str | None
    queued: Micros
    started: Micros | None
    ended: Micros | None
    origin: Origin = Origin()
    inputs: tuple[Input, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)


class Point(Struct, frozen=True, array_like=True):
    """One point of a series, in JSON ``[key, value, step, at]``. A value of None is "not a number"."""

    key: str
    value: float | None
    step: int = 0
    at: Micros = 0


class Series(Struct, frozen=True):
    """The points of one series in order of (step, at).

    A reduced one has one entry a bucket: `value` is then the bucket's smallest and `high` its largest value, `step`
    and `at` those of its first point. A full one has an empty `high`.
    """

    run: str
    key: str
    count: int
    step: list[int]
    at: list[Micros]
    value: list[float | None]
    high: list[float | None]
