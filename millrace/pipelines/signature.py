"""What a model takes and gives: its columns in order, where each comes from, and how text becomes a number.

The signature is learned once, from the rows a model was fitted on, and travels with it. Training, scoring in batches
and one online request all pass through `encode`, so they see the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from millrace.base.errors import MillraceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Task = Literal["binary", "classes", "regression"]


class Input(Struct, frozen=True):
    """One column. `view` is empty for a column of the request, else the feature view that fills ``view__feature``.

    A text column has its `vocabulary`, sorted; its number is the place in it, and NaN for what is missing or unseen.
    """

    name: str
    kind: Literal["number", "text"]
    vocabulary: tuple[str, ...] = ()
    view: str = ""


class View(Struct, frozen=True):
    """A feature view that a model was fitted with: its name, the digest of its definition, and its keys."""

    name: str
    digest: str
    keys: tuple[str, ...]


class Signature(Struct, frozen=True):
    """A model's inputs in the order of its matrix, its task, and its classes (of "binary" and "classes").

    `target` is the label column it was fitted on; `views` are needed to answer a request.
    """

    inputs: tuple[Input, ...]
    target: str = ""
    task: Task = "binary"
    classes: tuple[Any, ...] = ()
    views: tuple[View, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """The columns that a request must bring: those of no view, and the views' keys."""
        own = [item.name for item in self.inputs if not item.view]
        keys = [key for view in self.views for key in view.keys]
        return tuple(dict.fromkeys((*own, *keys)))


def learn(columns: Mapping[str, NDArray[Any]], names: Iterable[str], views: Iterable[View] = ()) -> tuple[Input, ...]:
    """The inputs for these columns of training rows, each array (n,). Errors: `frame.column`."""
    known = {view.name for view in views}
    found = []
    for name in names:
        if name not in columns:
            raise MillraceError("frame.column", f"there is no column {name!r}", "known: " + ", ".join(columns))
        prefix = name.partition("__")[0]
        view = prefix if "__" in name and prefix in known else ""
        values = columns[name]
        if values.dtype.kind in "OUT":
            words = tuple(sorted({str(value) for value in values if value is not None and value == value}))
            found.append(Input(name, "text", words, view))
        else:
            found.append(Input(name, "number", (), view))
    return tuple(found)


def encode(inputs: Iterable[Input], columns: Mapping[str, Any]) -> NDArray[np.float32]:
    """The matrix that a model is fitted on and asked with: (n, number of inputs), float32, NaN where unknown.

    Errors: `frame.column` for a column that is missing or cannot be read as numbers.
    """
    import numpy as np

    inputs = tuple(inputs)
    parts = [_numbers(item, columns) for item in inputs]
    rows = len(parts[0]) if parts else 0
    if any(len(part) != rows for part in parts):
        raise MillraceError("frame.column", "the columns have different lengths", "give every column one value a row")
    matrix = np.empty((rows, len(parts)), np.float32)
    for place, part in enumerate(parts):
        matrix[:, place] = part
    return matrix


def _numbers(item: Input, columns: Mapping[str, Any]) -> Any:
    import numpy as np

    if item.name not in columns:
        raise MillraceError("frame.column", f"the column {item.name!r} is missing", "known: " + ", ".join(columns))
    values = columns[item.name]
    if item.kind == "text":
        place = {word: float(number) for number, word in enumerate(item.vocabulary)}
        return np.fromiter((place.get(str(value), np.nan) for value in values), np.float64, len(values))
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as fault:
        raise MillraceError(
            "frame.column", f"the column {item.name!r} is not of numbers: {fault}", "send numbers, null where unknown"
        ) from fault
