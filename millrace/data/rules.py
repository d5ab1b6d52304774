"""May these rows enter? Pure decisions over columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.base.clock import Micros, from_iso
from millrace.base.errors import MillraceError, nearest
from millrace.data.records import Column, Dataset, Kind, Summary

Columns = dict[str, NDArray[Any]]

_EXACT = 2**53  # up to here every whole number is one of float64
_WIDEST = 4_000
_TYPES: dict[Kind, tuple[type, ...]] = {
    "bool": (bool,),
    "whole": (int,),
    "number": (int, float),
    "text": (str,),
    "time": (int, str),
}


def schema(name: str, known: Sequence[Column], found: Sequence[Column]) -> tuple[Column, ...]:
    """The dataset's columns, that `found` has to fit; `found` itself while none are known.

    Whole numbers fit a column of numbers. Errors: `dataset.wide`; `dataset.schema`, which names what is missing, of
    another kind, or not to be written.
    """
    check_width(len(found))
    if not known:
        check_columns(column.name for column in found)
        return tuple(found)
    there = {column.name: column.kind for column in found}
    missing = [column.name for column in known if column.name not in there]
    extra = [name for name in there if name not in {column.name for column in known}]
    if missing or extra:
        told = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} too many"] * bool(extra)
        hint = nearest(extra[0], missing) if missing and extra else "give exactly the dataset's columns"
        raise MillraceError("dataset.schema", f"what comes into {name!r} {' and '.join(told)}", hint)
    for column in known:
        kind = there[column.name]
        if kind != column.kind and (kind, column.kind) not in _FITS:
            raise MillraceError(
                "dataset.schema",
                f"{column.name!r} of {name!r} is {column.kind}, and {kind} came",
                "convert it, or make another dataset",
            )
    return tuple(known)


_FITS = {("whole", "number"), ("whole", "time")}


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can tell the text: half a character it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_columns(names: Iterable[str]) -> None:
    """Errors: `dataset.schema` for a name that no file can hold."""
    for name in names:
        if not name or "\0" in name or not is_unicode(name):
            raise MillraceError("dataset.schema", f"a column is named {name!r}", "give it a name of plain characters")


def check_width(columns: int) -> None:
    """Errors: `dataset.wide` for more columns than a dataset may have."""
    if columns > _WIDEST:
        raise MillraceError(
            "dataset.wide", f"{columns:,} columns came, and a dataset has at most {_WIDEST:,}",
            "make several datasets of one key, or rows of (key, name, value)",
        )  # fmt: skip


def check_apart(names: Iterable[str]) -> None:
    """Errors: `dataset.schema` for two columns of one name, in whatever case."""
    if max(Counter(name.lower() for name in names).values(), default=0) > 1:
        raise MillraceError("dataset.schema", "two columns of the file have one name", "name each by itself")


def roles(dataset: Dataset) -> None:
    """Errors: `dataset.schema` if a key or time column is not there or is of the wrong kind."""
    kinds = {column.name: column.kind for column in dataset.columns}
    for name in (*dataset.key, *filter(None, (dataset.event, dataset.arrived))):
        if name not in kinds:
            raise MillraceError(
                "dataset.schema", f"{dataset.name!r} has no column {name!r} for its key or time", nearest(name, kinds)
            )
    for name in filter(None, (dataset.event, dataset.arrived)):
        if kinds[name] not in ("time", "whole"):
            raise MillraceError(
                "dataset.schema",
                f"{name!r} of {dataset.name!r} is {kinds[name]}, not time",
                "give stamps, ISO texts with a zone, or whole microseconds since 1970",
            )


def check(dataset: Dataset, columns: Columns) -> None:
    """Rows that fit the schema must also make sense.

    Errors: `dataset.empty`, `dataset.null` (a key or time that is missing), `dataset.infinite`, `dataset.whole` (whole
    numbers beyond 2**53 in a column with nulls), `dataset.duplicate` (two rows of one key that arrived at the same
    moment).
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    if not rows:
        raise MillraceError("dataset.empty", f"no rows came for {dataset.name!r}", "give at least one row")
    for name in (*dataset.key, *filter(None, (dataset.event, dataset.arrived))):
        missing = _missing(columns[name])
        if missing.any():
            row = int(np.argmax(missing))
            raise MillraceError(
                "dataset.null", f"{name!r} of {dataset.name!r} is missing in {int(missing.sum())} row(s), first {row}",
                "a key and a time are needed in every row",
            )  # fmt: skip
    for name, values in columns.items():
        if values.dtype.kind == "f" and np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise infinite(f"{name!r} of {dataset.name!r}", f"row {row}")
        check_exact(f"{name!r} of {dataset.name!r}", values)
    if dataset.key:
        _no_duplicates(dataset, columns, rows)


