"""What may be a name: nothing that could be a path, an SQL text or HTML."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.base.names import check_name


@pytest.mark.parametrize("name", ["a", "A9", "demand", "demand-v2", "demand_v2", "v1.2.3", "0", "x" * 128])
def test_names_that_are_good(name: str) -> None:
    assert check_name("model", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", "a/b", "../a", "a..b", ".a", "a.", "-a", "a-", "_a", "a\\b", "a\0", "a\n", "ä", "模型", "a'b",
        'a"b', "<b>", "a;b", "a%2fb", "x" * 129, None, 7, b"a",
    ],
)  # fmt: skip
def test_names_that_are_refused(name: object) -> None:
    with pytest.raises(MillraceError) as caught:
        check_name("model", name)  # type: ignore[arg-type]  # the wrong types too
    assert caught.value.code == "name.invalid"
    assert caught.value.hint.startswith("use 1 to 128 letters")


@given(st.text(max_size=140))
def test_what_passes_is_plain(name: str) -> None:
    try:
        check_name("model", name)
    except MillraceError:
        assert not re.fullmatch(r"[A-Za-z0-9]{1,128}", name), "plain names pass"
    else:
        assert re.fullmatch(r"[A-Za-z0-9_.\-]{1,128}", name, re.ASCII)
        assert ".." not in name
