"""What pipelines remember: registered code, the plan of each run, and the answers of steps by key."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name
from millrace.pipelines.graph import Graph
from millrace.store.blobs import Digest
from millrace.tracking.records import Input


class Pipeline(Struct, frozen=True):
    """A version of a pipeline: `code` is the tree of its files, `entry` is ``module:name`` in them.

    `script` tells that the module is a program, of which only what the pipeline needs is run.
    """

    name: Name
    number: int
    code: Digest
    entry: str
    made: Micros
    actor: Name
    defaults: dict[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    script: bool = False
    git: dict[str, Any] = field(default_factory=dict)


class Resolved(Struct, frozen=True):
    """A lazy frame by content: `source` is what its rows are read from, `digest` names it, `inputs` say it in words."""

    digest: Digest
    source: Raw
    inputs: tuple[Input, ...] = ()


class Plan(Struct, frozen=True):
    """What a run does: the calls with the digests of their code, and each lazy frame's content by `key.frame_name`."""

    graph: Graph
    frames: dict[str, Resolved] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Ordered(Struct, frozen=True):
    """A run that was asked for. `plan` is None until it starts; `holder` is who runs it, until `held`."""

    run: str
    pipeline: Name
    number: int
    seed: int
    plan: Plan | None = None
    holder: str = ""
    held: Micros = 0
    cancelled: bool = False


class Output(Struct, frozen=True):
    """The committed answer to a key: the tree it was stored as, and the points that were logged on the way."""

    key: str
    tree: Digest
    run: str
    made: Micros
    points: tuple[tuple[str, float | None, int], ...] = ()


class StepRun(Struct, frozen=True):
    """One call of a step within a run. `state` is made, cached, running, failed, or cancelled."""

    run: str
    node: int
    step: str
    state: str
    key: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    tree: str = ""
    attempt: int = 0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
