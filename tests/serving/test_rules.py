"""Routing: sticky, even, and monotone along a ramp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.clock import DAY
from millrace.base.errors import MillraceError
from millrace.serving import rules
from millrace.serving.records import WHOLE, Arm, Endpoint, Table

KEYS = [f"unit-{number}" for number in range(4_000)]


def table(*weights: int, salt: str = "s") -> Table:
    return Table("delays", 1, tuple(Arm(place + 1, weight) for place, weight in enumerate(weights)), salt=salt)


@given(low=st.integers(0, WHOLE), high=st.integers(0, WHOLE))
def test_a_ramp_takes_no_key_back(low: int, high: int) -> None:
    low, high = sorted((low, high))
    before = rules.route(table(WHOLE - low, low), KEYS[:300])
    after = rules.route(table(WHOLE - high, high), KEYS[:300])
    assert all(later.number == 2 for earlier, later in zip(before, after, strict=True) if earlier.number == 2)


def test_shares_are_as_asked() -> None:
    found = rules.route(table(7_000, 2_000, 1_000), KEYS)
    shares = [sum(arm.number == number for arm in found) / len(KEYS) for number in (1, 2, 3)]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def test_another_salt_draws_anew() -> None:
    one, two = (rules.route(table(5_000, 5_000, salt=salt), KEYS) for salt in ("a", "b"))
    same = sum(a.number == b.number for a, b in zip(one, two, strict=True)) / len(KEYS)
    assert same == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("arms", "shadows"),
    [([Arm(1, 9_999)], []), ([Arm(1, WHOLE)], [1]), ([Arm(1, 11_000), Arm(2, -1_000)], []), ([], [])],
)
def test_an_impossible_table_is_refused(arms: list[Arm], shadows: list[int]) -> None:
    with pytest.raises(MillraceError) as fault:
        rules.check_table(arms, shadows)
    assert fault.value.code == "route.invalid"


@given(event=st.integers(-(10**16), 10**16), origin=st.integers(0, DAY))
def test_blocks_hold_their_events(event: int, origin: int) -> None:
    endpoint = Endpoint("delays", "id", "late", 0, day_origin=origin)
    start = rules.block_start(endpoint, event)
    assert start <= event < start + DAY and (start - origin) % DAY == 0
    assert rules.blocks(endpoint, start, start + 2 * DAY + 5) == [(start, start + DAY), (start + DAY, start + 2 * DAY)]
