"""A packed profile whose seal is right and whose contents no rows can have: it is refused at unpacking."""

from __future__ import annotations

import math
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from millrace import stats
from millrace.base.errors import MillraceError
from millrace.stats.profile_packing import MAGIC, VERSION, seal, unseal

ROWS = 40
NUMBERS = np.append(np.linspace(-3, 5, ROWS - 4), [0.0, math.nan, math.inf, math.nan])
COLUMNS = {"x": NUMBERS, "c": np.array(["a", None, "b", "b"] * (ROWS // 4), object)}
CELLS = stats.layout(COLUMNS)
NAMES = ("name", "counts", "registers", "nan", "infinite", "zero", "finite", "mean", "m2", "minimum", "maximum")
PACKED = stats.pack_profile(stats.profile(COLUMNS, CELLS))


def changed(part: int, **fields: Any) -> bytes:
    layout, rows, parts = msgspec.msgpack.decode(unseal(MAGIC, VERSION, PACKED, "profile"))
    for name, value in fields.items():
        parts[part][NAMES.index(name)] = value(parts[part][NAMES.index(name)]) if callable(value) else value
    return seal(MAGIC, VERSION, msgspec.msgpack.encode([layout, rows, parts]))


def moved(counts: list[int]) -> list[int]:
    return [counts[0] + 1, *counts[1:]]


def below(counts: list[int]) -> list[int]:
    return [counts[0] - 9, counts[1] + 9, *counts[2:]]


def lost(counts: list[int]) -> list[int]:
    return [counts[0] + counts[-1], *counts[1:-1], 0]


@pytest.mark.parametrize(
    "fields",
    [
        {"counts": below}, {"counts": moved}, {"counts": lost}, {"counts": []}, {"counts": [ROWS]},
        {"counts": [2**63, ROWS - 2**63]}, {"nan": -1}, {"nan": 3}, {"infinite": -1}, {"infinite": 2}, {"zero": -1},
        {"zero": ROWS}, {"finite": 0}, {"finite": -2}, {"finite": 36}, {"mean": math.nan}, {"mean": math.inf},
        {"mean": 5.1}, {"mean": -3.1}, {"m2": math.nan}, {"m2": -1e-9}, {"m2": math.inf}, {"m2": 1e9},
        {"minimum": 5.1}, {"minimum": math.nan}, {"minimum": -math.inf}, {"maximum": math.nan},
        {"maximum": math.inf}, {"minimum": 7.0, "maximum": 6.0, "mean": 6.5}, {"registers": b""},
        {"registers": zlib.compress(bytes([56] * 1024))}, {"registers": zlib.compress(bytes(2048))},
        {"registers": zlib.compress(bytes(1024))}, {"registers": b"no zlib"}, {"name": "c"},
    ],
    ids=lambda fields: ",".join(f"{name}={getattr(value, '__name__', value)}" for name, value in fields.items()),
)  # fmt: skip
def test_what_no_rows_can_have_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MillraceError) as fault:
        stats.unpack_profile(changed(0, **fields))
    assert fault.value.code == "stats.state" and fault.value.hint


@pytest.mark.parametrize(
    "fields", [{"mean": 1.0}, {"m2": 1.0}, {"minimum": 0.0}, {"maximum": 0.0}, {"zero": 1}, {"finite": 3}], ids=repr
)
def test_a_category_has_no_moments(fields: dict[str, Any]) -> None:
    with pytest.raises(MillraceError, match="damaged") as fault:
        stats.unpack_profile(changed(1, **fields))
    assert fault.value.code == "stats.state"


def test_unchanged_it_is_read() -> None:
    assert changed(0) == PACKED
    assert stats.unpack_profile(PACKED) == stats.profile(COLUMNS, CELLS)


NUMBER = {"type": "number", "cuts": [0.0, 1.0, 2.0], "groups": [0, 1, 2, 3, 4]}
CATEGORY = {"type": "category", "levels": ["a", "b"], "groups": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize(
    "bins",
    [
        NUMBER | {"groups": [0, 1, 2, 3]}, NUMBER | {"groups": [0, 1, 2, 4, 5]}, NUMBER | {"groups": [0, 1, 2, 2, 3]},
        NUMBER | {"groups": [0, 0, 1, 2, 3]}, NUMBER | {"groups": [0, 1, 2, 3, 3]}, NUMBER | {"groups": []},
        NUMBER | {"cuts": [0.0, 2.0, 2.0]}, NUMBER | {"cuts": [2.0, 1.0, 0.0]}, NUMBER | {"cuts": []},
        CATEGORY | {"groups": [0, 1, 2]}, CATEGORY | {"groups": [1, 1, 2, 3, 4]}, CATEGORY | {"levels": ["a", "a"]},
        CATEGORY | {"groups": [0, 1, 2, 3, 3]}, CATEGORY | {"rest": "AAA="}, CATEGORY | {"groups": [0, 2, 1, 2, 3]},
    ],
    ids=repr,
)  # fmt: skip
def test_cells_that_no_reference_can_have_made_are_refused(bins: dict[str, Any]) -> None:
    with pytest.raises(MillraceError) as fault:
        stats.Layout.unpack(msgspec.json.encode({"columns": {"x": bins}}))
    assert fault.value.code == "stats.state" and fault.value.hint
    assert stats.Layout.unpack(msgspec.json.encode({"columns": {"x": NUMBER, "c": CATEGORY}}))


VALUES = st.one_of(
    st.floats(width=64), st.sampled_from([0.1, 0.3, 1e-320, -1e150, 1e150, 1.0000000000000002, 1e16, 1e16 + 2])
)


@settings(deadline=None, max_examples=150)
@given(st.lists(hnp.arrays(np.float64, st.integers(0, 40), elements=VALUES), min_size=1, max_size=6))
def test_what_rows_do_have_is_read_whatever_they_are(parts: list[np.ndarray]) -> None:
    """Rounding over merges, constants, the largest and the smallest numbers: none of them looks impossible."""
    cells = stats.layout({"x": parts[0]})
    assert stats.Layout.unpack(cells.pack()) == cells
    merged = stats.merge_profiles(*(stats.profile({"x": part}, cells) for part in parts * 3))
    assert stats.unpack_profile(stats.pack_profile(merged)) == merged
