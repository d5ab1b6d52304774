"""Labels: what came true, by prediction id, late. Batches are only added; a correction supersedes what it repeats.

A label is kept at the event time of its prediction, so that whoever reads a block finds those of its rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Context, Ground
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, few
from millrace.catalog.tx import Tx
from millrace.pipelines import models
from millrace.registry import versions
from millrace.serving import routes, tables
from millrace.serving.log import logs
from millrace.serving.records import Endpoint, Labels

LARGEST = 1e100
_LONGEST = 1_000_000
_Packed = tuple[list[str], bytes, list[str], bytes, bytes]


class Batch(NamedTuple):
    """Labels ready to be kept, of events from `first` to `last`; `odd`: (id, value) of one that is neither 0 nor 1."""

    rows: int
    first: Micros
    last: Micros
    packed: bytes
    odd: tuple[str, float] | None


class Expected(NamedTuple):
    """What the labels of an endpoint can be, by its first arm's `version`, as of a generation of routing tables."""

    endpoint: Endpoint
    generation: int
    version: str = ""
    task: str = ""
    classes: tuple[Any, ...] = ()


def make(
    ids: Sequence[str],
    values: Sequence[float | None],
    states: Sequence[str],
    event: Sequence[Micros],
    arrived: Sequence[Micros],
) -> Labels:
    """Labels from columns of one length; empty `values` or `states` mean unknown or "" throughout, an empty `event`
    that `joined` finds it.

    Errors: `label.invalid` for different lengths, a label with neither value nor state, one that is not finite, or one
    so large that its square would not be.
    """
    count = len(ids)
    values = values or [None] * count
    states = states or [""] * count
    event = event or arrived
    if not count == len(values) == len(states) == len(event) == len(arrived):
        raise MillraceError("label.invalid", "the columns have different lengths", "give every label one value in each")
    if count > _LONGEST:
        raise MillraceError("label.invalid", f"{count} labels at once", f"send at most {_LONGEST} a call")
    for id, value, state in zip(ids, values, states, strict=True):
        if (value is None) == (state == ""):
            has = "neither a value nor a state" if value is None else "both a value and a state"
            raise MillraceError("label.invalid", f"the label of {id!r} has {has}", "give one: a value, or 'cancelled'")
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    large = np.flatnonzero(np.abs(numbers) > LARGEST)
    if len(large):
        first = int(large[0])
        raise MillraceError(
            "label.invalid", f"the label of {ids[first]!r} is {numbers[first]:g}", f"send values within ±{LARGEST:g}"
        )
    return Labels(_texts(ids), numbers, _texts(states), np.array(event, np.int64), np.array(arrived, np.int64))


def batch(labels: Labels) -> Batch:
    """The labels as they are kept."""
    odd: Any = np.flatnonzero(~np.isnan(labels.value) & (labels.value != 0) & (labels.value != 1))
    first, last = (int(labels.event.min()), int(labels.event.max())) if len(labels.id) else (0, 0)
    found = (labels.id[odd[0]], float(labels.value[odd[0]])) if len(odd) else None
    return Batch(len(labels.id), first, last, _pack(labels), found)


def expect(ground: Ground, workspace: str, endpoint: str) -> None:
    """Learn, outside of any writing call, what the labels of an endpoint can be; nothing where there is none.

    It is learned anew once the routing tables of this server changed.
    """
    known, seat = _known(ground), ground.memory.kept("serving", "seat")
    held = known.get((workspace, endpoint))
    if held is None or (seat is not None and held.generation < seat[0].newest()):
        with suppress(MillraceError), ground.catalog.read() as tx:
            known[workspace, endpoint] = _expected(tx, ground, workspace, endpoint)


def joined(ground: Ground, workspace: str, endpoint: str, labels: Labels, *, timed: bool) -> Labels:
    """The labels, each at the event time of its own prediction, whatever moment came with it; where no such prediction
    is logged, as they are if they came `timed`. Outside of any writing call, after `expect`.

    Errors: `prediction.unknown`, `blob.unknown`, `blob.corrupt`.
    """
    known = _known(ground).get((workspace, endpoint))
    if known is None or not len(labels.id):
        return labels
    near = labels.event.tolist()
    found = logs(ground).of(workspace, known.endpoint).events(labels.id.tolist(), near)
    missing = [] if timed else [id for id, event in zip(labels.id.tolist(), found, strict=True) if event is None]
    if missing:
        raise MillraceError(
            "prediction.unknown", f"no prediction of {endpoint} is logged as {few([repr(id) for id in missing])}",
            "look for a mistyped id; for one that is logged later, say its event time in `event`",
        )  # fmt: skip
    event = np.array([at if at is not None else own for at, own in zip(found, near, strict=True)], np.int64)
    return labels._replace(event=event)


