"""`Rows`: what a step receives for a lazy frame, with every value as its row's own moment knew it.

A frame is resolved when its run starts: names become content (the dataset's newest version, the views' definitions),
so the step's key knows the bytes. The step's process then reads by digests alone and makes the join.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from millrace.access.context import Context
from millrace.base.errors import MillraceError, nearest
from millrace.pipelines import signature
from millrace.pipelines.frames import Frame
from millrace.pipelines.records import Resolved
from millrace.pipelines.signature import Input
from millrace.store.blobs import Blobs

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

    def _part(self, rows: NDArray[np.int64]) -> Part:
        taken = {name: self.columns[name][rows] for name in self.names}
        y = np.empty(0) if not self.target else self.columns[self.target][rows].astype(np.float64)
        key = {name: self.columns[name][rows] for name in self._key}
        return Part(signature.encode(self.signature_inputs, taken), y, self.columns[self._at][rows], key)

    def __repr__(self) -> str:
        parts = f"{len(self._train)} to train on, {len(self._test)} held back"
        return f"<{len(self)} rows of {len(self.names)} features: {parts}>"


class Source(Struct, frozen=True):
    """A frame by content: versions of datasets, and views each with the version of the dataset it is over."""

    spine: Any
    views: tuple[tuple[Any, Any], ...] = ()
    labels: Any = None
    key: tuple[str, ...] = ()
    at: str = ""


def resolve(cx: Context, frame: Frame) -> Resolved:
    """Replace the names of a frame by content, in a writing call: what was pushed becomes part of a version first.

    Errors: `dataset.unknown`, `view.unknown`, `frame.invalid`.
    """
    raise NotImplementedError


def read(blobs: Blobs, frame: Frame, resolved: Resolved) -> Rows:
    """The rows of a resolved frame. Errors: `frame.column`, `frame.empty`, and those of the store."""
    raise NotImplementedError


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
