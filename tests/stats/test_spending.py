"""However many challengers come, the year keeps α."""

from __future__ import annotations

from fractions import Fraction

import pytest

from millrace.base.errors import MillraceError
from millrace.stats.spending import challenger_alpha, split_alpha


def test_all_challengers_together_spend_alpha():
    spent = sum(challenger_alpha(0.05, k) for k in range(1, 1001))
    assert spent == pytest.approx(0.05 * float(1 - Fraction(1, 1001)))
    assert challenger_alpha(0.05, 1) == 0.025


def test_a_split_sums_to_alpha():
    parts = split_alpha(0.05)
    assert parts == {"errors": 0.025, "latency": 0.0125, "label loss": 0.0125}
    assert sum(split_alpha(0.1, {"a": 3, "b": 1}).values()) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: challenger_alpha(0.05, 0), "stats.data"),
        (lambda: challenger_alpha(1.0, 1), "stats.alpha"),
        (lambda: split_alpha(0.05, {}), "stats.weight"),
        (lambda: split_alpha(0.05, {"a": 0}), "stats.weight"),
        (lambda: split_alpha(0.05, {"a": float("nan"), "b": 1.0}), "stats.weight"),
        (lambda: split_alpha(0.05, {"a": float("inf")}), "stats.weight"),
        (lambda: split_alpha(-1), "stats.alpha"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
