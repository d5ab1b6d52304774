"""The point-in-time join against a reader who goes through all rows, one question at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace.base.clock import MINUTE
from millrace.base.errors import MillraceError
from millrace.features import join
from tests.features.conftest import T0, World

WINDOWS = [
    {"name": "n", "how": "count", "span_s": 600},
    {"name": "total", "how": "sum", "span_s": 600, "column": "x"},
    {"name": "mean", "how": "mean", "span_s": 1800, "column": "x"},
    {"name": "high", "how": "share", "span_s": 1800, "column": "x", "above": 1.0},
    {"name": "least", "how": "min", "span_s": 600, "column": "x"},
    {"name": "most", "how": "max", "span_s": 1800, "column": "x"},
    {"name": "last", "how": "last", "span_s": 600, "column": "x"},
]
LATEST = {"columns": ["x", "word"], "age": "age_s", "ttl_s": 900}

Row = tuple[Any, ...]


def slowly(rows: Sequence[Row], asked: Sequence[tuple[Any, float]], over: str, ttl: float) -> dict[str, list[Any]]:
    """The definition, word for word: rows (id, k, event, arrived, x, word), times in minutes."""
    found: dict[str, list[Any]] = {}
    for key, at in asked:
        newest: dict[Any, Row] = {}
        for row in rows:
            if row[3] <= at and (row[0] not in newest or row[3] > newest[row[0]][3]):
                newest[row[0]] = row
        known = [row for row in newest.values() if row[1] == key and key is not None and row[2] <= at]
        known.sort(key=lambda row: (row[2], row[3], *_rank(row)))
        last = known[-1] if known and at - known[-1][2] <= ttl else None
        _add(found, "x", last and last[4])
        _add(found, "word", last and last[5])
        _add(found, "age_s", last and (at - last[2]) * 60)
        for window in WINDOWS:
            time = [row[2] if over == "event" else max(row[2], row[3]) for row in known]
            order = sorted(range(len(known)), key=lambda i: (time[i], known[i][2], known[i][3], *_rank(known[i])))
            old = (at * 60 - int(window["span_s"])) // 60  # the hop is a minute
            values = [known[i][4] for i in order if time[i] > old]
            there = [value for value in values if value is not None]
            _add(found, str(window["name"]), _fold(str(window["how"]), values, there))
    return found


def _rank(row: Row) -> tuple[Any, ...]:
    return (-1e9 if row[4] is None else row[4], "" if row[5] is None else row[5])


def _add(found: dict[str, list[Any]], name: str, value: Any) -> None:
    found.setdefault(name, []).append(value)


def _fold(how: str, values: Sequence[Any], there: Sequence[float]) -> Any:
    if how == "count":
        return len(values)
    if not there:
        return None
    if how == "last":
        return there[-1]
    summed = float(np.add.reduceat(np.array(there), [0])[0])
    return {
        "sum": summed, "mean": summed / len(there), "min": min(there), "max": max(there),
        "share": sum(value > 1.0 for value in there) / len(there),
    }[how]  # fmt: skip


CASES: list[tuple[str, list[Row], list[tuple[Any, float]], list[Any]]] = [
    ("the newest that had arrived", [(1, "a", 0, 5, 1, None), (2, "a", 1, 9, 2, None)], [("a", 6)], [1.0]),
    ("an arrival at the very moment counts", [(1, "a", 0, 5, 1, None)], [("a", 5)], [1.0]),
    ("late rows are seen late", [(1, "a", 0, 9, 1, None)], [("a", 5), ("a", 9)], [None, 1.0]),
    ("an older event changes nothing", [(1, "a", 3, 3, 1, None), (2, "a", 2, 4, 2, None)], [("a", 5)], [1.0]),
    ("of one moment's rows the one that says more",
     [(1, "a", 3, 3, 1, "x"), (2, "a", 3, 3, None, None)], [("a", 5)], [1.0]),
    ("ties go to the newest arrival", [(1, "a", 3, 3, 1, None), (2, "a", 3, 4, 2, None)], [("a", 5)], [2.0]),
    ("the time to live is inclusive", [(1, "a", 0, 0, 1, None)], [("a", 15), ("a", 15.1)], [1.0, None]),
    ("rows of the future are not seen", [(1, "a", 9, 9, 1, None)], [("a", 5)], [None]),
    ("an event of the future is not seen, though known", [(1, "a", 9, 1, 1, None)], [("a", 5), ("a", 9)], [None, 1.0]),
    ("another key is another entity", [(1, "a", 0, 0, 1, None)], [("b", 5)], [None]),
    ("null keys match nothing, not even null", [(1, None, 0, 0, 1, None)], [(None, 5), ("a", 5)], [None, None]),
    ("a correction replaces", [(1, "a", 0, 1, 1, None), (1, "a", 0, 7, 2, None)], [("a", 5), ("a", 8)], [1.0, 2.0]),
    ("a value corrected to null stays null", [(1, "a", 0, 1, 1, None), (1, "a", 0, 7, None, None)], [("a", 8)], [None]),
    ("a row corrected away leaves the one before",
     [(1, "a", 0, 0, 1, None), (2, "a", 2, 2, 2, None), (2, "b", 2, 4, 2, None)],
     [("a", 3), ("a", 5), ("b", 5)], [2.0, 1.0, 2.0]),
    ("the same row twice is one row", [(1, "a", 0, 1, 1, None)], [("a", 5)], [1.0]),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "asked", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_edge_cases_offline_and_online(
    world: World, rows: list[Row], asked: list[tuple[Any, float]], wanted: list[Any]
) -> None:
    world.view(**LATEST, windows=WINDOWS)
    for row in rows:
        world.push([row])
    assert world.online(asked)["x"] == wanted
    assert world.offline(asked)["x"] == wanted
    assert world.online(asked) == slowly(rows, asked, "event", 15)


def rows_of_a_stream() -> st.SearchStrategy[list[Row]]:
    minutes = st.integers(0, 60).map(lambda half: half / 2)
    row = st.tuples(
        st.integers(0, 12), st.sampled_from(["a", "b", None]), minutes, minutes, st.none() | st.floats(-3, 3, width=16),
        st.sampled_from(["x", None]),
    )  # fmt: skip
    unique = st.lists(row, min_size=1, max_size=24, unique_by=lambda row: (row[0], row[3]))
    return unique


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_a_stream(), over=st.sampled_from(["event", "arrival"]), seal=st.integers(0, 3), data=st.data())
def test_training_and_online_agree_with_the_definition(
    worlds: Callable[[], World], rows: list[Row], over: str, seal: int, data: st.DataObject
) -> None:
    world = worlds()
    world.view(**LATEST, windows=WINDOWS, over=over)
    asked = [(key, at / 2) for key in ("a", "b", "c", None) for at in range(0, 70, 5)]
    pushed = data.draw(st.permutations(rows))
    world.online(asked)
    for place, row in enumerate(pushed):
        world.push([row])
        if place % 4 == seal:
            world.online(asked[:3])
        if place == 10:
            world.platform.call("dataset.seal", {"dataset": "rows"})
    wanted = slowly(rows, asked, over, 15)
    assert world.online(asked) == wanted
    world.restart()
    assert world.online(asked) == wanted
    assert world.offline(asked) == wanted
    assert world.online(asked) == wanted
    first = data.draw(st.integers(0, 30))
    few = [place for place, (_, at) in enumerate(asked) if first <= at <= first + 3]  # of the rows only some matter
    assert world.offline([asked[place] for place in few]) == {
        name: [values[place] for place in few] for name, values in wanted.items()
    }


def test_values_that_are_no_whole_numbers_agree_to_the_last_bit(world: World) -> None:
    world.view(windows=WINDOWS, columns=["x"])
    random = np.random.default_rng(7)
    rows = [(n, "ab"[n % 2], n / 4, n / 4, random.normal(), None) for n in range(120)]
    for start in range(0, 120, 7):
        world.push(rows[start : start + 7])
    asked = [(key, at) for key in "ab" for at in (3.3, 11.7, 28.0, 30.0)]
    assert world.online(asked) == world.offline(asked)


@pytest.mark.parametrize("over", ["event", "arrival"])
def test_an_answer_is_exact_however_old_its_moment_is(world: World, over: str) -> None:
    world.view(columns=["x"], windows=WINDOWS, over=over, ttl_s=3600)
    rows = [(n, "ab"[n % 2], n, n + 5, float(n % 7), None) for n in range(900)]
    for start in range(0, 900, 150):
        world.push(rows[start : start + 150])
        world.online([("a", start), ("b", start)])
    asked = [(key, at) for key in "abz" for at in (905 - 360, 600, 750.5, 905, 10, 100.5, 400)]
    answered = world.online(asked)
    assert answered == world.offline(asked)
    assert min(answered["n"][4:6]) >= 2  # of "a" at 10 and at 100.5
    world.push([(1000 + n, "ab"[n % 2], n, n + 5, 9.0, None) for n in range(0, 900, 7)])  # which came very late
    assert world.online(asked) == world.offline(asked)


def test_a_second_engine_agrees_on_the_newest_row(world: World) -> None:
    world.view(columns=["x"])
    random = np.random.default_rng(3)
    rows = [(n, "abc"[n % 3], float(n), float(n), float(n), None) for n in range(90)]
    world.push(rows)
    asked = [("abc"[n % 3], float(at)) for n, at in enumerate(np.sort(random.integers(0, 100, 40)))]
    left = pl.DataFrame({"k": [k for k, _ in asked], "at": [at for _, at in asked]})
    right = pl.DataFrame({"k": [r[1] for r in rows], "at": [r[2] for r in rows], "x": [r[4] for r in rows]})
    wanted = left.join_asof(right, on="at", by="k", check_sortedness=False)["x"].to_list()
    assert world.offline(asked)["x"] == wanted


def test_a_key_that_slept_longer_than_rows_are_kept_wakes_up(world: World) -> None:
    """Rows wait unordered until somebody asks: by then all of them may be too old to be kept."""
    world.view(windows=WINDOWS, over="arrival")
    early = [(number, "a", number / 10, number / 10, 1.0, None) for number in range(70)]
    world.push(early)
    assert world.online([("b", 10)])["n"] == [0]
    world.push([(number, "b", 600 + number, 600 + number, 1.0, None) for number in range(100, 130)])
    late = [("a", 729), ("b", 729)]
    assert world.online(late)["n"] == [0, 10]
    world.push([(200, "a", 729.5, 729.5, 3.0, None)])
    assert world.online([("a", 730)])["total"] == [3]
    assert world.online([("a", 730)]) == world.offline([("a", 730)])


def test_a_naive_join_sees_what_was_not_known(world: World) -> None:
    world.view(columns=["x"], windows=WINDOWS[:1])
    world.push([(1, "a", 0, 20, 1, None), (2, "a", 1, 30, 2, None), (2, "a", 1, 40, 3, None)])
    assert world.offline([("a", 5)]) == {"x": [None], "n": [0]}
    assert world.offline([("a", 5)], naive=True) == {"x": [3.0], "n": [2]}


def test_training_rows_are_never_lost_and_labels_count_once_they_arrived(world: World) -> None:
    platform = world.platform
    world.view(columns=["x"])
    world.push([(1, "a", 0, 0, 1, None)])
    platform.call("dataset.make", {"name": "labels", "key": ["q"], "event": "at", "arrived": "known"})
    asked = {"q": [1, 2, 3, 4], "at": [T0, T0 + MINUTE, T0 - MINUTE, T0 + 9 * MINUTE], "k": ["a", "zz", "a", None]}
    labels = {"q": [1, 2, 2], "at": [T0] * 3, "known": [T0 + 1, T0 + 2, T0 + 60 * MINUTE], "y": [1, 0, 1]}
    platform.call("dataset.push", {"tables": {"asked": asked, "labels": labels}})
    spine, rows, marks = (platform.call("dataset.seal", {"dataset": name}) for name in ("asked", "rows", "labels"))
    view = platform.call("view.get", {"view": "v"})
    found = join.training(
        platform.ground.blobs, spine, [(view, rows)], until=T0 + 10 * MINUTE, labels=marks, label_columns=("y",)
    )
    assert found["q"].tolist() == [3, 1, 2, 4], "in order of the moment"
    np.testing.assert_array_equal(found["v__x"], [np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(found["y"], [np.nan, 1, 0, np.nan])
    later = join.training(platform.ground.blobs, spine, labels=marks, label_columns=("y",))
    np.testing.assert_array_equal(later["y"], [np.nan, 1, 1, np.nan])
    part = join.training(platform.ground.blobs, spine, since=T0, until=T0 + MINUTE)
    assert part["q"].tolist() == [1]


def test_a_missing_key_column_is_named(world: World) -> None:
    world.view(columns=["x"])
    with pytest.raises(MillraceError, match="needs the key 'k'"):
        world.platform.call("view.read", {"views": ["v"], "keys": {"kk": ["a"]}})
