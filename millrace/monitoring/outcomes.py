"""What was answered in a span of event time beside what came true: one row a prediction, one column a version.

The log has an entry for every row and version that scored it; here the entries of a row lie side by side, with its
outcome as it was known at a moment of event time, so that the same span gives the same arrays whenever it is read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.access.context import Ground
from millrace.base.clock import Micros
from millrace.monitoring.records import Measures
from millrace.serving import labels as serving_labels
from millrace.serving import log as serving_log
from millrace.serving.records import WHOLE, Columns, Labels, Logged
from millrace.stats.influence import auc_influence
from millrace.stats.verdict import Floats, Ints

LEAST_OF_A_CLASS = 10
"""A day with fewer rows of either class has no AUC."""

UNFIT = "unfit"
"""The state of an outcome that nothing can be measured on."""

_EDGE = 1e-12  # probabilities are kept this far from 0 and 1 before their logarithm


class Outcomes(NamedTuple):
    """n rows in order of (event, id), v versions in rising order.

    `id`, `event` int64 micros, `key` (n,); `score` float64 (n, v), NaN where a version did not answer; `scored` and
    `failed` bool (n, v): it was asked, it had no answer; `served` int64 (n,), the column of the version that answered
    on an arm, -1 for none; `weight` float64 (n,), the share of traffic that version had when the row was routed;
    `label` float64 (n,), NaN unless a value is known; `state` object (n,), the state of other outcomes, else "".
    `inputs`: the columns of the rows.
    """

    versions: tuple[int, ...]
    id: NDArray[np.object_]
    event: Ints
    key: NDArray[np.object_]
    score: Floats
    scored: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    served: Ints
    weight: Floats
    label: Floats
    state: NDArray[np.object_]
    inputs: Columns

    def column(self, version: int) -> int | None:
        """The column of a version, or None if it scored nothing here."""
        return self.versions.index(version) if version in self.versions else None


def read(
    ground: Ground, workspace: str, endpoint: str, since: Micros, until: Micros, known_at: Micros | None = None
) -> Outcomes:
    """The rows of ``since <= event < until`` with the outcomes that had arrived by `known_at` (None: by now).

    Errors: `endpoint.unknown`, `blob.corrupt`.
    """
    logged = serving_log.window(ground, workspace, endpoint, since, until)
    with ground.catalog.read() as tx:
        found = serving_labels.read(tx, workspace, endpoint, since, until)
    return beside(logged, found, known_at)


def beside(logged: Logged, labels: Labels, known_at: Micros | None = None) -> Outcomes:
    """Put the entries of each row side by side, and its outcome with them."""
    row_of: dict[str, int] = {}
    names = logged.id.tolist()
    rows = np.fromiter((row_of.setdefault(name, len(row_of)) for name in names), np.int64, len(names))
    n = len(row_of)
    versions = np.unique(logged.version)
    columns = np.searchsorted(versions, logged.version)
    answer = _answers(logged.score)
    score = np.full((n, len(versions)), np.nan)
    scored = np.zeros(score.shape, np.bool_)
    failed = np.zeros(score.shape, np.bool_)
    scored[rows, columns] = True
    failed[rows, columns] = logged.failed
    score[rows, columns] = np.where(logged.failed | (np.abs(answer) > serving_labels.LARGEST), np.nan, answer)
    first = np.full(n, len(names), np.int64)
    np.minimum.at(first, rows, np.arange(len(names)))
    arms = logged.role == "arm"
    served = np.full(n, -1, np.int64)
    served[rows[arms]] = columns[arms]
    weight = np.zeros(n)
    weight[rows[arms]] = logged.weight[arms] / WHOLE
    label, state = _outcomes(row_of, labels, known_at)
    return Outcomes(
        tuple(versions.tolist()), logged.id[first], logged.event[first], logged.key[first], score, scored, failed,
        served, weight, label, state, {name: values[first] for name, values in logged.inputs.items()},
    )  # fmt: skip


def measures(label: Floats, score: Floats, *, numbers: bool = False) -> Measures:
    """Measures of a version's rows that have a label and a score; both (m,), NaN in neither.

    `numbers`: the label is a quantity, not a class.
    """
    if not len(label):
        return Measures()
    found = {"residual": label - score}
    if numbers:
        found["squared"] = (label - score) ** 2
    else:
        found["brier"] = (label - score) ** 2
        kept = np.clip(score, _EDGE, 1 - _EDGE)
        found["log_loss"] = -np.where(label > 0.5, np.log(kept), np.log1p(-kept))
    mean = {name: float(values.mean()) for name, values in found.items()}
    squares = {name: float(((values - mean[name]) ** 2).sum()) for name, values in found.items()}
    return Measures(
        rows=len(label),
        positives=0 if numbers else int((label > 0.5).sum()),
        mean=mean,
        squares=squares,
        auc=None if numbers else auc(label, score),
        score=float(score.mean()),
    )


def auc(label: Floats, score: Floats) -> float | None:
    """The area under the ROC curve; None with fewer than `LEAST_OF_A_CLASS` rows of either class."""
    positives = int((label > 0.5).sum())
    if min(positives, len(label) - positives) < LEAST_OF_A_CLASS:
        return None
    found = auc_influence(label, score)
    return None if found is None else found[0]


def states(state: NDArray[np.object_]) -> dict[str, int]:
    """How many rows have each state other than ""."""
    found: dict[str, int] = {}
    for name in state.tolist():
        if name:
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _answers(score: NDArray[Any]) -> Floats:
    """One number a row: the score itself, or of two classes the probability of the second."""
    if score.ndim == 1:
        return score.astype(np.float64)
    if score.shape[1] == 2:
        return score[:, 1].astype(np.float64)
    return np.full(len(score), np.nan)


def _outcomes(row_of: dict[str, int], labels: Labels, known_at: Micros | None) -> tuple[Floats, NDArray[np.object_]]:
    label = np.full(len(row_of), np.nan)
    state = np.full(len(row_of), "", object)
    arrived = labels.arrived <= known_at if known_at is not None else np.ones(len(labels.id), np.bool_)
    for name, value, kind, there in zip(
        labels.id.tolist(), labels.value.tolist(), labels.state.tolist(), arrived.tolist(), strict=True
    ):
        row = row_of.get(name)
        if there and row is not None:
            fits = not abs(value) > serving_labels.LARGEST  # an older Millrace let any finite value in
            label[row], state[row] = (value, kind) if fits else (np.nan, UNFIT)
    return label, state
