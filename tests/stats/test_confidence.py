"""Confidence sequences equal their papers' formulas, and cover at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.stats import confidence as c


def bernstein_by_the_paper(x, alpha):
    """Theorem 2 of Waudby-Smith & Ramdas, in plain loops."""
    mean, variance, stakes, v, out = 0.5, 0.25, [], [], []
    for t, value in enumerate(x, start=1):
        stake = min(math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(1 + t))), 0.5)
        stakes.append(stake)
        v.append(4 * (value - mean) ** 2)
        psi = [(-math.log(1 - s) - s) / 4 for s in stakes]
        centre = sum(s * y for s, y in zip(stakes, x, strict=False)) / sum(stakes)
        half = (math.log(2 / alpha) + sum(a * b for a, b in zip(v, psi, strict=True))) / sum(stakes)
        out.append((centre, max(centre - half, 0), min(centre + half, 1)))
        mean = (0.5 + sum(x[:t])) / (t + 1)
        means = [(0.5 + sum(x[: i + 1])) / (i + 2) for i in range(t)]
        variance = (0.25 + sum((y - m) ** 2 for y, m in zip(x, means, strict=False))) / (t + 1)
    return np.array(out).T


def test_bernstein_is_the_papers():
    x = np.random.default_rng(0).beta(2, 5, 60)
    np.testing.assert_allclose(c.bernstein_sequence(x, 0.05), bernstein_by_the_paper(list(x), 0.05), rtol=1e-9)


def test_margin_is_the_stated_formula():
    t, alpha, best = 700.0, 0.05, 500.0
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / best
    want = 0.3 * math.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(math.sqrt(t * rho2 + 1) / alpha))
    assert float(c.asymptotic_margin(t, 0.3, alpha, best_at=best)) == pytest.approx(want, rel=1e-12)
    rho2 = (-2 * math.log(2 * alpha) + math.log(-2 * math.log(2 * alpha) + 1)) / best
    want = 0.3 * math.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(1 + math.sqrt(t * rho2 + 1) / (2 * alpha)))
    got = float(c.asymptotic_margin(t, 0.3, alpha, best_at=best, sides=1))
    assert got == pytest.approx(want, rel=1e-12)
    assert got < float(c.asymptotic_margin(t, 0.3, alpha, best_at=best))


def test_the_margin_is_tightest_near_where_it_was_asked_to_be():
    at = 1000.0
    widths = [float(c.asymptotic_margin(at, 1.0, 0.05, best_at=b)) for b in (10, 100, 1000, 10_000, 100_000)]
    assert min(widths) == widths[2]


def test_sequences_cover_at_every_look():
    """300 series of 400 skewed values, α = .1: at most 10 % + 2 binomial sd = 13.5 % ever miss the mean."""
    rng = np.random.default_rng(2)
    missed = {"bernstein": 0, "asymptotic": 0}
    for _ in range(300):
        x = rng.beta(0.5, 2, 400)
        for name, call in (("bernstein", c.bernstein_sequence), ("asymptotic", c.asymptotic_sequence)):
            _, low, high = call(x, 0.1)
            missed[name] += bool(((low > 0.2) | (high < 0.2)).any())
    assert missed["bernstein"] <= 40 and missed["asymptotic"] <= 40


def test_difference_waits_for_events_then_decides():
    rng = np.random.default_rng(3)
    control, same, worse = rng.random(40_000) < 0.01, rng.random(40_000) < 0.01, rng.random(40_000) < 0.03
    few = c.difference_verdict(c.arm(same[:500]), c.arm(control[:500]), 0.005, 0.05)
    assert few.decision == "undecided" and few.interval is None
    proven = c.difference_verdict(c.arm(same), c.arm(control), 0.005, 0.05)
    assert proven.decision == "proven" and proven.interval and proven.interval[0] < 0 < proven.interval[1]
    assert c.difference_verdict(c.arm(worse), c.arm(control), 0.005, 0.05).decision == "alarm"


def test_neutral_answers():
    assert c.difference_verdict(c.arm([]), c.arm([1.0]), 0.1, 0.05).effect is None
    assert c.difference_verdict(c.arm([1.0] * 50), c.arm([1.0] * 50), 0.1, 0.05).decision == "undecided"
    assert all(len(part) == 0 for part in c.bernstein_sequence([], 0.05))
    assert c.asymptotic_sequence(np.ones(3), 0.05)[2].tolist() == [np.inf] * 3
    constant = c.bernstein_sequence(np.zeros(50), 0.05)
    assert bool(np.isfinite(constant).all())


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: c.bernstein_sequence([2.0], 0.05), "stats.data"),
        (lambda: c.bernstein_sequence([0.5], 0), "stats.alpha"),
        (lambda: c.asymptotic_margin(0, 1, 0.05), "stats.data"),
        (lambda: c.asymptotic_margin(10, 1, 0.6, sides=1), "stats.alpha"),
        (lambda: c.asymptotic_sequence([np.inf], 0.05), "stats.data"),
        (lambda: c.difference_verdict(c.arm([1.0]), c.arm([1.0]), -0.1, 0.05), "stats.margin"),
    ],
)
def test_bad_input(call, code):
    with pytest.raises(MillraceError) as caught:
        call()
    assert caught.value.code == code and caught.value.hint
