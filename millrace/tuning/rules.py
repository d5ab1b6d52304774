"""May this space be searched, what is tried first, and which trial is best? Pure decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from millrace.base.errors import MillraceError
from millrace.tracking.records import OVER, State
from millrace.tuning.records import Choice, Range, Study, Trial


def check_space(space: Mapping[str, Range]) -> None:
    """Errors: `study.space` for an empty one, or a range that holds nothing."""
    if not space:
        raise _bad("there is nothing to search over", "name at least one parameter with a range")
    for name, within in space.items():
        if isinstance(within, Choice):
            if not within.options:
                raise _bad(f"{name} has no options", "give at least one")
        elif not within.low <= within.high:
            raise _bad(f"{name} from {within.low} to {within.high} holds nothing", "give the smaller number first")
        elif within.log and within.low <= 0:
            raise _bad(f"{name} from {within.low} has no logarithm", "start above 0, or leave out log")


def first(space: Mapping[str, Range], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The default configuration, as far as the space holds it; {} unless it is whole."""
    found = {
        name: defaults[name] for name, within in space.items() if name in defaults and holds(within, defaults[name])
    }
    return found if len(found) == len(space) else {}


def holds(within: Range, value: Any) -> bool:
    """Whether a value lies in a range."""
    if isinstance(within, Choice):
        return any(type(value) is type(option) and value == option for option in within.options)
    return isinstance(value, int | float) and not isinstance(value, bool) and within.low <= value <= within.high


def counts(value: float | None) -> bool:
    """Whether this is the value of a trial: nothing is better or worse than what is no finite number."""
    return value is not None and math.isfinite(value)


def told(study: Study, trial: Trial, state: State, metrics: Mapping[str, float | None]) -> Trial:
    """The trial by its run's state and metrics."""
    value = metrics.get(study.metric) if state in OVER else None
    kept = value if counts(value) else None
    return structs.replace(trial, state="failed" if state == "finished" and kept is None else state, value=kept)


def best(study: Study, trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the best value; the earliest of several."""
    known = [trial for trial in trials if trial.state == "finished" and trial.value is not None]
    sign = -1.0 if study.maximize else 1.0
    return min(known, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def same_search(one: Study, other: Study) -> bool:
    """Whether two studies search the same; the number of trials may grow."""
    return (one.space, one.metric, one.maximize, one.pipeline, one.params, one.sampler, one.seed) == (
        other.space, other.metric, other.maximize, other.pipeline, other.params, other.sampler, other.seed,
    )  # fmt: skip


def _bad(message: str, hint: str) -> MillraceError:
    return MillraceError("study.space", message, hint)
