"""Holding runs and trying again, as pure decisions."""

from __future__ import annotations

import pytest

from millrace.pipelines import rules
from millrace.pipelines.graph import Options


@pytest.mark.parametrize(
    ("holder", "held", "may"),
    [("", 0, True), ("me", 99, True), ("other", 99, False), ("other", 50, False), ("other", 49, True)],
)
def test_a_run_has_one_holder(holder: str, held: int, may: bool) -> None:
    assert rules.may_hold("me", holder, held, 50) is may


@pytest.mark.parametrize(
    ("attempt", "retries", "blameless", "again"),
    [(0, 0, False, False), (0, 1, False, True), (1, 1, False, False), (1, 0, True, True), (2, 0, True, False),
     (2, 5, True, True)],
)  # fmt: skip
def test_a_lost_step_is_tried_again(attempt: int, retries: int, blameless: bool, again: bool) -> None:
    assert rules.again(attempt, Options(retries), blameless) is again
