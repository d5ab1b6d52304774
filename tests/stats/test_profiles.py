"""Profiles: counts equal NumPy's, adding is exact whatever the split, and nothing that arrives can break one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace import stats
from millrace.base.errors import MillraceError
from millrace.stats import bins, profile_vector
from millrace.stats.profiles import count_numbers

NUMBER = st.one_of(
    st.floats(-5, 5), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -0.0, 1.0, 2.0])
)
LABEL = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "Zürich", "\ud800"]), st.text(max_size=3))
ROWS = st.lists(st.tuples(NUMBER, LABEL), max_size=60)

REFERENCE = {"x": np.linspace(-2, 2, 500), "c": np.array(["a", "b", "b", "c", "c"] * 100, object)}
LAYOUT = stats.layout(REFERENCE)


def table(rows: list[tuple[float, str | None]]) -> dict[str, Any]:
    return {
        "x": np.array([x for x, _ in rows], np.float64),
        "c": np.array([*[c for _, c in rows], None], object)[:-1],
    }


def close(a: stats.Profile, b: stats.Profile) -> bool:
    """Equal in everything counted, and in the moments to rounding."""
    return (a.layout, a.rows, list(a.parts)) == (b.layout, b.rows, list(b.parts)) and all(
        np.array_equal(s.counts, t.counts)
        and np.array_equal(s.registers, t.registers)
        and (s.nan, s.infinite, s.zero, s.finite) == (t.nan, t.infinite, t.zero, t.finite)
        and (s.minimum, s.maximum) == (t.minimum, t.maximum)
        and np.isclose(s.mean, t.mean, rtol=1e-9, atol=1e-9 * (1 + abs(s.maximum if s.finite else 0)))
        and np.isclose(s.m2, t.m2, rtol=1e-6, atol=1e-9)
        for s, t in zip(a.parts.values(), b.parts.values(), strict=True)
    )


@settings(max_examples=25)
@given(ROWS, st.integers(0, 60), st.integers(0, 60))
def test_any_split_adds_up_to_the_whole(rows: list[tuple[float, str | None]], i: int, j: int) -> None:
    i, j = sorted((min(i, len(rows)), min(j, len(rows))))
    a, b, c = (stats.profile(table(part), LAYOUT) for part in (rows[:i], rows[i:j], rows[j:]))
    whole = stats.profile(table(rows), LAYOUT)
    assert close(stats.merge_profiles(a, b, c), whole)
    assert close(stats.merge_profiles(c, stats.merge_profiles(b, a)), whole)
    assert close(stats.merge_profiles(stats.empty_profile(LAYOUT), b, c, a), whole)
    assert stats.merge_profiles(a, stats.empty_profile(LAYOUT)) == a


@pytest.mark.parametrize("width", [1, 3, *(pytest.param(width, marks=pytest.mark.slow) for width in (8, 33, 768))])
def test_vectors_fall_into_the_same_cells_whoever_comes_with_them(width: int) -> None:
    random = np.random.default_rng(width)
    few = random.normal(size=(12, width)) * np.exp(3 * random.normal(size=(12, 1)))
    vectors = few[random.integers(0, 12, 300)]
    cells = stats.layout({"v": vectors}, kinds={"v": "vector"})
    whole = stats.profile({"v": vectors}, cells)
    for size in (1, 2, 7, 64):
        parts = (stats.profile({"v": vectors[i : i + size]}, cells) for i in range(0, 300, size))
        merged = stats.merge_profiles(*parts)
        assert close(merged, whole)
        assert all(part.distinct < 15 for part in stats.merge_profiles(merged, whole).parts.values())
    assert stats.profile({"v": np.asfortranarray(vectors)}, cells) == whole


def test_projections_are_those_of_the_signs() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 96)) * 1e-3
    found = profile_vector.measures(vectors)
    for place in range(profile_vector.PROJECTIONS):
        wanted = vectors @ profile_vector.signs(96)[:, place] / np.sqrt(96)
        assert np.allclose(found[f"p{place:02d}"], wanted, rtol=0, atol=1e-14)
    assert np.allclose(found["norm"], np.linalg.norm(vectors, axis=1), rtol=1e-14)
    extreme = profile_vector.measures(np.array([[1e307, 1e307], [5e-324, 0.0], [0.0, 0.0], [np.nan, 1.0]]))
    assert np.isnan(extreme["p00"]).tolist() == [False, False, False, True]


@settings(max_examples=40)
@given(ROWS)
def test_a_profile_counts_what_numpy_counts(rows: list[tuple[float, str | None]]) -> None:
    columns = table(rows)
    x, found = columns["x"], stats.profile(columns, LAYOUT).parts["x"]
    inside = x[np.abs(x) <= 1e150]
    cuts = np.asarray(LAYOUT.columns["x"].cuts)  # type: ignore[union-attr]
    cells = np.searchsorted(cuts, x[~np.isnan(x)], side="left")
    assert found.counts[:-1].tolist() == np.bincount(cells, minlength=cuts.size + 1).tolist()
    assert (found.nan, found.missing, found.rows) == (np.isnan(x).sum(), np.isnan(x).sum(), x.size)
    assert (found.zero, found.finite) == ((x == 0).sum(), inside.size)
    if inside.size:
        scale = 1 + float(np.abs(inside).max())
        assert np.isclose(found.mean, inside.mean(), atol=1e-9 * scale)
        assert (found.minimum, found.maximum) == (inside.min(), inside.max())
    labels = [c for _, c in rows if c is not None]
    part = stats.profile(columns, LAYOUT).parts["c"]
    levels = ("c", "b", "a")
    ranked = sorted(levels, key=lambda v: (-list(REFERENCE["c"]).count(v), v))
    assert part.counts.tolist() == [
        *[labels.count(v) for v in ranked], 0, sum(v not in levels for v in labels), len(rows) - len(labels),
    ]  # fmt: skip


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.lists(st.floats(-1e3, 1e3), max_size=40))
def test_cells_without_a_search_equal_searchsorted(reference: list[float], values: list[float]) -> None:
    layout = stats.layout({"x": np.asarray(reference)})
    inner = layout.columns["x"]
    assert isinstance(inner, bins.NumberBins)
    every = np.asarray([*values, *reference, *inner.cuts])
    cells = np.searchsorted(np.asarray(inner.cuts), every, side="left")
    found = count_numbers(every, inner).counts[:-1]
    assert found.tolist() == np.bincount(cells, minlength=len(inner.cuts) + 1).tolist()


def test_moments_and_distinct_counts_of_many_rows() -> None:
    x = np.random.default_rng(0).normal(1e6, 1, 100_000)
    found = stats.profile({"x": x}, stats.layout({"x": x})).parts["x"]
    assert np.isclose(found.mean, x.mean(), rtol=1e-12)
    assert np.isclose(found.sd, x.std(ddof=1), rtol=1e-9)
    assert abs(found.distinct - 100_000) < 13_000


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2, 3], np.int8), np.array([1, 2, 3], np.uint64), np.array([1, 2, 3], np.float32), [1, 2, 3],
        np.ma.MaskedArray([1, 2, 3, 9], [0, 0, 0, 1])[:3], np.array([1, 2, 3], object),
    ],
)  # fmt: skip
def test_numbers_of_any_type_count_alike(values: Any) -> None:
    layout = stats.layout({"x": np.array([1.0, 2.0, 3.0])})
    assert stats.profile({"x": values}, layout) == stats.profile({"x": np.array([1.0, 2.0, 3.0])}, layout)


def test_every_kind_of_missing_is_missing() -> None:
    layout = stats.layout({"x": [1.0, 2.0], "c": ["a", "b"], "t": np.array(["2013-01-01"], "M8[D]")[[0, 0]]})
    rows = {
        "x": np.array([None, float("nan")], object),
        "c": [None, float("nan")],
        "t": np.array(["NaT", "2013-01-01"], "M8[s]"),
    }
    parts = stats.profile(rows, layout).parts
    assert [parts[n].missing for n in "xct"] == [2, 2, 1]
    masked = np.ma.MaskedArray([1.0, 2.0], [True, False])
    assert stats.profile({"x": masked, "c": ["a", "a"], "t": rows["t"]}, layout).parts["x"].missing == 1
    gone = stats.profile({"x": [1.0, 1.0]}, layout)
    assert (gone.parts["c"].missing, gone.parts["t"].missing) == (2, 2)


def test_a_dictionary_encoded_column_counts_like_its_values() -> None:
    codes = np.array([0, 1, 1, -1, 2], np.int8)
    layout = stats.layout({"c": ["a", "b", "b"]})
    plain = stats.profile({"c": ["a", "b", "b", None, "new"]}, layout)
    assert stats.profile({"c": stats.Coded(codes, ["a", "b", "new"])}, layout) == plain
    assert plain.parts["c"].counts.tolist() == [2, 1, 0, 1, 1]


def test_other_values_of_the_reference_are_not_unseen() -> None:
    values = [f"v{i:04d}" for i in range(600)]
    layout = stats.layout({"c": values})
    part = stats.profile({"c": [*values, "new"]}, layout).parts["c"]
    assert part.counts[255:].tolist() == [345, 1, 0]


def test_text_vectors_and_images_become_parts() -> None:
    rng = np.random.default_rng(3)
    columns = {
        "t": np.array(["hello small world", "12 monkeys", None, "Straße"], object),
        "v": rng.normal(size=(4, 8)),
        "i": rng.integers(0, 255, (4, 20, 17, 3), np.uint8),
    }
    layout = stats.layout(columns, {"t": "text", "i": "image"})
    found = stats.profile(columns, layout)
    assert found.parts["t.length"].missing == 1 and found.parts["t.unknown"].mean == 0
    assert {f"v.p{i:02d}" for i in range(16)} | {"v.norm"} <= set(found.parts)
    assert found.parts["i.height"].mean == 20 and found.parts["i.width"].mean == 17
    other = stats.profile(columns | {"t": ["quite", "different", "words", "here"]}, layout)
    assert other.parts["t.unknown"].mean == 1
    assert close(stats.unpack_profile(stats.pack_profile(found)), found)
    assert bins.Layout.unpack(layout.pack()).digest == layout.digest


@given(ROWS)
def test_packed_profiles_come_back_as_they_were(rows: list[tuple[float, str | None]]) -> None:
    made = stats.profile(table(rows), LAYOUT)
    assert stats.unpack_profile(stats.pack_profile(made)) == made
    assert stats.pack_profile(made) == stats.pack_profile(stats.unpack_profile(stats.pack_profile(made)))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused(at: int, by: int) -> None:
    packed = bytearray(stats.pack_profile(stats.profile(REFERENCE, LAYOUT)))
    packed[at % len(packed)] ^= by
    with pytest.raises(MillraceError) as error:
        stats.unpack_profile(bytes(packed))
    assert error.value.code == "stats.state"


def test_a_window_is_small_when_packed() -> None:
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=500) for i in range(10)}
    layout = stats.layout(columns)
    assert len(stats.pack_profile(stats.profile(columns, layout))) < 10 * 800


@pytest.mark.parametrize(
    "column",
    [
        [], [1.0], np.full(10, 7.0), np.full(10, np.nan), [None, None], np.array([np.inf, -np.inf, np.nan]),
        np.array([1e308, -1e308, 5e-324]), [True, False, None], np.array([2**63 - 1, -(2**63)]),
    ],
)  # fmt: skip
def test_odd_columns_have_layouts_and_finite_profiles(column: Any) -> None:
    layout = stats.layout({"x": column})
    for values in (column, [], list(column) * 3):
        summary = stats.profile({"x": values}, layout).parts["x"]
        assert summary.rows == len(values)
        assert np.isfinite([summary.mean, summary.m2, summary.sd, summary.distinct]).all()


@pytest.mark.slow
def test_a_million_categories_are_counted() -> None:
    codes = np.arange(1_000_001, dtype=np.int32)
    layout = stats.layout({"c": stats.Coded(codes[:400_000], np.arange(400_000).astype(str).tolist())})
    inner = layout.columns["c"]
    assert isinstance(inner, bins.CategoryBins) and inner.open and len(inner.levels) == 255
    part = stats.profile({"c": stats.Coded(codes[:100_000], np.arange(100_000).astype(str).tolist())}, layout).parts[
        "c"
    ]
    assert part.counts[-2:].tolist() == [0, 0] and part.rows == 100_000


@pytest.mark.slow
def test_a_first_pass_over_more_values_than_it_tracks() -> None:
    scan = None
    for start in range(0, 1_200_000, 400_000):
        column = np.array([*map(str, range(start, start + 400_000)), *["often"] * 10_000], object)  # one row in 41
        scan = bins.first_pass({"c": column}, seen=scan)
    assert scan is not None and scan.dropped == {"c"}
    inner = bins.layout_of(scan).columns["c"]
    assert isinstance(inner, bins.CategoryBins) and inner.open and inner.levels[0] == "often"


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"x": [1.0], "c": ["a", "b"]}, "stats.shape"),
        ({"x": ["word"], "c": ["a"]}, "stats.data"),
        ({"x": np.zeros((2, 2)), "c": ["a", "b"]}, "stats.shape"),
        ({"x": stats.Coded(np.array([0]), ["a"]), "c": ["a"]}, "stats.data"),
        ({"y": [1.0]}, "stats.data"),
    ],
)
def test_rows_that_do_not_fit_the_layout_are_refused(columns: dict[str, Any], code: str) -> None:
    with pytest.raises(MillraceError) as error:
        stats.profile(columns, LAYOUT)
    assert error.value.code == code and error.value.hint


def test_other_bad_input_has_its_own_code() -> None:
    other = stats.profile({"x": [1.0]}, stats.layout({"x": [1.0, 2.0]}))
    vectors = stats.layout({"v": np.zeros((3, 4))})
    cases = {
        "stats.shape": [
            lambda: stats.merge_profiles(other, stats.profile(REFERENCE, LAYOUT)),
            lambda: stats.profile({"v": np.zeros((3, 5))}, vectors),
            lambda: stats.profile({"v": [np.zeros(4), np.zeros(3)]}, vectors),
        ],
        "stats.data": [
            lambda: stats.layout({"x": [1.0]}, {"x": "numbr"}),  # type: ignore[dict-item]
            lambda: stats.first_pass({"y": [1.0]}, seen=stats.first_pass({"x": [1.0]})),
            lambda: stats.profile({"t": [3]}, stats.layout({"t": ["a"]}, {"t": "text"})),
        ],
        "stats.state": [lambda: bins.Layout.unpack(b"{"), lambda: stats.unpack_profile(b"")],
    }
    for code, calls in cases.items():
        for call in calls:
            with pytest.raises(MillraceError) as error:
                call()
            assert error.value.code == code
