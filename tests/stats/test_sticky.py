"""Sticky units: each counted error is on the canary with exactly the weight it counts with."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from millrace.base.errors import MillraceError
from millrace.stats.sticky import CANARY, first_errors

RAMP = [0.1, 0.3, 0.2, 0.5]


def test_one_error_a_unit():
    errors, entries = first_errors({}, [("a", True, 0.1)] * 5 + [("b", False, 0.1)] * 7)
    assert (errors.canary.sum(), errors.control.sum()) == (1, 1)
    assert entries == {"a": CANARY, "b": 0.1}
    again, more = first_errors(entries, [("a", True, 0.4), ("b", False, 0.1), ("b", False, 0.05)])
    assert len(again.weights) == 0 and more == {}


def test_after_a_ramp_a_control_unit_counts_with_the_rest():
    errors, entries = first_errors({"b": 0.1}, [("b", True, 0.55)])
    assert errors.weights.tolist() == [pytest.approx(0.5)]
    assert (errors.canary.tolist(), entries) == ([1], {"b": CANARY})


@pytest.mark.slow
@pytest.mark.parametrize("fails", list(itertools.product([False, True], repeat=len(RAMP))))
def test_conditional_probability_is_the_weight_by_enumeration(fails):
    """A unit's draw is uniform; it fails at some steps of a ramp. Among the draws with the same past, the share of
    those on the canary at a counted error is the weight that it counts with."""
    draws = [Fraction(2 * i + 1, 2000) for i in range(1000)]
    by_past: dict[tuple[float, ...], list[tuple[float, bool]]] = {}
    for draw in draws:
        counted: dict[str, float] = {}
        past: tuple[float, ...] = ()
        for weight, failed in zip(RAMP, fails, strict=True):
            if not failed:
                continue
            errors, entries = first_errors(counted, [("u", draw < Fraction(weight), weight)])
            counted |= entries
            if len(errors.weights):
                canary = bool(errors.canary[0])
                by_past.setdefault((*past, float(weight)), []).append((float(errors.weights[0]), canary))
                past = (*past, float(weight), float(canary))
    for cases in by_past.values():
        assert len({round(w, 12) for w, _ in cases}) == 1
        assert sum(z for _, z in cases) / len(cases) == pytest.approx(cases[0][0], abs=1e-9)


def test_bad_weight():
    with pytest.raises(MillraceError) as caught:
        first_errors({}, [("a", True, 1.5)])
    assert caught.value.code == "stats.weight"