def check(cx: Context, endpoint: str, batch: Batch) -> None:
    """That the values can come true where two classes are told apart: 0 or 1. An endpoint that answers nothing yet
    takes any. Errors: `endpoint.unknown`, `label.invalid`.
    """
    known = _known(cx.ground)
    expected = known.get((cx.workspace, endpoint))
    if expected is None or expected.generation != tables.generation(cx.tx):
        known.pop((cx.workspace, endpoint), None)  # what an open transaction says may never come true: it is not kept
        expected = _expected(cx.tx, cx.ground, cx.workspace, endpoint)
    if expected.task == "binary" and batch.odd is not None:
        id, value = batch.odd
        no, yes = expected.classes if len(expected.classes) == 2 else (0, 1)
        raise MillraceError(
            "label.invalid", f"the label of {id!r} is {value:g}, and {expected.version} tells two classes apart",
            f"send 1 where the outcome is {yes!r} and 0 where it is {no!r}",
        )  # fmt: skip


def _known(ground: Ground) -> dict[tuple[str, str], Expected]:
    return ground.memory.keep(dict, "serving", "expected labels")


def _expected(tx: Tx, ground: Ground, workspace: str, endpoint: str) -> Expected:
    generation = tables.generation(tx)
    found = routes.find(tx, workspace, endpoint)
    routed = tables.newest_table(tx, workspace, endpoint)
    if routed is None:
        return Expected(found, generation)
    version = versions.find(tx, workspace, found.model, routed.arms[0].number)
    task, classes = ground.memory.keep(lambda: _task(ground, version.tree), "serving", "task", version.tree)
    return Expected(found, generation, version.title, task, classes)


def _task(ground: Ground, tree: str) -> tuple[str, tuple[Any, ...]]:
    """What a version predicts, and its classes; nothing where its files cannot be read, which serving tells."""
    try:
        signature = models.read(ground.blobs, tree).signature
    except MillraceError:
        return "", ()
    return signature.task, signature.classes


def add(cx: Context, endpoint: str, batch: Batch) -> None:
    """Keep a batch, durably, in an open writing call."""
    if batch.rows:
        tables.add_labels(cx.tx, cx.workspace, endpoint, cx.new_id(), batch.first, batch.last, batch.rows, batch.packed)


def read(tx: Tx, workspace: str, endpoint: str, since_event: Micros, until_event: Micros) -> Labels:
    """The labels of predictions with ``since_event <= event < until_event``; of each the newest correction alone.

    Newest is the later `arrived`, and of equal ones the one that was added later.
    """
    parts = [_unpack(packed) for packed in tables.labels(tx, workspace, endpoint, since_event, until_event)]
    return _newest(parts, since_event, until_event)


def changed(tx: Tx, workspace: str, endpoint: str, after: str, until_event: Micros) -> Labels:
    """The labels of predictions of before `until_event` that came, or came to be another, with the batches after
    `after`; as they are known now. A repetition of what was known is no change."""
    span = tables.later_labels(tx, workspace, endpoint, after, until_event)
    if span is None:
        return _newest([], 0, 0)
    since, until = span[0], min(span[1] + 1, until_event)
    batches = [(id, _unpack(packed)) for id, packed in tables.label_batches(tx, workspace, endpoint, since, until)]
    now = _newest([part for _, part in batches], since, until)
    before = _newest([part for id, part in batches if id <= after], since, until)
    known = {id: (value, state) for id, value, state in zip(before.id, before.value, before.state, strict=True)}
    told = zip(now.id, now.value, now.state, strict=True)
    fresh: Any = np.flatnonzero([not _same(known.get(id), value, state) for id, value, state in told])
    return Labels(*(column[fresh] for column in now))


def _same(known: tuple[float, str] | None, value: float, state: str) -> bool:
    return known is not None and known[1] == state and (known[0] == value or bool(state))


def _newest(parts: Sequence[Labels], since_event: Micros, until_event: Micros) -> Labels:
    """The newest correction of each prediction of a span."""
    if not parts:
        return make([], [], [], [], [])
    every = Labels(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    names = every.id.astype(str)
    order = np.lexsort((np.arange(len(names)), every.arrived, names))
    last = np.append(names[order][1:] != names[order][:-1], True)
    kept = order[last]
    kept = kept[(every.event[kept] >= since_event) & (every.event[kept] < until_event)]
    kept = kept[np.lexsort((names[kept], every.event[kept]))]
    return Labels(*(column[kept] for column in every))


def _pack(labels: Labels) -> bytes:
    packed: _Packed = (
        labels.id.tolist(),
        labels.value.astype("<f8").tobytes(),
        labels.state.tolist() if labels.state.any() else [],
        labels.event.astype("<i8").tobytes(),
        labels.arrived.astype("<i8").tobytes(),
    )
    return zlib.compress(msgspec.msgpack.encode(packed), 1)


def _unpack(packed: bytes) -> Labels:
    ids, value, states, event, arrived = msgspec.msgpack.decode(zlib.decompress(packed), type=_Packed)
    return Labels(
        _texts(ids),
        np.frombuffer(value, "<f8"),
        _texts(states or [""] * len(ids)),
        np.frombuffer(event, "<i8"),
        np.frombuffer(arrived, "<i8"),
    )


def _texts(values: Sequence[str]) -> NDArray[np.object_]:
    found = np.empty(len(values), object)
    found[:] = values
    return found
