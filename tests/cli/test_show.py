"""How answers look."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.cli import show

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ([], ""),
        ({}, ""),
        (7, "7"),
        ("text", "text"),
        (["a", 1], "a\n1"),
        ({"a": 1, "longer": None}, "a       1\nlonger  –"),
        ([{"a": 1, "b": "x"}, {"a": 22}], "a   b\n1   x\n22  –"),
        ({"items": [{"a": 1}], "next": 5}, "a\n1"),
        ([{"x": 0.123456789, "y": [1, 2]}], "x         y\n0.123457  [1, 2]"),
        ([1, {"a": 1}], "1\n{'a': 1}"),
    ],
)
def test_examples(value: Any, text: str) -> None:
    assert show.as_text(value) == text


@given(_json)
def test_every_answer_can_be_shown(value: Any) -> None:
    assert isinstance(show.as_text(value), str)
    assert json.loads(show.as_json(value)) == value


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(), min_size=1), min_size=1))
def test_a_table_has_a_line_for_each_row(rows: list[dict[str, int]]) -> None:
    assert len(show.table(rows).splitlines()) == len(rows) + 1
