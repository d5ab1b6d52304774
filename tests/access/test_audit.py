"""The audit's verbs: reading from a cursor, a head written down, and what tampering looks like."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.errors import MillraceError
from millrace.testing.blobs_suite import code_of


def filled(platform: Platform, count: int = 7) -> None:
    for number in range(count):
        platform.call("experiment.make", {"name": f"e{number}"})


def changed(folder: Path, statement: str) -> Platform:
    """The platform after somebody changed its catalog by hand."""
    with sqlite3.connect(folder / "catalog.db") as catalog:
        catalog.execute(statement)
    return open_platform(folder)


def test_pages_follow_each_other_without_gap_or_overlap(home: Platform) -> None:
    filled(home)
    numbers, after = [], 0
    while True:
        page = home.call("audit.facts", {"after": after, "limit": 3})
        numbers += [fact.number for fact in page.items]
        if page.next is None:
            break
        after = page.next
    assert numbers == list(range(1, 9))
    assert [fact.subject for fact in home.call("audit.facts", {"subject": "e3"}).items] == ["e3"]
    for limit in (0, -1, 10_001):
        assert code_of(lambda limit=limit: home.call("audit.facts", {"limit": limit})) == "page.invalid"  # type: ignore[misc]


def test_a_chain_that_holds(home: Platform) -> None:
    filled(home)
    head = home.call("audit.head")
    found = home.call("audit.verify", {"head_number": head.number, "head_hash": head.hash})
    assert (found.facts, found.head) == (8, head)


def test_the_first_broken_row_is_named(home: Platform) -> None:
    filled(home)
    head = home.call("audit.head")
    home.close()
    folder = home.ground.folder
    platform = changed(folder, "UPDATE fact SET subject = 'other' WHERE number = 4")
    try:
        assert code_of(lambda: platform.call("audit.verify")) == "journal.broken"
    finally:
        platform.close()
    platform = changed(folder, "DELETE FROM fact WHERE number >= 4")
    try:
        assert platform.call("audit.verify").facts == 3, "a chain does not show a cut tail by itself"
        ask = {"head_number": head.number, "head_hash": head.hash}
        assert code_of(lambda: platform.call("audit.verify", ask)) == "journal.broken"
    finally:
        platform.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("hash = 'abc'", "fact 7 of workspace 'main' (experiment.made) was changed"),
        ("hash = 12", "fact 7 of workspace 'main' (experiment.made) was changed"),
        ("data = x'00'", "fact 7 of workspace 'main' (experiment.made) was changed"),
        ("data = 'no JSON'", "fact 7 of workspace 'main' (experiment.made) was changed"),
        ("at = 'noon'", "fact 7 of workspace 'main' (experiment.made) was changed"),
        ("number = 'seven'", "after fact 6 comes fact 8"),
        ("number = 0", "after fact 0 comes fact 0"),
        ("number = -3", "after fact 0 comes fact -3"),
    ],
)
def test_a_value_of_another_type_is_tampering_too(home: Platform, change: str, told: str) -> None:
    filled(home)
    home.close()
    platform = changed(home.ground.folder, f"UPDATE fact SET {change} WHERE number = 7")
    try:
        with pytest.raises(MillraceError, match=re.escape(told)) as caught:
            platform.call("audit.verify")
        assert caught.value.code == "journal.broken"
        if change.startswith("data"):
            assert code_of(lambda: platform.call("audit.facts")) == "journal.broken"
    finally:
        platform.close()


def test_a_text_that_is_none_any_more_is_a_damaged_catalog(home: Platform) -> None:
    filled(home)
    home.close()
    platform = changed(home.ground.folder, "UPDATE fact SET kind = CAST(x'ff41' AS TEXT) WHERE number = 7")
    try:
        assert code_of(lambda: platform.call("audit.verify")) == "catalog.corrupt"
    finally:
        platform.close()


def test_nothing_is_chained_to_a_head_that_is_none(home: Platform) -> None:
    filled(home)
    home.close()
    platform = changed(home.ground.folder, "UPDATE fact SET hash = 'abc' WHERE number = 8")
    try:
        for call in ("audit.verify", "audit.head"):
            assert code_of(lambda call=call: platform.call(call)) == "journal.broken"  # type: ignore[misc]
        assert code_of(lambda: platform.call("experiment.make", {"name": "more"})) == "journal.broken"
    finally:
        platform.close()


def test_each_workspace_has_a_chain_of_its_own(home: Platform) -> None:
    home.call("workspace.make", {"name": "team"})
    assert home.call("audit.head", workspace="team").number == 0
    home.call("experiment.make", {"name": "e"}, workspace="team")
    assert [f.subject for f in home.call("audit.facts", workspace="team").items] == ["e"]
    assert [f.kind for f in home.call("audit.facts").items] == ["workspace.made", "workspace.made"]
