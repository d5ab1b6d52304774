"""A trouble that lasts: the first at once, then one line a minute with the count."""

from __future__ import annotations

import logging

import pytest

from millrace.base.errors import MillraceError
from millrace.base.seldom import Seldom

FULL = MillraceError("log.full", "no room\n\tis left", "free some")
AWAY = MillraceError("catalog.unreachable", "nobody answers")


def test_the_first_is_told_and_the_others_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [5.0]
    seldom = Seldom(logging.getLogger("millrace.test"), 60.0, lambda: now[0])
    for fault in (FULL, FULL, AWAY, FULL):
        seldom.warn("requests are refused", fault)
    now[0] = 64.9
    seldom.warn("requests are refused", FULL)
    assert [record.getMessage() for record in caplog.records] == [
        "requests are refused: log.full: no room is left",
        "requests are refused: catalog.unreachable: nobody answers",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    caplog.clear()
    now[0] = 65.0
    seldom.warn("requests are refused", FULL)
    seldom.warn("requests are refused", FULL)
    now[0] = 125.0
    seldom.warn("requests are refused", AWAY)
    seldom.warn("requests are refused", FULL)
    assert [record.getMessage() for record in caplog.records] == [
        "requests are refused: log.full: no room is left (3 more since it was last told)",
        "requests are refused: catalog.unreachable: nobody answers",
        "requests are refused: log.full: no room is left (1 more since it was last told)",
    ]