def _no_duplicates(dataset: Dataset, columns: Columns, rows: int) -> None:
    named = [*dataset.key, *filter(None, (dataset.arrived or dataset.event,))]
    keys = list(zip(*(columns[name].tolist() for name in named), strict=True))
    if len(set(keys)) < rows:
        counts = Counter(keys)
        row = next(place for place, key in enumerate(keys) if counts[key] > 1)
        shown = ", ".join(f"{name}={columns[name][row]}" for name in named)
        raise MillraceError(
            "dataset.duplicate", f"{dataset.name!r} gets two rows of {shown}",
            "keep one; a correction arrives later than what it corrects",
        )  # fmt: skip


def check_exact(what: str, values: NDArray[Any]) -> None:
    """That float64 holds every whole number of a masked column, once its nulls are NaN. Errors: `dataset.whole`."""
    if not np.ma.is_masked(values) or values.dtype.kind not in "iu":
        return
    there = np.ma.getdata(values)[~np.ma.getmaskarray(values)]
    ends = (int(there.min()), int(there.max())) if len(there) else (0, 0)
    far = max(ends, key=abs)
    if abs(far) > _EXACT:
        raise MillraceError(
            "dataset.whole", f"{what} gets {far} beside nulls; no float64 tells it exactly",
            "keep it as text, or give every row a value",
        )  # fmt: skip


