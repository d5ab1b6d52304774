"""Columns as they arrive, made into the few forms that profiles count: numbers, labels, texts, vectors.

NumPy arrays of any numeric, boolean, time, text or object type, masked arrays, lists, and `Coded` columns. Missing is
a masked entry, None, NaN, NaT or a library's NA. Times become microseconds since 1970. Nothing here keeps a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from millrace.base.errors import MillraceError
from millrace.stats.verdict import Floats, plain, same_length

_LARGEST = 1 << 63


class Coded(Struct, frozen=True, eq=False):
    """A dictionary-encoded column: `codes` int (rows,) index `levels`; a negative code is a missing value.

    Errors: stats.data for codes that are not whole or have no level, stats.shape for other than one dimension.
    """

    codes: NDArray[Any]
    levels: Sequence[Any]

    def __post_init__(self) -> None:
        if not _listed(self.levels):
            told = f"levels that are a {type(self.levels).__name__}"
            raise MillraceError("stats.data", told, "give the list of values that the codes count in")
        codes = plain(self.codes, "codes")
        if codes.ndim != 1:
            raise MillraceError("stats.shape", f"codes of shape {codes.shape}", "give one code a row")
        if codes.size and (codes.dtype.kind not in "iu" or int(codes.max()) >= len(self.levels)):
            told = (
                f"codes of {codes.dtype} up to {codes.max()}"
                if codes.dtype.kind in "iuf"
                else f"codes of {codes.dtype}"
            )
            hint = "whole numbers that index the levels, negative where missing"
            raise MillraceError("stats.data", f"{told} for {len(self.levels)} levels", hint)

    def __len__(self) -> int:
        return len(self.codes)


def _listed(values: Any) -> bool:
    """Whether it is a list of values, and no text, mapping, class or single value."""
    if isinstance(values, str | bytes | Mapping | set | type) or getattr(values, "ndim", 1) == 0:
        return False
    return isinstance(values, Sized)


def rows_of(columns: Mapping[str, Any]) -> int:
    """The common number of rows; 0 without columns. Errors: stats.shape."""
    if not columns:
        return 0
    for name, values in columns.items():
        if isinstance(values, str | bytes | Mapping | set):
            raise MillraceError("stats.shape", f"column {name!r} is a {type(values).__name__}", "give one value a row")
    return same_length("columns", *columns.values())


def absent(value: Any) -> bool:
    """Whether a single value means "not there"."""
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    if isinstance(value, float):
        return value != value
    return isinstance(value, np.generic) and bool(np.asarray(value != value))


def array_of(values: Any) -> NDArray[Any]:
    """A column as an array: of objects where it mixes None or text into something else, which NumPy would turn into
    text, or lists of many lengths."""
    if isinstance(values, np.ndarray):
        return values
    if any(v is None or isinstance(v, str) for v in values):
        return np.fromiter(values, object, len(values))
    try:
        return np.asarray(values)
    except ValueError:
        return np.fromiter(values, object, len(values))


def only_numbers(array: NDArray[Any]) -> bool:
    """Whether an object array holds numbers and missing values alone, and at least one number."""
    found = False
    for value in array.ravel().tolist():
        if absent(value):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            return False
        found = True
    return found


def masked(values: Any) -> tuple[NDArray[Any], int]:
    """The entries that are not masked, as an array, and how many were."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        lost = int(mask.sum()) if mask.ndim == 1 else 0
        return np.asarray(values.compressed() if mask.ndim == 1 else values.filled()), lost
    if isinstance(values, np.ndarray):
        return values, 0
    return array_of(values), 0


def numbers_of(values: Any, name: str) -> tuple[Floats, int]:
    """A numeric column as float64 (rows that are not null,) with NaN left in, and the number of nulls.

    float64 input is returned as it is, not copied. Errors: stats.data, stats.shape.
    """
    array, nulls = plain_numbers(values, name)
    if array.dtype != np.float64:
        with np.errstate(over="ignore"):  # what a wider float holds beyond float64 counts as infinite
            array = array.astype(np.float64)
    return array, nulls


def _float(value: Any) -> float:
    if isinstance(value, np.datetime64 | np.timedelta64):
        raise TypeError("times between other objects: give an array of datetime64")
    return float(value)


