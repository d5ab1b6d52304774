"""The search language against a plain interpreter over dictionaries."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.tracking.columns import Columns, Row
from millrace.tracking.grammar import (
    NESTED,
    TERMS,
    Among,
    Both,
    Compare,
    Either,
    Field,
    Null,
    Order,
    parse,
    parse_order,
)

DEPTH, RMSE, TEAM = Field("params", "depth"), Field("metrics", "rmse"), Field("tags", "team")


def test_the_sentence_of_the_documentation() -> None:
    tree = parse("""metrics.rmse < .2 and params.depth > 6 and tags.team = "a" """)
    first = Both(Compare(RMSE, "<", 0.2), Compare(DEPTH, ">", 6.0))
    assert tree == Both(first, Compare(TEAM, "=", "a"))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("params.`odd key` != 'b'", Compare(Field("params", "odd key"), "!=", "b")),
        ("state in ('failed', 'cancelled')", Among(Field("run", "state"), ("failed", "cancelled"), False)),
        ("params.depth not in (1, 2)", Among(DEPTH, (1.0, 2.0), True)),
        ("metrics.rmse is not null", Null(RMSE, False)),
        ("STARTED >= '1970-01-01T00:00:01Z'", Compare(Field("run", "started"), ">=", 1e6)),
        ("params.flag = TRUE", Compare(Field("params", "flag"), "=", True)),
        ("metrics.rmse == -1e-3", Compare(RMSE, "=", -0.001)),
    ],
)
def test_what_is_read(text: str, tree: Any) -> None:
    assert parse(text) == tree


def test_or_binds_weaker_than_and() -> None:
    tree = parse("params.depth=1 or params.depth=2 and tags.team='a'")
    assert tree == Either(Compare(DEPTH, "=", 1.0), Both(Compare(DEPTH, "=", 2.0), Compare(TEAM, "=", "a")))


def test_orders() -> None:
    assert parse_order("metrics.rmse, started desc") == [Order(RMSE, False), Order(Field("run", "started"), True)]
    assert parse_order("") == [] and parse("  ") is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("metric.rmse < 1", "did you mean 'metrics'"),
        ("stat = 'a'", "did you mean 'state'"),
        ("metrics.rmse <", "not the end"),
        ("metrics.rmse < 1 tags.a = 'b'", "an operator or the end"),
        ("(metrics.rmse < 1", "')'"),
        ("tags.team like 3", "a text in quotes"),
        ("params.a ; drop", "an operator was expected, not ';'"),
        ("params.a in ()", "a number or a text"),
        ("started > 'soon'", ""),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, part: str) -> None:
    with pytest.raises(MillraceError) as caught:
        parse(text)
    assert caught.value.code in ("search.invalid", "request.invalid")
    assert part in str(caught.value)


runs = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            DEPTH: st.one_of(st.integers(0, 4), st.sampled_from(["a", "ab", "b"])),
            RMSE: st.floats(-2, 2, allow_nan=False) | st.just(math.nan),
            TEAM: st.sampled_from(["a", "ab", "b", "B"]),
        },
    ),
    max_size=25,
)
values = st.one_of(st.integers(-1, 3).map(float), st.sampled_from(["a", "ab", "b"]))
compares = st.builds(
    Compare, st.sampled_from([DEPTH, RMSE, TEAM]), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values
)
amongs = st.builds(
    Among, st.sampled_from([DEPTH, TEAM]), st.lists(values, min_size=1, max_size=3).map(tuple), st.booleans()
)
nulls = st.builds(Null, st.sampled_from([DEPTH, RMSE, TEAM]), st.booleans())
trees = st.recursive(
    compares | amongs | nulls,
    lambda inner: st.builds(Both, inner, inner) | st.builds(Either, inner, inner),
    max_leaves=6,
)


def plainly(tree: Any, run: dict[Field, Any]) -> bool:
    if isinstance(tree, Both):
        return plainly(tree.left, run) and plainly(tree.right, run)
    if isinstance(tree, Either):
        return plainly(tree.left, run) or plainly(tree.right, run)
    if isinstance(tree, Null):
        return (tree.field not in run) == tree.absent
    if tree.field not in run:
        return False
    have = run[tree.field]
    if isinstance(tree, Among):
        return any(plainly(Compare(tree.field, "=", value), run) for value in tree.values) != tree.absent
    if isinstance(have, str) != isinstance(tree.value, str):
        return False
    return {
        "=": have == tree.value, "!=": have != tree.value, "<": have < tree.value,
        "<=": have <= tree.value, ">": have > tree.value, ">=": have >= tree.value,
    }[tree.sign]  # fmt: skip


@pytest.mark.slow
@given(runs, trees)
def test_columns_find_what_a_plain_loop_finds(rows: list[dict[Field, Any]], tree: Any) -> None:
    columns = Columns()
    columns.update((Row(f"{n:05}", row) for n, row in enumerate(rows)), 1)
    wanted = [f"{n:05}" for n, row in enumerate(rows) if plainly(tree, row)]
    assert columns.find(tree, [], "", 100) == (wanted[::-1], len(wanted))


@pytest.mark.slow
@given(runs, st.booleans(), st.integers(1, 7))
def test_order_is_stable_and_pages_join(rows: list[dict[Field, Any]], down: bool, page: int) -> None:
    columns = Columns()
    columns.update((Row(f"{n:05}", row) for n, row in enumerate(rows)), 1)
    orders = [Order(RMSE, down)]
    found = columns.find(None, orders, "", 1_000)
    assert found is not None
    whole, total = found
    assert total == len(rows) and sorted(whole) == [f"{n:05}" for n in range(len(rows))]
    numbers = [rows[int(id)].get(RMSE) for id in whole]
    finite = [n for n in numbers if n is not None and not math.isnan(n)]
    assert finite == sorted(finite, reverse=down) and finite == numbers[: len(finite)]
    assert all(n is not None for n in numbers[: len(numbers) - numbers.count(None)])
    joined: list[str] = []
    while (found := columns.find(None, orders, joined[-1] if joined else "", page)) and found[0]:
        assert found[1] == total
        joined += found[0]
    assert joined == whole


@pytest.mark.parametrize(
    ("odd", "part"),
    [
        (" or ".join(["params.depth > 6"] * (TERMS + 1)), "more than 500 comparisons"),
        ("(" * 330 + "params.depth > 6" + ")" * 330, "more than 50 brackets"),
        ("not " * 1_000 + "params.depth > 6", "more than 50 brackets"),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused(odd: str, part: str) -> None:
    with pytest.raises(MillraceError, match=part) as caught:
        parse(odd)
    assert caught.value.code == "search.invalid" and caught.value.hint


def test_what_is_long_and_deep_within_bounds_is_found() -> None:
    columns = Columns()
    columns.update([Row("1", {TEAM: "a"}), Row("2", {TEAM: "b"})], 1)
    for joint in (" or ", " and "):
        assert columns.find(parse(joint.join(["tags.team = 'a'"] * TERMS)), [], "", 9) == (["1"], 1)
    deep = "not (" * (NESTED // 2) + "tags.team = 'b'" + ")" * (NESTED // 2)
    assert columns.find(parse(f"{deep} or {deep}"), [], "", 9) == (["1"], 1)


def test_like() -> None:
    columns = Columns()
    columns.update([Row("1", {TEAM: "alpha"}), Row("2", {TEAM: "Alps"}), Row("3", {TEAM: "a.p"})], 1)
    assert columns.find(parse("tags.team like 'al%'"), [], "", 9) == (["1"], 1)
    assert columns.find(parse("tags.team ilike 'AL%'"), [], "", 9) == (["2", "1"], 2)
    assert columns.find(parse("tags.team like 'a.p'"), [], "", 9) == (["3"], 1)
    assert columns.find(parse("not tags.team like 'a_p'"), [], "", 9) == (["2", "1"], 2)
