"""How answers look."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace import waist
from millrace.cli import show
from millrace.cli.optable import times

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


MARCH = 1_362_096_000_000_000
EXAMPLES: list[tuple[Any, str]] = [
    (None, ""),
    ([], ""),
    ({}, ""),
    (7, "7"),
    ("text", "text"),
    (["a", 1], "a\n1"),
    ({"a": 1, "longer": None}, "a       1\nlonger  –"),
    ([{"a": 1, "b": "x"}, {"a": 22}], "a   b\n1   x\n22  –"),
    ([{"x": 0.123456789, "y": [1, 2]}], "x         y\n0.123457  1, 2"),
    ([1, {"a": 1}], "1\na=1"),
    ({"items": [{"a": 1}], "next": None}, "a\n1"),
    ({"items": [{"a": 1}], "next": 5}, "a\n1\n(1 shown; more: --after 5, or --all)"),
    ({"items": [{"a": 1}], "next": "x", "total": 9}, "a\n1\n(1 of 9 shown; more: --after x, or --all)"),
    ({"items": [{"a": 1}]}, "items\n  a\n  1"),
    ({"a": [1, 2], "b": ["x", None]}, "a  b\n1  x\n2  –"),
    ({"a": [], "b": []}, "a  –\nb  –"),
    ({"a": [1, 2], "b": [1]}, "a  1, 2\nb  1"),
    (
        {"who": {"name": "ann", "roles": ["viewer", "editor"]}, "n": 1},
        "who\n  name   ann\n  roles  viewer, editor\nn    1",
    ),
    ({"arms": [{"number": 1}, {"number": 2}], "on": True}, "arms\n  number\n  1\n  2\non    yes"),
    ({"log": "two\nlines"}, "log\n  two\n  lines"),
    ({"made": MARCH, "until": 0, "count": MARCH}, f"made   2013-03-01T00:00:00Z\nuntil  0\ncount  {MARCH}"),
    (
        [{"at": MARCH + 1_500_000, "until": 1 << 62}],
        "at                    until\n2013-03-01T00:00:01Z  4611686018427387904",
    ),
    ([{"hash": "ab" * 32}], "hash\nabababababab…"),
    (
        {"version": {"columns": [{"name": "when", "kind": "time"}]}, "columns": {"when": [MARCH], "n": [3]}},
        "version\n  columns\n    name  kind\n    when  time\n"
        "columns\n  when                  n\n  2013-03-01T00:00:00Z  3",
    ),
]


@pytest.mark.parametrize(("value", "text"), EXAMPLES)
def test_examples(value: Any, text: str) -> None:
    assert show.as_text(value) == text


def test_a_table_that_is_too_wide_leaves_out_what_is_nested_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"id": 1, "none": None, "origin": {"git": {"commit": "x" * 30}}, "params": {"depth": 3}, "about": "a" * 30}
    monkeypatch.setenv("COLUMNS", "60")
    assert show.table([row]).splitlines() == [
        "id  params   about",
        f"1   depth=3  {'a' * 30}",
        "(not shown: none, origin; --wide or --json shows all)",
    ]
    monkeypatch.setenv("COLUMNS", "1000")
    assert show.table([row]).splitlines()[0].split() == list(row)


ROLLOUT = {
    "id": "late-1", "endpoint": "late", "number": 1, "champion": 0, "policy": {"steps": [1]}, "state": "promoted",
    "since": MARCH, "actor": "local", "because": "the block means lie below 0: shown after 13 of 13 blocks",
    "reason": "a-reason-without-a-single-space", "alpha": 0.05, "weight": 10_000,
}  # fmt: skip


def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ROLLOUT, {**ROLLOUT, "id": "late-2", "number": 2, "because": "the first one"}]
    monkeypatch.setenv("COLUMNS", "80")
    assert show.as_text(rows).splitlines() == [
        "id      endpoint  number  champion  state     because",
        "late-1  late      1       0         promoted  the block means lie below 0: shown",
        f"{' ' * 46}after 13 of 13 blocks",
        "late-2  late      2       0         promoted  the first one",
        "(not shown: policy, since, actor, reason, alpha, weight; --wide or --json shows",
        "all)",
    ]


@pytest.mark.parametrize("columns", [60, 80, 120, 160])
def test_every_line_of_a_table_fits(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for rows in ([ROLLOUT], [ROLLOUT, {**ROLLOUT, "id": "late-2", "because": "x " * 200}]):
        lines = show.as_text({"items": rows, "next": None}).splitlines()
        assert max(map(len, lines)) <= columns
        assert {"id", "state", "because"} <= set(lines[0].split())
        assert "".join(line[lines[0].index("because") :] for line in lines[1:]).count("x") in (0, 200)


def test_a_wide_table_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = {**ROLLOUT, "digest": "ab" * 32, "deep": {"text": "y" * 90}}
    head, line = show.as_text([long], wide=True).splitlines()
    assert head.split() == list(long)
    assert "ab" * 32 in line and "y" * 90 in line and str(long["because"]) in line


def test_no_field_is_a_time_here_and_a_number_there() -> None:
    """`show` tells times by the names of fields."""
    _, components = msgspec.json.schema_components([op.answer for op in waist.OPS])
    for body in components.values():
        for name, told in body.get("properties", {}).items():
            plain = [told, *told.get("anyOf", ())]
            if name in times() and any(one.get("type") == "integer" for one in plain):
                assert any(one.get("format") == "micros" for one in plain), name


@pytest.mark.slow
@given(_json)
def test_every_answer_can_be_shown(value: Any) -> None:
    assert isinstance(show.as_text(value), str)
    assert json.loads(show.as_json(value)) == value


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-(2**63), 2**63), min_size=1), min_size=1))
def test_a_table_has_a_line_for_each_row(rows: list[dict[str, int]]) -> None:
    assert len(show.table(rows).splitlines()) == len(rows) + 1  # plain cells are never left out
