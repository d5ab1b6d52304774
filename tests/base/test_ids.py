"""Ids sort by the time they were made, also when the clock goes back or many threads ask."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from millrace.base.ids import Ids, encode
from millrace.testing.clock import FakeClock

_128 = st.integers(0, (1 << 128) - 1)


@given(_128, _128)
def test_text_order_is_number_order(one: int, other: int) -> None:
    assert (encode(one) < encode(other)) == (one < other)
    assert len(encode(one)) == 26


@given(st.lists(st.integers(-5_000_000, 5_000_000), max_size=30))
def test_ids_go_up_whatever_the_clock_does(steps: list[int]) -> None:
    clock = FakeClock()
    ids = Ids(clock)
    made = [ids.new()]
    for step in steps:
        clock.set(clock.now() + step)
        made.append(ids.new())
    assert made == sorted(set(made))


def test_a_later_millisecond_sorts_after_also_between_makers() -> None:
    clock = FakeClock()
    before = Ids(clock).new()
    clock.advance(1_000)
    assert before < Ids(clock).new()


def test_threads_never_get_the_same_id() -> None:
    ids, made = Ids(FakeClock()), []
    threads = [threading.Thread(target=lambda: made.extend([ids.new() for _ in range(500)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2_000