def plain_numbers(values: Any, name: str) -> tuple[NDArray[Any], int]:
    """A numeric column without its nulls, in a real dtype of its own (float, int, unsigned), and the number of nulls.

    Errors: stats.data for text or objects that are not numbers, stats.shape for other than one dimension.
    """
    if isinstance(values, Coded):
        raise MillraceError("stats.data", f"column {name!r} holds labels, its cells are numeric",
                            "decode it, or make a layout from today's columns")  # fmt: skip
    array, nulls = masked(values)
    if array.ndim != 1:
        raise MillraceError("stats.shape", f"column {name!r} has shape {array.shape}", "give one number a row")
    kind = array.dtype.kind
    if kind == "O":
        kept = [v for v in array.tolist() if not (v is None or (absent(v) and not isinstance(v, float)))]
        nulls += array.size - len(kept)
        try:
            if set(map(type, kept)) == {int} and min(kept) >= -_LARGEST and max(kept) < _LARGEST:
                array = np.asarray(kept, np.int64)  # an id of 64 bits stays the one it is
            else:
                array = np.asarray([_float(v) for v in kept], np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise _not_numeric(name, error) from None
    elif kind in "mM":
        there = array[~np.isnat(array)]
        nulls += array.size - there.size
        array = _micros(there, name)
    elif kind == "b":
        array = array.view(np.uint8)
    elif kind not in "iuf":
        raise _not_numeric(name, f"dtype {array.dtype}")
    return array, nulls


def _micros(times: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Times or spans as microseconds. Errors: stats.time beyond what 64 bits hold, 290,000 years either way."""
    micros = times.astype(f"{times.dtype.kind}8[us]")
    coarse = np.datetime_data(times.dtype)[0] in ("Y", "M", "W", "D", "h", "m", "s", "ms")
    if coarse and bool((micros.astype(times.dtype) != times).any()):  # NumPy wraps around in silence
        hint = "look for a fill value; a time that is not known is NaT"
        raise MillraceError("stats.time", f"column {name!r} holds a time beyond the year 290,000", hint)
    return micros.astype(np.int64)


def _not_numeric(name: str, why: object) -> MillraceError:
    hint = "its type changed: convert it, or make a new layout from today's columns"
    return MillraceError("stats.data", f"column {name!r} is numeric in its layout, but not here: {why}", hint)


def label(value: Any) -> str:
    """A value of a category as text: whole numbers alike whether int or float, truth as true and false."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def counts(values: Any) -> tuple[list[str], list[int], int]:
    """The different labels of a chunk, how often each came, and how many were missing."""
    lost = 0
    if isinstance(values, Coded):
        codes = np.asarray(values.codes)
        found = np.bincount(codes[codes >= 0].astype(np.intp), minlength=len(values.levels))
        lost = int((codes < 0).sum())
        pairs = [(v, int(c)) for v, c in zip(values.levels, found.tolist(), strict=False) if c]
    else:
        array, lost = masked(values)
        if array.ndim != 1:
            raise MillraceError("stats.shape", f"labels of shape {array.shape}", "give one label a row")
        try:
            plain = array.ravel().tolist()
            if array.dtype.kind == "O" and bool in set(map(type, plain)):  # which a dict takes for 0 and 1
                plain = [label(value) if isinstance(value, bool) else value for value in plain]
            pairs = list(Counter(plain).items())
        except TypeError as error:
            raise MillraceError("stats.data", f"a label that is none: {error}", "give text or numbers") from None
    if not isinstance(values, Coded) and set(map(type, first := [value for value, _ in pairs])) == {str}:
        return first, [count for _, count in pairs], lost
    labels: list[str] = []
    numbers: list[int] = []
    for value, count in pairs:
        if type(value) is not str:
            if absent(value):
                lost += count
                continue
            value = label(value)
        labels.append(value)
        numbers.append(count)
    return labels, numbers, lost


def chunks(values: Any, size: int) -> Any:
    """`values` in slices of `size` rows."""
    if isinstance(values, Coded):
        yield values
        return
    array = array_of(values)
    for start in range(0, len(array), size):
        yield array[start : start + size]


def tally(values: Any) -> Counter[str]:
    """How often each label came in a column, missing ones left out."""
    total: Counter[str] = Counter()
    for chunk in chunks(values, 1 << 16):
        labels, numbers, _ = counts(chunk)
        for value, count in zip(labels, numbers, strict=True):
            total[value] = total.get(value, 0) + count  # a Counter's own way of asking is thrice as slow
    return total


def texts(values: Any, name: str) -> list[str | None]:
    """A text column as a list, None where missing. Errors: stats.data."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        values = np.array(values.data, object)
        values[mask] = None
    array = array_of(values)
    if array.ndim != 1:
        raise MillraceError("stats.shape", f"column {name!r} has shape {array.shape}", "give one text a row")
    found = [None if absent(v) else v for v in array.tolist()]
    wrong = next((v for v in found if v is not None and not isinstance(v, str)), None)
    if wrong is not None:
        raise MillraceError("stats.data", f"column {name!r} is text in its layout, but holds {wrong!r}",
                            "its type changed: convert it, or make a new layout")  # fmt: skip
    return found


def _reals(values: Any, name: str) -> Floats:
    array = plain(values, f"vectors of {name!r}")
    try:
        if array.dtype.kind in "fiubO":
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise _not_numeric(name, error) from None
    raise _not_numeric(name, f"dtype {array.dtype}")


def width_of(values: Any, name: str) -> int:
    """The numbers in each vector of a column."""
    return int(vectors(values, name).shape[1])


def vectors(values: Any, name: str) -> Floats:
    """A column of vectors as float64 (rows, width); a missing one is a row of NaN. Errors: stats.data, stats.shape."""
    if isinstance(values, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(values), np.nan, _reals(values.data, name))
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "fiu":
        return np.asarray(values, np.float64)
    there = [None if v is None else _reals(v, name) for v in values]
    widths = {v.shape for v in there if v is not None}
    if len(widths) > 1 or any(len(s) != 1 for s in widths):
        raise MillraceError("stats.shape", f"column {name!r} has vectors of shapes {sorted(widths)}",
                            "give one width; another model's embeddings are another column")  # fmt: skip
    width = widths.pop()[0] if widths else 0
    nothing = np.full(width, np.nan)
    return np.asarray([nothing if v is None else v for v in there], np.float64).reshape(len(there), width)
