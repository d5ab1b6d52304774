"""Declaring a verb: what it takes from the function, and the mistakes it refuses at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from millrace.base.op import Op, op, promised_errors, record_of


class Ask(Struct, frozen=True):
    name: str


def test_a_verb_is_read_from_its_function() -> None:
    @op("thing.make", permission="thing:write")
    def make(ask: Ask, cx: object) -> list[int]:
        """Make a thing.

        Errors: name.invalid, run.unknown.
        """
        return [len(ask.name)]

    found = record_of(make)
    assert isinstance(found, Op)
    assert (found.name, found.noun, found.verb, found.kind) == ("thing.make", "thing", "make", "write")
    assert (found.request, found.answer, found.permission) == (Ask, list[int], "thing:write")
    assert promised_errors(found.doc) == ["name.invalid", "run.unknown"]
    assert found.run(Ask("abc"), None) == [3]
    assert found.kept("answer") == "answer"


def _verb(doc: str) -> Callable[..., Any]:
    def run(ask: Ask, cx: object) -> None:
        return None

    run.__doc__ = doc
    return run


@pytest.mark.parametrize(
    ("name", "permission", "doc", "told"),
    [
        ("thing", "thing:write", "Make.", "not noun.verb"),
        ("a.b.c", "thing:write", "Make.", "not noun.verb"),
        ("thing.make", "write", "Make.", "not noun:verb"),
        ("thing.make", "thing:write", "", "no docstring"),
        ("thing.make", "thing:write", "Make.\n\nErrors: no.such.", "unlisted error 'no.such'"),
    ],
)
def test_mistakes_are_found_when_the_module_loads(name: str, permission: str, doc: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        op(name, permission=permission)(_verb(doc))


def test_a_function_without_a_record_is_told() -> None:
    with pytest.raises(AssertionError, match="not declared with @op"):
        record_of(_verb("Make."))
