"""What serving remembers: endpoints, their routing tables, what they answered, and the labels that came later."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from millrace.base.clock import Micros
from millrace.base.names import Name

WHOLE = 10_000
"""All traffic: weights are whole ten-thousandths of it."""

Columns = dict[str, NDArray[Any]]


class Endpoint(Struct, frozen=True):
    """A named place that answers predictions of one model.

    `key` is the column that routing sticks to and `event` the column with a row's event time; where one is empty, the
    prediction's id and the present stand in. Days begin at `day_origin` and blocks have `block_s` seconds of event
    time; a label is expected within `maturity_s` seconds. Another `seed` splits the keys between versions otherwise.
    """

    name: Name
    id: str
    model: Name
    made: Micros
    key: str = ""
    event: str = ""
    day_origin: Micros = 0
    block_s: int = 86_400
    maturity_s: int = 0
    seed: int = 0


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """A model version and its share of the traffic, in ten-thousandths."""

    number: int
    weight: int


class Table(Struct, frozen=True):
    """Who answers at an endpoint: a value that never changes; another one takes its place.

    The first arm takes what the others leave; they take buckets from 0 up, in order, so a growing arm never loses a
    key. `shadows` answer every row beside it, unseen. `salt` decides which keys an arm gets: it stays the same through
    one rollout. `number` counts the tables of the endpoint. `since` is the event time up to which the log was sealed
    when it came: what it answers is later. None where nothing was sealed yet.
    """

    endpoint: Name
    number: int
    arms: tuple[Arm, ...]
    shadows: tuple[int, ...] = ()
    rollout: str = ""
    reason: str = ""
    salt: str = ""
    made: Micros = 0
    actor: str = ""
    since: Micros | None = None

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions it needs, each once."""
        return tuple(dict.fromkeys((*(arm.number for arm in self.arms), *self.shadows)))


class Segment(Struct, frozen=True):
    """Sealed answers of one block: a Parquet blob. Late ones make a further `part` of their block; 0 closed it.

    `index` is a blob too: the sorted 8-byte hashes of its requests' ids.
    """

    since: Micros
    until: Micros
    part: int
    digest: str
    index: str
    rows: int


class Logged(NamedTuple):
    """Logged answers, one entry a row and version that scored it; every array (n,), in order of (event, id, role).

    `id` "request:row"; `event` int64 micros; `version` int64; `role` "arm", "shadow" or "pinned"; `table` int64, the
    number of the routing table; `weight` int64, the arm's ten-thousandths when it was routed (0 beside "arm"); `score`
    float64, NaN where `failed`, or (n, classes); `latency_us` int64 of the whole request; `at` int64, wall micros;
    `key` what routing stuck to; `inputs` the model's columns as it got them, views included.
    """

    id: NDArray[np.object_]
    event: NDArray[np.int64]
    version: NDArray[np.int64]
    role: NDArray[np.object_]
    table: NDArray[np.int64]
    weight: NDArray[np.int64]
    score: NDArray[np.float64]
    failed: NDArray[np.bool_]
    latency_us: NDArray[np.int64]
    at: NDArray[np.int64]
    key: NDArray[np.object_]
    inputs: Columns


class Labels(NamedTuple):
    """Outcomes by prediction id, newest correction only; every array (n,), in order of (event, id).

    `value` float64, NaN where the outcome has a `state` instead, such as "cancelled" ("" else); `event` int64 micros,
    the event time of the prediction; `arrived` int64 micros, when the outcome was known.
    """

    id: NDArray[np.object_]
    value: NDArray[np.float64]
    state: NDArray[np.object_]
    event: NDArray[np.int64]
    arrived: NDArray[np.int64]
