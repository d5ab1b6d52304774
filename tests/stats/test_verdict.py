"""A verdict is always finite and always JSON; a bad argument is refused with its code and a hint."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import verdict as v

BAD = [
    (lambda: v.check_alpha(0), "stats.alpha"),
    (lambda: v.check_alpha(1.0), "stats.alpha"),
    (lambda: v.check_alpha(math.nan), "stats.alpha"),
    (lambda: v.check_margin(-0.01), "stats.margin"),
    (lambda: v.check_margin(0), "stats.margin"),
    (lambda: v.check_margin(math.inf), "stats.margin"),
    (lambda: v.check_share(1.1), "stats.weight"),
    (lambda: v.check_share(math.nan), "stats.weight"),
    (lambda: v.check_open_share(1), "stats.weight"),
    (lambda: v.check_open_share(0), "stats.weight"),
    (lambda: v.check_shares([0.2, -0.1]), "stats.weight"),
    (lambda: v.check_shares([math.nan]), "stats.weight"),
    (lambda: v.column([1, math.inf], "losses"), "stats.data"),
    (lambda: v.column(["a"], "losses"), "stats.data"),
    (lambda: v.column([[1.0]], "losses"), "stats.shape"),
    (lambda: v.check_losses([0.5, 1.5]), "stats.data"),
    (lambda: v.check_counts([1, -1]), "stats.data"),
    (lambda: v.check_counts([1.5]), "stats.data"),
    (lambda: v.check_rising([3, 3]), "stats.time"),
    (lambda: v.check_rising([-1, 3]), "stats.time"),
    (lambda: v.check_rising([4, 3]), "stats.time"),
    (lambda: v.same_length("columns", [1], [1, 2]), "stats.shape"),
]


@pytest.mark.parametrize(("call", "code"), BAD)
def test_bad_arguments_have_a_code_and_a_hint(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.hint


def test_good_arguments_pass():
    assert v.check_alpha(0.05) == 0.05
    assert v.check_margin(np.float64(0.005)) == 0.005
    assert v.check_open_share(0.1) == 0.1
    assert v.check_shares([0, 1]).tolist() == [0, 1]
    assert v.check_rising([]).dtype == np.int64
    assert v.check_counts([0, 2]).dtype == np.int64
    assert v.same_length("columns", [1, 2], [3, 4]) == 2


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_any_number_but_nan_becomes_a_json_verdict(x, log_e):
    verdict = v.Verdict(
        claim="c", unit="block", n=3, statistic=v.finite(x), bound=v.evidence(log_e), alpha=0.05, decision=v.QUIET,
        because="b", effect=v.finite(-x), interval=(v.finite(-abs(x)), v.finite(abs(x))),
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=v.Verdict) == verdict
    assert not verdict.decided


def test_nan_never_enters_a_verdict():
    with pytest.raises(AssertionError):
        v.Verdict(claim="c", unit="row", n=1, statistic=math.nan, bound=1, alpha=0.1, decision=v.ALARM, because="b")
    with pytest.raises(AssertionError):
        v.finite(math.nan)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"), (0.01234, "0.0123"), (20, "20"), (59.98, "60"), (999.6, "1,000"), (3652.5, "3,650"),
        (-1800, "-1,800"), (1.499e7, "15,000,000"), (2e9, "2e+09"), (1e-5, "1e-05"),
    ],
)  # fmt: skip
def test_a_figure_reads_without_an_exponent_where_people_count(value: float, told: str) -> None:
    assert v.figure(value) == told


def test_a_figure_keeps_as_many_digits_as_are_asked() -> None:
    assert v.figure(13_862, 4) == "13,860"
    assert v.figure(59.984, 4) == "59.98"
