"""What a run may become and what may be written on it. Pure decisions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

from millrace.base.errors import MillraceError
from millrace.tracking.records import OVER, Point, State

KEY_LIMIT = 250
TEXT_LIMIT = 8_000
POINTS_LIMIT = 100_000
STEP_LIMIT = 1 << 62
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_LARGEST = 1.7976931348623157e308
_NEXT: dict[State, tuple[State, ...]] = {
    "queued": ("running", "failed", "cancelled"),
    "running": ("finished", "failed", "cancelled"),
    "finished": (),
    "failed": (),
    "cancelled": (),
}


def next_state(run: str, now: State, to: State) -> State:
    """`to`, if a run may go there. Errors: `run.over`."""
    if to not in _NEXT[now]:
        raise MillraceError("run.over", f"run {run} is {now} and cannot become {to}", "start a new run")
    return to


def check_open(run: str, now: State, what: str) -> None:
    """Errors: `run.over` if nothing more may be logged."""
    if now in OVER:
        raise MillraceError("run.over", f"run {run} is {now}: it takes no more {what}", "start a new run, or set a tag")


def check_id(id: str) -> str:
    """`id` if a program may name its run so. Errors: `request.invalid`."""
    if not _ID.fullmatch(id):
        raise MillraceError("request.invalid", f"{id[:60]!r} is no run id", "26 characters, as millrace.base.ids makes")
    return id


def check_key(kind: str, key: str) -> str:
    """`key` if it may name a parameter, tag or metric. Errors: `name.invalid`."""
    if not 1 <= len(key) <= KEY_LIMIT or not key.isprintable() or "`" in key:
        raise MillraceError(
            "name.invalid",
            f"{key[:60]!r} cannot name a {kind}",
            f"use 1 to {KEY_LIMIT} printable characters without a backtick",
        )
    return key


def check_texts(kind: str, values: Mapping[str, str]) -> None:
    """Errors: `name.invalid`, `request.invalid` for a key or text that is too long."""
    for key, text in values.items():
        check_key(kind, key)
        if len(text) > TEXT_LIMIT:
            raise MillraceError(
                "request.invalid",
                f"{kind} {key!r} has {len(text)} characters",
                f"at most {TEXT_LIMIT}; store longer texts as an output",
            )


def new_params(run: str, have: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `given` that are new. The same value again is nothing new. Errors: `run.param`."""
    for key in given.keys() & have.keys():
        if have[key] != given[key]:
            raise MillraceError(
                "run.param",
                f"run {run} has {key} = {have[key]!r} already, not {given[key]!r}",
                "a parameter does not change within a run: log a metric, or start a new run",
            )
    return {key: value for key, value in given.items() if key not in have}


def stamped(points: Sequence[Point], now: int) -> list[Point]:
    """`points` as they are kept: a time where none was given, infinities as the largest finite numbers.

    Errors: `name.invalid`, `request.invalid` for too many at once, or a step beyond `STEP_LIMIT`.
    """
    if len(points) > POINTS_LIMIT:
        raise MillraceError("request.invalid", f"{len(points)} points at once", f"send at most {POINTS_LIMIT} a call")
    for key in {point.key for point in points}:
        check_key("metric", key)
    for point in points:
        step_of(point.step)
    return [Point(point.key, _finite(point.value), point.step, point.at or now) for point in points]


def step_of(given: Any) -> int:
    """A step as a whole number; one that is written as 2.0 is 2. Errors: `request.invalid` for what is none."""
    if type(given) is int and -STEP_LIMIT <= given <= STEP_LIMIT:
        return given
    step: int | None = None
    if not isinstance(given, bool):
        try:
            step = index(given)
        except TypeError:
            whole = getattr(given, "is_integer", None)
            step = int(given) if callable(whole) and whole() else None
    if step is None or abs(step) > STEP_LIMIT:
        raise MillraceError(
            "request.invalid", f"{str(given)[:80]!r} is no step",
            f"a step is a whole number within ±{STEP_LIMIT}; name each metric: run.log(7, loss=0.3)",
        )  # fmt: skip
    return step


def newest(points: Sequence[Point]) -> dict[str, Point]:
    """Of each key the point with the largest (step, at, value)."""
    found: dict[str, Point] = {}
    for point in points:
        held = found.get(point.key)
        if held is None or _rank(point) >= _rank(held):
            found[point.key] = point
    return found


def _rank(point: Point) -> tuple[int, int, float]:
    return (point.step, point.at, -_LARGEST if point.value is None else point.value)


def _finite(value: float | None) -> float | None:
    if value is None or math.isnan(value):
        return None
    return min(max(float(value), -_LARGEST), _LARGEST)