def of_decimal(value: Decimal) -> int | float:
    """A decimal exactly: whole where it is written without places, else as float64. Errors: `dataset.whole`."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return int(value)
    number = float(value)
    if value.is_finite() and Decimal(repr(number)) != value:
        raise inexact("a column", value)
    return number


def infinite(what: str, where: str) -> MillraceError:
    """The error for a number that is none."""
    return MillraceError(
        "dataset.infinite", f"{what} is infinite in {where}", "leave it empty (null), or cut it to a range"
    )


def inexact(what: str, value: object, hint: str = "keep it as text, or round it yourself") -> MillraceError:
    """The error for a number that float64 does not tell exactly."""
    return MillraceError("dataset.whole", f"{what} gets {value}; no float64 tells it exactly", hint)


def from_lists(dataset: Dataset, given: Mapping[str, Sequence[Any]]) -> tuple[Columns, list[Column]]:
    """Columns as JSON brings them, as arrays of the dataset's kinds; of new ones, of the kind that all values fit.

    Errors: `dataset.schema` for different lengths, a kind that does not fit, or a value that is no scalar; those of
    `array`.
    """
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        raise MillraceError(
            "dataset.schema", f"the columns for {dataset.name!r} have lengths {lengths}", "one value a row"
        )
    kinds: dict[str, Kind] = {name: "time" for name in (dataset.event, dataset.arrived) if name}
    kinds.update({column.name: column.kind for column in dataset.columns})
    columns: Columns = {}
    found: list[Column] = []
    for name, values in given.items():
        kind = kinds.get(name) or kind_of(dataset.name, name, values)
        columns[name] = array(dataset.name, name, kind, values)
        found.append(Column(name, kind))
    return columns, found


def kind_of(dataset: str, name: str, values: Iterable[Any]) -> Kind:
    """The narrowest kind that holds every value. Errors: `dataset.schema` where there is none."""
    types = {type(value) for value in values if value is not None}
    for kind in ("bool", "whole", "number", "text"):
        if types and types <= set(_TYPES[kind]):
            return kind
    what = "only nulls" if not types else "values of " + ", ".join(sorted(t.__name__ for t in types))
    raise MillraceError("dataset.schema", f"{name!r} of {dataset!r} has {what}", "declare the dataset's columns")


def array(dataset: str, name: str, kind: Kind, values: Sequence[Any]) -> NDArray[Any]:
    """Values of one column as an array of `kind`: None is NaN among numbers, None in text, and masked elsewhere.

    Errors: `dataset.schema`, `dataset.time` for a text that is no time, `dataset.whole` for one beyond 64 bits, or
    among numbers for one that float64 does not tell.
    """
    allowed, found = _TYPES[kind], set(map(type, values))
    for row, value in enumerate(values) if not found <= {*allowed, NoneType} else ():
        if value is not None and (not isinstance(value, allowed) or (isinstance(value, bool) and kind != "bool")):
            if isinstance(value, float) and kind in ("whole", "time") and value.is_integer():
                continue
            raise MillraceError(
                "dataset.schema", f"{name!r} of {dataset!r} is {kind}; row {row} brings {value!r}",
                "send numbers as numbers, times as microseconds or ISO text, null where unknown",
            )  # fmt: skip
    if kind == "text":
        return np.array(values, object) if len(values) else np.empty(0, object)
    if kind == "number":
        far = next((v for v in values if type(v) is int and abs(v) > _EXACT and not _tells(v)), None)
        if far is not None:
            raise inexact(f"{name!r} of {dataset!r}", far)
        return np.array([np.nan if value is None else value for value in values], np.float64)
    if kind == "time":
        values = [micros(dataset, name, value) if isinstance(value, str) else value for value in values]
    if found <= {int} and kind != "bool":
        with suppress(OverflowError):
            return np.array(values, np.int64)
    missing = [value is None for value in values]
    made: list[int] = [0 if value is None else int(value) for value in values]
    far = next((value for value in made if not -(2**63) <= value < 2**63), None)
    if far is not None:
        raise MillraceError(
            "dataset.whole", f"{name!r} of {dataset!r} gets {far}, beyond 64 bits", "send it as text, or as a float"
        )
    held = np.array(made, np.bool_ if kind == "bool" else np.int64)
    return np.ma.MaskedArray(held, missing) if any(missing) else held


def _tells(value: int) -> bool:
    """Whether float64 holds a whole number."""
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def micros(dataset: str, name: str, text: str) -> Micros:
    """A stamp of a time column. Errors: `dataset.time`."""
    try:
        return from_iso(text)
    except MillraceError:
        raise MillraceError(
            "dataset.time", f"{name!r} of {dataset!r} gets {text!r}, which is no time",
            "write stamps as 2013-03-01T12:00:00Z, or as whole microseconds since 1970",
        ) from None  # fmt: skip


def summaries(columns: Columns, kinds: Sequence[Column]) -> tuple[Summary, ...]:
    """The summary of every column."""
    return tuple(_summary(column, columns[column.name]) for column in kinds)


def merged(first: Sequence[Summary], second: Sequence[Summary]) -> tuple[Summary, ...]:
    """Summaries of all rows of both (Chan, Golub & LeVeque 1983); either may be empty."""
    if not first or not second:
        return tuple(first or second)
    others = {summary.name: summary for summary in second}
    return tuple(_merge(summary, others[summary.name]) for summary in first)


def span(columns: Columns, event: str) -> tuple[Micros | None, Micros | None]:
    """(first, last) moment of event time."""
    if not event or not len(columns[event]):
        return None, None
    return int(columns[event].min()), int(columns[event].max())


def _summary(column: Column, values: NDArray[Any]) -> Summary:
    missing = _missing(values)
    there = np.ma.getdata(values)[~missing]
    numbers = (
        np.array([len(value) for value in there], np.float64) if column.kind == "text" else there.astype(np.float64)
    )
    if not len(numbers):
        return Summary(column.name, column.kind, len(values), int(missing.sum()), None, None, None, 0.0)
    mean = float(numbers.mean())
    return Summary(
        column.name, column.kind, len(values), int(missing.sum()), float(numbers.min()), float(numbers.max()), mean,
        float(((numbers - mean) ** 2).sum()),
    )  # fmt: skip


def _merge(a: Summary, b: Summary) -> Summary:
    n, m = a.rows - a.missing, b.rows - b.missing
    rows, missing = a.rows + b.rows, a.missing + b.missing
    if not n or not m:
        kept = a if n else b
        return Summary(a.name, a.kind, rows, missing, kept.low, kept.high, kept.mean, kept.squares)
    assert a.mean is not None and b.mean is not None and a.low is not None and b.low is not None
    assert a.high is not None and b.high is not None
    apart = b.mean - a.mean
    mean = a.mean + apart * m / (n + m)
    squares = a.squares + b.squares + apart**2 * n * m / (n + m)
    return Summary(a.name, a.kind, rows, missing, min(a.low, b.low), max(a.high, b.high), mean, squares)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype == object:
        return np.fromiter((value is None for value in values), np.bool_, len(values))
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getmaskarray(values)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
