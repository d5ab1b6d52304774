"""Every public function of `millrace.stats` with what has no business there: None, text, mappings, other arrays, other
states, and states with nonsense in a field. A new function is walked as soon as `GOOD` has a call of it, and it must.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from millrace import stats
from millrace.base.errors import MillraceError
from tests.stats.test_bad_input import DAY_US, GOOD, N, cells, fitted, real, refused_or, sound, table, unit


class Odd:
    """Of no type that anything knows."""


FAR = np.full(N, np.datetime64(300_000, "Y"))
WRONG: dict[str, Any] = {
    "None": None, "text": "abc", "bytes": b"abc", "a mapping": {"a": 1}, "a set": {1, 2}, "an object": Odd(),
    "a mapping of mappings": {"a": {"b": 1}}, "texts": ["a", "b"], "tuples": [("a", 1)], "nothings": [None, None],
    "nothing": [], "two numbers": (1, 2), "objects": np.array([1.0, None] * (N // 2), object),
    "0-d": np.array(0.5), "2-d": np.full((N, 2), 0.5), "3-d": np.full((2, 2, 2), 0.5), "complex": 1j,
    "complexes": np.full(N, 1j), "dates": np.full(N, np.datetime64("2013-01-01")), "far dates": FAR,
    "a date": np.datetime64("2013-01-01"), "no date": np.datetime64("NaT"), "words": np.full(N, "abc"), "True": True,
    "truths": np.ones(N, bool), "-5": -5, "0": 0, "10 ** 400": 10**400, "NaN": math.nan, "inf": math.inf,
    "-inf": -math.inf, "another state": stats.rate_start(0.01), "a class": Odd, "a function": len,
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "None": None, "text": "abc", "NaN": math.nan, "inf": math.inf, "-5": -5, "nothing": np.zeros(0),
    "unknown": np.full(3, np.nan),
}  # fmt: skip
COLUMNS = (*WRONG, "lists", "lists and text", "spans")
MORE = {"lists": [[1.0], [1.0, 2.0]] * (N // 2), "lists and text": [[1.0], "a"] * (N // 2),
        "spans": np.full(N, np.timedelta64(300_000, "Y"))}  # fmt: skip
KINDS = (None, "number", "category", "text", "vector", "image")


def replaced(state: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(state, **changes) if isinstance(state, msgspec.Struct) else state._replace(**changes)


def fields(value: Any) -> tuple[str, ...]:
    return getattr(value, "_fields", None) or getattr(value, "__struct_fields__", ())


def wrong_calls(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    good = GOOD[name]
    for key in inspect.signature(getattr(stats, name)).parameters:
        if key == "others":
            continue
        for how, value in WRONG.items():
            if not (key == "learner" and callable(value)):  # what a caller's function raises is the caller's own
                yield f"{key}: {how}", good | {key: value}
        for field in () if isinstance(good.get(key), type) else fields(good.get(key)):
            for how, value in FIELDS.items():
                yield f"{key}.{field}: {how}", good | {key: replaced(good[key], **{field: value})}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_has_no_business_there_is_refused_or_answered_without_nan(name: str) -> None:
    sound(getattr(stats, name)(**GOOD[name]), name)
    troubles = []
    for how, given in wrong_calls(name):
        try:
            sound(refused_or(name, given), name)
        except Exception as error:
            troubles.append(f"{how}: {type(error).__name__}: {error}")
    assert troubles == []


@pytest.mark.parametrize("how", COLUMNS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_column_is_counted_whole_or_refused(how: str, kind: str | None) -> None:
    """Whatever a column is, each of its rows lands in one cell of each part."""
    columns = {"x": (WRONG | MORE)[how]}
    made = refused_or("layout", {"columns": columns, "kinds": {"x": kind} if kind else None})
    for layout in (made, cells):
        counted = layout and refused_or("profile", {"columns": columns, "layout": layout})
        if counted:
            assert {part.rows for part in counted.parts.values()} == {counted.rows}
            assert stats.unpack_profile(stats.pack_profile(counted)) == counted


@pytest.mark.parametrize("how", WRONG)
def test_a_coded_column_says_what_it_cannot_be(how: str) -> None:
    for given in ((WRONG[how], ["a", "b"]), ([0, 1], WRONG[how])):
        try:
            made = stats.Coded(*given)
        except MillraceError as error:
            assert error.code in ("stats.data", "stats.shape") and error.hint
        else:
            assert len(made) == len(given[0])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: stats.arm([1.0, 0.0], events=3), "stats.data"),
        (lambda: stats.arm([1.0, 0.0], events=-1), "stats.data"),
        (lambda: stats.arm([1.0, 0.0], events=True), "stats.data"),
        (lambda: stats.difference_verdict(stats.Arm(100, math.nan, 0.1, 40), stats.arm(real), 0.1, 0.05), "stats.data"),
        (lambda: stats.difference_verdict(stats.Arm(100, 0.1, -0.1, 40), stats.arm(real), 0.1, 0.05), "stats.data"),
        (lambda: stats.difference_verdict(stats.Arm(10, 0.1, 0.1, 40), stats.arm(real), 0.1, 0.05), "stats.data"),
        (lambda: stats.profile(None, cells), "stats.data"),
        (lambda: stats.profile(table, None), "stats.data"),
        (lambda: stats.profile({"x": FAR}, cells), "stats.time"),
        (lambda: stats.unpack_profile(None), "stats.data"),
        (lambda: stats.metric(None), "stats.data"),
        (lambda: stats.guard_verdict(stats.guard_start(), None), "stats.alpha"),
        (lambda: stats.guard_verdict(stats.rate_start(0.1), 0.05), "stats.data"),
        (lambda: stats.guard_verdict(stats.guard_start(), 0.05, unit="rows"), "stats.data"),
        (lambda: stats.first_errors({"a": -5}, [("a", True, 0.5)]), "stats.weight"),
        (lambda: stats.first_errors({}, ["abc"]), "stats.shape"),
        (lambda: stats.merge_profiles(stats.empty_profile(cells), None), "stats.data"),
        (lambda: stats.worse_by_blocks(stats.Blocks([0], [1], [0.5], []), 0.0, 0.1, 0.05), "stats.shape"),
        (lambda: stats.block_test(GOOD["block_test"]["blocks"], 0.05, side="up", claim=""), "stats.data"),
        (lambda: stats.pack([1, 2]), "stats.data"),
        (lambda: stats.unpack(stats.Guard, stats.pack(stats.guard_start()._replace(peak=math.nan))), "stats.state"),
        (lambda: stats.Layout.unpack(None), "stats.state"),
    ],
)
def test_the_error_names_what_was_given(call: Any, code: str) -> None:
    with pytest.raises(MillraceError) as fault:
        call()
    assert fault.value.code == code and fault.value.message and fault.value.hint


def test_features_that_are_not_known_pass_the_door() -> None:
    """A learner may take NaN; a season's distances and a detector's first bound are not known at first."""
    holed = stats.Window(unit, np.where(np.arange(N) % 3, real, np.nan)[:, None])
    assert stats.estimate(fitted, holed, 0.05)
    season, _ = stats.season_update(stats.season_start(), 0, 3.0, 0.1)
    assert np.isnan(season.apart).any()
    assert stats.season_update(season, DAY_US, 3.0, 0.1)
    assert math.isinf(stats.moving_start().low)
    assert stats.moving_update(stats.moving_start(), unit).n == N


def test_a_function_behind_the_door_is_the_one_of_its_file() -> None:
    import pickle

    for name in GOOD:
        called = getattr(stats, name)
        own = inspect.unwrap(called)
        assert own is not called
        assert inspect.signature(called) == inspect.signature(own)
        assert pickle.loads(pickle.dumps(called)) is called


def test_the_error_of_a_kind_has_its_article_and_that_of_a_margin_an_example_of_its_size() -> None:
    guard: Any = stats.guard_start()
    with pytest.raises(MillraceError) as fault:
        stats.merge_errors(guard, None)
    assert (fault.value.message, fault.value.hint) == ("a is a Guard", "give an Errors")
    for call, said in [
        (lambda: stats.guard_start(-1), "above 0 and below 1000, such as 1"),
        (lambda: stats.latency_start([10.0], -1), "above 0 and below 1000, such as 1"),
        (lambda: stats.bet_start(-1), "above 0 and below 1, such as 0.005"),
        (lambda: stats.fairness_verdict(GOOD["fairness_verdict"]["gap"], -1), "above 0, such as 0.005"),
    ]:
        with pytest.raises(MillraceError) as fault:
            call()
        assert fault.value.hint.endswith(f"a number {said}")
