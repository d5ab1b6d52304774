"""What comes in is what was meant: sides, codes, labels and ids; what is not, and a damaged state, is refused."""

from __future__ import annotations

import numpy as np
import pytest

from millrace import stats
from millrace.base.errors import MillraceError
from millrace.stats import Coded, layout, merge_profiles, profile


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.change_start(side="fall"),
        lambda: stats.block_evidence([0.0] * 12, side="up"),
        lambda: stats.started_evidence([0.0] * 12, 7, side="up"),
    ],
)
def test_a_side_that_there_is_not_is_refused(call):
    with pytest.raises(MillraceError) as fault:
        call()
    assert fault.value.code == "stats.data" and fault.value.hint


@pytest.mark.parametrize(
    ("codes", "code"),
    [([0, 5, 1], "stats.data"), ([0.5, 1.0], "stats.data"), (["a"], "stats.data"), ([[0, 1]], "stats.shape")],
)
def test_codes_without_a_level_are_refused(codes, code):
    with pytest.raises(MillraceError) as fault:
        Coded(np.array(codes), ["a", "b"])
    assert fault.value.code == code and fault.value.hint


def test_missing_and_no_codes_are_codes():
    assert len(Coded(np.array([-1, 1], np.int8), ["a", "b"])) == 2
    assert len(Coded(np.array([], np.int64), [])) == 0


def test_truth_and_one_are_two_labels_in_any_order_and_split():
    rows = np.array([True, 1, 1, True, 1.0], object)
    cells = layout({"c": np.array([True, "1"] * 4, object)})
    whole = profile({"c": rows}, cells)
    for cut in range(1, 5):
        parts = [profile({"c": part}, cells) for part in (rows[:cut], rows[cut:])]
        assert merge_profiles(*parts) == whole == profile({"c": rows[::-1]}, cells)
    assert sorted(whole.cells().tolist()) == [0, 0, 0, 2, 3]


def test_ids_of_64_bits_stay_apart_beside_a_missing_one():
    ids = (1 << 60) + 2 * np.arange(2_000) + 1
    holed = np.array([None, *ids.tolist()], object)
    cells = layout({"id": ids})
    counted = [profile({"id": values}, cells) for values in (ids, holed)]
    plain, with_hole, both = (found.parts["id"].distinct for found in (*counted, merge_profiles(*counted)))
    assert plain == with_hole == both
    assert plain == pytest.approx(2_000, rel=0.05)


def test_every_flipped_bit_of_a_packed_state_is_refused():
    guard = stats.guard_update(stats.guard_start(), stats.errors_by_weight([0.1] * 20, [False] * 18 + [True] * 2))
    packed = stats.pack(guard)
    assert stats.guard_verdict(stats.unpack(stats.Guard, packed), 0.05) == stats.guard_verdict(guard, 0.05)
    for place in range(len(packed)):
        for bit in range(8):
            damaged = bytearray(packed)
            damaged[place] ^= 1 << bit
            with pytest.raises(MillraceError) as fault:
                stats.unpack(stats.Guard, bytes(damaged))
            assert fault.value.code == "stats.state"


@pytest.mark.parametrize("scale", [1e-320, 5e-324, 1e-200, 1e-100])
def test_a_covariate_too_narrow_for_a_slope_has_none(scale):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    found = stats.cuped_fit(x + rng.normal(size=200), x * scale)
    assert np.isfinite(found.slopes).all() and 0 <= found.saving <= 1
    assert np.isfinite(stats.cuped_apply(found, x, x * scale)).all()
