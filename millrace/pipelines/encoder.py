"""`signature.encode` prepared once for a model, for requests of few rows: the same numbers at a tenth of the cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millrace.base.errors import MillraceError
from millrace.pipelines.signature import Input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FEW = 32
_NAN = float("nan")


class Encoder:
    """The inputs of a model, with a place for every word. Safe between threads."""

    def __init__(self, inputs: Iterable[Input]) -> None:
        self.inputs = tuple(inputs)
        self.names = tuple(item.name for item in self.inputs)
        self._places: tuple[dict[str, float] | None, ...] = tuple(
            {word: float(place) for place, word in enumerate(item.vocabulary)} if item.kind == "text" else None
            for item in self.inputs
        )
        self._words = tuple((place, places) for place, places in enumerate(self._places) if places is not None)

    def matrix(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]], rows: int) -> NDArray[np.float32]:
        """What a model is asked with: (rows, inputs) float32, NaN where unknown. Each column has `rows` values.

        Errors: `frame.column` for a column that is missing or cannot be read as numbers.
        """
        import numpy as np

        if rows == 1:
            return self._row(columns)
        if rows > _FEW:
            found = np.empty((rows, len(self.names)), np.float32)
            for number, (name, places) in enumerate(zip(self.names, self._places, strict=True)):
                found[:, number] = self._many(name, places, columns)
            return found
        numbers = [self._numbers(name, place, columns) for name, place in zip(self.names, self._places, strict=True)]
        return np.array(numbers, np.float32).reshape(len(self.names), rows).T.copy()

    def _many(self, name: str, places: dict[str, float] | None, columns: Mapping[str, Any]) -> Any:
        """A column of many rows: NumPy reads numbers faster, but not among nulls."""
        import numpy as np

        values = columns.get(name)
        if places is None and values is not None:
            try:
                return np.asarray(values, np.float64)
            except (TypeError, ValueError):
                pass
        return self._numbers(name, places, columns)

    def _row(self, columns: Mapping[str, Any]) -> NDArray[np.float32]:
        import numpy as np

        try:
            cells = [columns[name][0] for name in self.names]
            for place, places in self._words:
                cells[place] = places.get(str(cells[place]), _NAN)
            return np.array([cells], np.float64).astype(np.float32)  # where None is NaN
        except (KeyError, TypeError, ValueError):
            numbers = [
                self._numbers(name, place, columns) for name, place in zip(self.names, self._places, strict=True)
            ]
            return np.array(numbers, np.float32).T.copy()

    def _numbers(self, name: str, places: dict[str, float] | None, columns: Mapping[str, Any]) -> list[float]:
        values = columns.get(name)
        if values is None:
            raise MillraceError("frame.column", f"the column {name!r} is missing", "known: " + ", ".join(columns))
        if places is not None:
            return [places.get(value if isinstance(value, str) else str(value), _NAN) for value in values]
        try:
            return [_NAN if value is None else float(value) for value in values]
        except (TypeError, ValueError) as fault:
            raise MillraceError(
                "frame.column", f"the column {name!r} is not of numbers: {fault}", "send numbers, null where unknown"
            ) from fault
