"""Lists in pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.base.page import Page, Paged, page_of


@given(st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=30), st.integers(1, 12))
def test_pages_one_after_another_are_the_whole(found: list[str], limit: int) -> None:
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = page_of(found, Paged(after, limit), str)
        assert len(page.items) <= limit and page.total == len(found)
        assert page.next is None or page.items
        seen += page.items
        after = page.next
    assert seen == found


def test_a_cursor_that_nobody_told_and_a_size_that_cannot_be_are_refused() -> None:
    assert page_of(["a", "b"], Paged("a"), str) == Page(["b"], None, 2)
    for ask in (Paged("c"), Paged("", 0), Paged("", 10_001)):
        with pytest.raises(MillraceError) as caught:
            page_of(["a", "b"], ask, str)
        assert caught.value.code == "page.invalid"
