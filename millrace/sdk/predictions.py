"""What an endpoint answered, and how labels find it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from millrace.sdk.client import Answer
from millrace.sdk.show import cell, count, table

_SHOWN = 5


class Prediction(NamedTuple):
    """One row's answer: `score` is a number (P of the second class, or the prediction), a list for several classes,
    or None where the version failed, with the reason in `fault`. `event` is its event time in micros, if it was said.
    """

    id: str
    version: int
    score: Any
    fault: str = ""
    event: int | None = None

    def __float__(self) -> float:
        return float(self.score)


class Predictions(Sequence[Prediction]):
    """The answers to the rows of one request, in their order."""

    def __init__(self, model: str, answer: Answer, event: Sequence[int] | None) -> None:
        self.model = model
        self.ids, self.versions, self.scores, self.faults = answer
        self.event = None if event is None else list(event)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Prediction: ...
    @overload
    def __getitem__(self, place: slice) -> list[Prediction]: ...
    def __getitem__(self, place: int | slice) -> Prediction | list[Prediction]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        return Prediction(
            self.ids[place], self.versions[place], self.scores[place], self.faults.get(place, ""),
            self.event[place] if self.event is not None else None,
        )  # fmt: skip

    @property
    def score(self) -> Any:
        """The score of the only row. Errors: `ValueError` if there are several; take `scores`."""
        (only,) = self.scores
        return only

    def __float__(self) -> float:
        return float(self.score)

    def __repr__(self) -> str:
        by = ", ".join(f"{self.model}@{number}" for number in sorted(set(self.versions)))
        shown = [short(score) for score in self.scores[:_SHOWN]] + ["…"] * (len(self) > _SHOWN)
        failed = f", {len(self.faults)} failed" if self.faults else ""
        if len(self) == 1:
            return f"<prediction {shown[0]} by {by}, id {self.ids[0]}>"
        return f"<{count(len(self), 'prediction')} by {by}: {', '.join(shown)}{failed}>"

    def _repr_html_(self) -> str:
        rows: Iterator[tuple[Any, ...]] = ((cell(p.score), f"{self.model}@{p.version}", p.id, p.fault) for p in self)
        return table(("score", "by", "id", "fault"), rows)


def short(score: Any) -> str:
    """A score to three digits."""
    if isinstance(score, list):
        return "[" + ", ".join(short(one) for one in score) + "]"
    return "–" if score is None else f"{score:.3f}" if abs(score) < 1 else f"{score:.4g}"
