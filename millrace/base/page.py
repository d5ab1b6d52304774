"""Lists come in pages: a cursor that the page before told, and how much a page holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from millrace.base.errors import MillraceError

T = TypeVar("T")


class Paged(Struct, frozen=True):
    """`after` is the `next` of the page before; a page holds at most `limit`."""

    after: str = ""
    limit: int = 100


class Page(Struct, Generic[T], frozen=True):
    """A page; ask again with ``after=next`` while `next` is not None. `total` counts all."""

    items: list[T]
    next: str | None
    total: int


def page_size(limit: int) -> int:
    """`limit` if a page may be that long. Errors: `page.invalid`."""
    if not 1 <= limit <= 10_000:
        raise MillraceError("page.invalid", f"a page of {limit} rows is not possible", "ask for 1 to 10000")
    return limit


def page_of(found: Sequence[T], ask: Paged, cursor: Callable[[T], str]) -> Page[T]:
    """The page of `found`, which is all in order, that begins after the item whose cursor is `ask.after`.

    Errors: `page.invalid`.
    """
    limit, start = page_size(ask.limit), 0
    if ask.after:
        start = next((place + 1 for place, item in enumerate(found) if cursor(item) == ask.after), 0)
        if not start:
            raise wrong_cursor(ask.after)
    items = list(found[start : start + limit])
    return Page(items, cursor(items[-1]) if start + limit < len(found) else None, len(found))


def wrong_cursor(after: str) -> MillraceError:
    """The error for a cursor that no page told, or whose item is gone."""
    return MillraceError("page.invalid", f"{after!r} is not the last of a page", "start again without `after`")
