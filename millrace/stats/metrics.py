"""Metrics by name, over all rows, by slice and by group, each with a band that names its unit of evidence.

Claim: one way from a metric's name to its value and band, so that gates, reports, monitors and model cards mean the
same by "auc". Bands are at one look and, over slices, each by itself unless `together` asks for all of them at once
(Bonferroni). Unit of evidence: see `bands.py`.
What breaks it: hundreds of slices read one by one (some will look bad: ask for `together`), slices cut by the outcome.
Sources: Dunn 1961 for all slices at once; each metric's with its own file (`classification`, `regression`, `ranking`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError, nearest
from millrace.stats import classification as c
from millrace.stats import regression as r
from millrace.stats.bands import Band, BandUnit, band, units_of
from millrace.stats.influence import Influenced, auc_influence, f1_influence
from millrace.stats.reliability import calibration_error, calibration_residual
from millrace.stats.verdict import Floats, Ints, check_share, check_whole, plain, same_length

Kind = Literal["binary", "classes", "regression"]
Function = Callable[[Any, Any], Influenced | None]
Count = Callable[[Floats, Floats], float]  # the denominator of a share, from labels and 0/1 predictions


class Metric(NamedTuple):
    """A named metric. `hard`: it takes 0/1 predictions, cut at the threshold; `share_of`: its denominator, if a share.

    `better` says which way is good; `low` and `high` its range.
    """

    name: str
    kind: Kind
    better: Literal["higher", "lower", "zero"]
    function: Function
    hard: bool = False
    low: float = -math.inf
    high: float = math.inf
    share_of: Count | None = None


def _all(labels: Floats, _: Floats) -> float:
    return float(len(labels))


def _named(label: Floats, predicted: Floats) -> float:
    return float(predicted.sum())


def _positives(label: Floats, _: Floats) -> float:
    return float(label.sum())


def _negatives(label: Floats, _: Floats) -> float:
    return float(len(label) - label.sum())


METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "binary", "higher", c.accuracy, True, 0, 1, _all),
        Metric("auc", "binary", "higher", auc_influence, False, 0, 1),
        Metric("average_precision", "binary", "higher", c.average_precision, False, 0, 1),
        Metric("brier", "binary", "lower", c.brier, False, 0, 1),
        Metric("calibration_error", "binary", "lower", calibration_error, False, 0, 1),
        Metric("calibration_residual", "binary", "zero", calibration_residual, False, -1, 1),
        Metric("f1", "binary", "higher", f1_influence, True, 0, 1),
        Metric("false_positive_rate", "binary", "lower", c.false_positive_rate, True, 0, 1, _negatives),
        Metric("log_loss", "binary", "lower", c.log_loss, False, 0),
        Metric("precision", "binary", "higher", c.precision, True, 0, 1, _named),
        Metric("recall", "binary", "higher", c.recall, True, 0, 1, _positives),
        Metric("selection_rate", "binary", "zero", c.selection_rate, True, 0, 1, _all),
        Metric("accuracy_classes", "classes", "higher", c.accuracy_classes, False, 0, 1),
        Metric("brier_classes", "classes", "lower", c.brier_classes, False, 0, 2),
        Metric("f1_macro", "classes", "higher", c.f1_macro, False, 0, 1),
        Metric("log_loss_classes", "classes", "lower", c.log_loss_classes, False, 0),
        Metric("absolute_error", "regression", "lower", r.absolute_error, False, 0),
        Metric("bias", "regression", "zero", r.bias),
        Metric("log_rmse", "regression", "lower", r.log_rmse, False, 0),
        Metric("median_pinball", "regression", "lower", r.pinball, False, 0),
        Metric("r2", "regression", "higher", r.r2, False, -math.inf, 1),
        Metric("relative_error", "regression", "lower", r.relative_error, False, 0),
        Metric("rmse", "regression", "lower", r.rmse, False, 0),
        Metric("squared_error", "regression", "lower", r.squared_error, False, 0),
    )
}


class Slice(Struct, frozen=True, kw_only=True):
    """A metric on the rows where every column of `where` has its value; `where` is empty for all rows."""

    where: dict[str, str]
    band: Band


def metric(name: str) -> Metric:
    """The metric of that name. Errors: metric.unknown, with the nearest name."""
    if name not in METRICS:
        raise MillraceError("metric.unknown", f"there is no metric {name!r}", nearest(name, METRICS))
    return METRICS[name]


def influenced(name: str, labels: ArrayLike, predictions: ArrayLike, *, threshold: float = 0.5) -> Influenced | None:
    """(value, influence (n,)) of a named metric, or None where it is not defined; `threshold` cuts probabilities.

    Errors: metric.unknown, stats.data, stats.shape, stats.weight.
    """
    which = metric(name)
    if which.hard:
        return which.function(labels, c.predicted(predictions, check_share(threshold, "threshold")))
    return which.function(labels, predictions)


def value(name: str, labels: ArrayLike, predictions: ArrayLike, *, threshold: float = 0.5) -> float | None:
    """The plain value of a named metric; None where it is not defined. Errors as in `influenced`."""
    found = influenced(name, labels, predictions, threshold=threshold)
    return None if found is None else found[0]


def measure(
    name: str,
    labels: ArrayLike,
    predictions: ArrayLike,
    alpha: float = 0.05,
    *,
    threshold: float = 0.5,
    units: ArrayLike | None = None,
    unit: BandUnit | None = None,
) -> Band:
    """A named metric with its band. `labels`: (n,); `predictions`: (n,), for classes (n, k).

    `units`: (n,) block starts or entity numbers, of kind `unit` ("block" unless said); rows are the unit without them.
    Errors: metric.unknown, stats.alpha, stats.data, stats.shape.
    """
    which = metric(name)
    found = influenced(name, labels, predictions, threshold=threshold)
    of = None
    if which.share_of and found is not None:
        y = np.asarray(labels, np.float64)
        of = which.share_of(y, c.predicted(predictions, threshold))
    limits, n = (which.low, which.high), same_length("labels", plain(labels, "labels"))
    return band(name, found, alpha, units=units, unit=unit, limits=limits, share_of=of, rows=n)


def measure_all(
    kind: Kind,
    labels: ArrayLike,
    predictions: ArrayLike,
    alpha: float = 0.05,
    *,
    threshold: float = 0.5,
    units: ArrayLike | None = None,
    unit: BandUnit | None = None,
) -> dict[str, Band]:
    """Every metric of a kind that these values admit, by name."""
    found = {}
    for which in METRICS.values():
        if which.kind != kind or (which.name == "log_rmse" and not _above_minus_one(labels, predictions)):
            continue
        found[which.name] = measure(which.name, labels, predictions, alpha, threshold=threshold, units=units, unit=unit)
    return found


def by_slice(
    name: str,
    labels: ArrayLike,
    predictions: ArrayLike,
    columns: Mapping[str, ArrayLike],
    alpha: float = 0.05,
    *,
    depth: int = 1,
    least_rows: int = 30,
    together: bool = False,
    threshold: float = 0.5,
    units: ArrayLike | None = None,
    unit: BandUnit | None = None,
) -> list[Slice]:
    """The metric over all rows first, then on each slice of at least `least_rows` rows, by column and value.

    `columns`: name → (n,) values of any type, read as text; `depth`: up to how many columns are combined.
    `together`: bands that hold for all slices at once. Errors: metric.unknown, stats.*.
    """
    y, p = plain(labels, "labels"), plain(predictions, "predictions")
    n = same_length("labels, predictions and columns", y, p, *[plain(v, k) for k, v in columns.items()])
    number = None if units is None else units_of(units, n)
    places = slices_of(columns, depth=depth, least_rows=least_rows)
    share = alpha / max(len(places), 1) if together else alpha
    found = [
        Slice(where={}, band=measure(name, y, p, alpha, threshold=threshold, units=units, unit=unit)),
    ]
    for where, rows in places:
        own = None if number is None else number[rows]
        inside = measure(name, y[rows], p[rows], share, threshold=threshold, units=own, unit=unit)
        found.append(Slice(where=where, band=inside))
    return found


def slices_of(
    columns: Mapping[str, ArrayLike], *, depth: int = 1, least_rows: int = 30
) -> list[tuple[dict[str, str], Ints]]:
    """The slices of at least `least_rows` rows: what they are, and the numbers of their rows."""
    least_rows, depth = check_whole(least_rows, "number of rows"), check_whole(depth, "depth")
    coded: dict[str, tuple[Sequence[str], NDArray[Any]]] = {}
    for name, values in columns.items():
        words = plain(values, name)
        if words.ndim != 1:
            raise MillraceError("stats.shape", f"{name} has shape {words.shape}", "give one value a row")
        if words.dtype.kind == "O":
            words = np.array([str(word) for word in words.tolist()], str)
        words = np.char.decode(words, "utf-8", "backslashreplace") if words.dtype.kind == "S" else words.astype(str)
        distinct, inverse = np.unique(words, return_inverse=True)
        coded[name] = (distinct.tolist(), inverse)
    found = []
    for size in range(1, depth + 1):
        for names in combinations(coded, size):
            code = np.zeros(len(next(iter(coded.values()))[1]), np.int64)
            for name in names:
                code = code * len(coded[name][0]) + coded[name][1]
            order = np.argsort(code, kind="stable")
            cells, starts = np.unique(code[order], return_index=True)
            for cell, rows in zip(
                cells.tolist(), np.split(order, starts[1:]), strict=False
            ):  # no cells: one empty split
                if len(rows) >= max(least_rows, 1):
                    found.append((_where(names, cell, coded), rows.astype(np.int64)))
    return found


def _where(names: Sequence[str], cell: int, coded: Mapping[str, tuple[Sequence[str], Any]]) -> dict[str, str]:
    values = []
    for name in reversed(names):
        cell, place = divmod(cell, len(coded[name][0]))
        values.append(coded[name][0][place])
    return dict(zip(names, reversed(values), strict=True))


def _above_minus_one(labels: ArrayLike, predictions: ArrayLike) -> bool:
    both = np.concatenate([np.asarray(labels, np.float64), np.asarray(predictions, np.float64)])
    return bool((both > -1).all())
