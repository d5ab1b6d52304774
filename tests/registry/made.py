"""Models as pipelines would make them: fitted, packed, stored, and the output of a finished run."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from millrace.access.records import LOCAL, Caller
from millrace.assemble import Platform
from millrace.pipelines import models
from millrace.pipelines.signature import Input, Signature
from millrace.store import tree as trees

INPUTS = (Input("hour", "number"), Input("dest", "text", ("LAX", "SFO")))
_RANDOM = np.random.default_rng(3)
X = np.column_stack([_RANDOM.integers(0, 24, 300), _RANDOM.integers(0, 2, 300)]).astype(np.float32)


class Made(NamedTuple):
    """A run and the tree it made."""

    run: str
    tree: str


@cache
def files(slope: float) -> dict[str, bytes]:
    """A logistic regression whose answers rise with the hour at about `slope`."""
    y = (X[:, 0] * slope + X[:, 1] > 12 * slope).astype(int)
    fitted = LogisticRegression(C=abs(slope)).fit(X, y)
    return models.pack_matrix(fitted, Signature(INPUTS, "late", "binary", (0, 1)), X)


def make(platform: Platform, slope: float = 1.0, caller: Caller = LOCAL, **run: Any) -> Made:
    """A finished run whose output `train` is a model."""
    tree = trees.make(platform.ground.blobs, files(slope))
    started = platform.call("run.start", {"experiment": "flights", **run}, caller)
    platform.call("run.finish", {"run": started.id, "outputs": {"train": tree}}, caller)
    return Made(started.id, tree)
