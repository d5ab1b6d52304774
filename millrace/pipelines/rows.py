"""`Rows`: what a step receives for a lazy frame, with every value as its row's own moment knew it.

A frame is resolved when its run starts: names become content (the dataset's newest version, the views' definitions),
so the step's key knows the bytes. The step's process then reads by digests alone and makes the join.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from millrace.access.context import Context
from millrace.base.errors import MillraceError, nearest, unknown
from millrace.data import life as data
from millrace.data.records import Version
from millrace.features import join
from millrace.features import tables as features
from millrace.features.records import View
from millrace.pipelines import learned, signature
from millrace.pipelines.frames import Frame
from millrace.pipelines.records import Resolved
from millrace.pipelines.signature import Input
from millrace.store.blobs import Blobs, digest_of
from millrace.tracking.records import Input as Read

Columns = dict[str, NDArray[Any]]


class Part(NamedTuple):
    """Some of the rows: `X` (n, inputs) float32, `y` (n,) float64 (empty without a target), `at` (n,) int64 micros of
    event time, `key` the key columns, each (n,)."""

    X: NDArray[np.float32]
    y: NDArray[np.float64]
    at: NDArray[np.int64]
    key: Columns


class Rows:
    """Rows in order of time, split where the frame says so.

    `columns` are all of them as they were read, (n,) each; `names` are the features, in the order of the matrix.
    `test` holds the latest share of the rows and is empty where nothing is held back. Rows whose target is unknown are
    in neither part. The vocabulary of text columns is learned on the training part.
    """

    def __init__(
        self,
        columns: Columns,
        names: Sequence[str],
        at: str,
        key: Sequence[str],
        frame: Frame,
        views: Sequence[signature.View] = (),
    ) -> None:
        self.columns = columns
        self.names = tuple(names)
        self.target = frame.target
        self.views = tuple(views)
        self._at = at
        self._key = tuple(key)
        known = _known(columns, frame.target)
        if frame.target and not len(known):
            raise MillraceError(
                "frame.empty", f"no row of {frame.dataset!r} has a known {frame.target!r}", "widen the frame's time"
            )
        held = int(len(known) * frame.test) if frame.target else 0
        self._train, self._test = known[: len(known) - held], known[len(known) - held :]

    def __len__(self) -> int:
        return len(self.columns[self._at])

    @cached_property
    def signature_inputs(self) -> tuple[Input, ...]:
        """The inputs of a model fitted on the training part."""
        trained = {name: self.columns[name][self._train] for name in self.names}
        return signature.learn(trained, self.names, self.views)

    @property
    def categorical(self) -> list[int]:
        """Which columns of the matrix are places in a vocabulary."""
        return [place for place, item in enumerate(self.signature_inputs) if item.kind == "text"]

    @cached_property
    def train(self) -> Part:
        return self._part(self._train)

    @cached_property
    def test(self) -> Part:
        return self._part(self._test)

    def learned(self) -> bytes | None:
        """What the training part looks like, as counts; see `millrace.pipelines.learned`."""
        columns = {name: self.columns[name][self._train] for name in self.names}
        as_logged = {name: v if v.dtype.kind == "O" else v.astype(np.float64) for name, v in columns.items()}
        return learned.pack(as_logged, self.columns[self._at][self._train])

    def _part(self, rows: NDArray[np.int64]) -> Part:
        taken = {name: self.columns[name][rows] for name in self.names}
        y = np.empty(0) if not self.target else self.columns[self.target][rows].astype(np.float64)
        key = {name: self.columns[name][rows] for name in self._key}
        return Part(signature.encode(self.signature_inputs, taken), y, self.columns[self._at][rows], key)

    def __repr__(self) -> str:
        parts = f"{len(self._train)} to train on, {len(self._test)} held back"
        return f"<{len(self)} rows of {len(self.names)} features: {parts}>"


class Source(Struct, frozen=True):
    """A frame by content: versions of datasets, and each view with the version of the dataset it is over."""

    spine: Version
    views: tuple[tuple[View, Version], ...] = ()
    labels: Version | None = None


def resolve(cx: Context, frame: Frame) -> Resolved:
    """Replace the names of a frame by content, in a writing call: what was pushed becomes part of a version first.

    Errors: `dataset.unknown`, `version.unknown`, `view.unknown`.
    """
    spine = _version(cx, frame.dataset, frame.version)
    labels = _version(cx, frame.labels) if frame.labels else None
    views = [_view(cx, name) for name in frame.views]
    sources = tuple((view, _version(cx, view.source)) for view in views)
    content = [
        frame, _content(spine), labels and _content(labels),
        [[view.name, view.digest, _content(source)] for view, source in sources],
    ]  # fmt: skip
    digest = digest_of(msgspec.json.encode(content, order="deterministic"))
    versions = dict.fromkeys([spine, *([labels] if labels else []), *(source for _, source in sources)])
    inputs = [Read("dataset", version.dataset, version.tree, version.number) for version in versions]
    inputs += [Read("view", view.name, view.digest, view.number) for view in views]
    return Resolved(digest, msgspec.Raw(msgspec.json.encode(Source(spine, sources, labels))), tuple(inputs))


def read(blobs: Blobs, frame: Frame, resolved: Resolved) -> Rows:
    """The rows of a resolved frame, for a step's process: reads by digests alone, and joins.

    Errors: `frame.column`, `frame.empty`, `frame.invalid`, and those of the store.
    """
    source = msgspec.json.decode(resolved.source, type=Source)
    columns = join.training(
        blobs, source.spine, source.views, at=frame.at, since=frame.since, until=frame.until, labels=source.labels,
        label_columns=frame.label_columns, naive=frame.naive,
    )  # fmt: skip
    at = frame.at or source.spine.event
    if not len(columns[at]):
        raise MillraceError("frame.empty", f"no row of {frame.dataset!r} lies in the asked time", "widen it")
    views = [signature.View(view.name, view.digest, view.keys) for view, _ in source.views]
    return Rows(columns, names_of(frame, source), at, source.spine.key, frame, views)


def names_of(frame: Frame, source: Source) -> tuple[str, ...]:
    """The features: those the frame names, else all columns of the dataset but its key and times, and all of the
    views. The target and the labels are never among them unless the frame names them."""
    if frame.columns:
        return frame.columns
    spine = source.spine
    own = [column.name for column in spine.columns if column.kind != "time" and column.name not in spine.key]
    joined = [name for view, _ in source.views for name in view.features]
    return tuple(name for name in (*own, *joined) if name not in (frame.target, frame.at, spine.event, spine.arrived))


def _version(cx: Context, name: str, number: int = 0) -> Version:
    return data.resolve(cx.tx, cx.workspace, name, number) if number else data.seal(cx, name)


def _view(cx: Context, name: str) -> View:
    found = features.view(cx.tx, cx.workspace, name)
    if found is None:
        raise unknown("view", name, (view.name for view in features.views(cx.tx, cx.workspace)))
    return found


def _content(version: Version) -> list[Any]:
    """What of a version its rows depend on."""
    return [version.tree, version.key, version.event, version.arrived, version.columns]


def _known(columns: Columns, target: str) -> NDArray[np.int64]:
    """The places of the rows whose target is a number."""
    first = next(iter(columns.values()))
    if not target:
        return np.arange(len(first))
    if target not in columns:
        raise MillraceError("frame.column", f"there is no column {target!r} to learn", nearest(target, columns))
    try:
        return np.flatnonzero(~np.isnan(columns[target].astype(np.float64)))
    except (TypeError, ValueError):
        raise MillraceError(
            "frame.column", f"the target {target!r} is not of numbers", "make it a number in the dataset"
        ) from None
