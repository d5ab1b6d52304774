"""HyperLogLog: close, additive by maximum, and the same hashes for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import distinct

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=60).map(lambda v: np.asarray(v, np.uint64))


def of(hashes: np.ndarray) -> distinct.Bytes:
    return distinct.add(distinct.empty(), hashes)


@settings(max_examples=30)
@given(HASHES, HASHES, HASHES)
def test_merging_is_a_union(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    x, y, z = of(a), of(b), of(c)
    assert np.array_equal(distinct.merge(x, y), distinct.merge(y, x))
    assert np.array_equal(distinct.merge(distinct.merge(x, y), z), distinct.merge(x, distinct.merge(y, z)))
    assert np.array_equal(distinct.merge(x, x), x)
    assert np.array_equal(distinct.merge(x, y), of(np.concatenate([a, b])))


@pytest.mark.parametrize("true", [0, 1, 2, 10, 500, 3_000, 30_000, 400_000])
def test_the_estimate_is_within_four_standard_errors(true: int) -> None:
    found = distinct.estimate(of(distinct.of_numbers(np.arange(true, dtype=np.float64))))
    assert abs(found - true) <= max(4 * 0.0325 * true, 0.5)


def test_the_hashes_never_change() -> None:
    assert distinct.of_numbers(np.array([0.0, -0.0, 1.5])).tolist() == [
        16294208416658607535,
        16294208416658607535,
        distinct.mix(np.array([1.5]).view(np.uint64)).tolist()[0],
    ]
    assert distinct.text_code("a") == 0xE8B7BE43


def test_whole_numbers_hash_alike_in_any_type_and_apart_beyond_2_53() -> None:
    values = np.array([0, 1, -7, 2**52], np.int64)
    assert np.array_equal(distinct.of_integers(values), distinct.of_numbers(values.astype(np.float64)))
    big = np.array([2**53, 2**53 + 1, 2**53 + 2], np.int64)
    assert len(set(distinct.of_integers(big).tolist())) == 3


def test_registers_of_another_size_are_refused() -> None:
    with pytest.raises(MillraceError) as error:
        distinct.merge(distinct.empty(), np.zeros(16, np.uint8))
    assert error.value.code == "stats.shape"
