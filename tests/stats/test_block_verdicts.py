"""The block t-test: scale-free, mirrored, silent until it knows something, and false as rarely as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.stats import block_verdicts as t
from millrace.stats.blocks import STRICT, Blocks, blocks_by_entity

days = st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=3, max_size=12)


def blocks(means):
    k = len(means)
    return Blocks(np.arange(k), np.full(k, 50), np.asarray(means, float), np.full(k, 49.0))


@given(days, st.floats(0.01, 100))
@settings(max_examples=40)
def test_evidence_is_free_of_scale_and_mirrored(x, scale):
    x = np.array(x)
    up = t.block_evidence(x, 0, "above")
    np.testing.assert_allclose(t.block_evidence(scale * x, 0, "above"), up, atol=1e-6)
    np.testing.assert_allclose(t.block_evidence(-x, 0, "below"), up, atol=1e-12)
    either = np.logaddexp(up, t.block_evidence(x, 0, "below")) - math.log(2)
    np.testing.assert_allclose(t.block_evidence(x, 0, "either"), either, atol=1e-9)


@given(days)
@settings(max_examples=20)
def test_interval_holds_exactly_what_is_not_rejected(x):
    """Duality: just inside the interval the evidence is below 1/α, just outside above it."""
    means = np.array(x) + np.linspace(0, 0.1, len(x))
    interval = t.block_interval(means, 0.1)
    if interval is None or interval[1] - interval[0] < 1e-3:
        return
    width = interval[1] - interval[0]
    for edge, out in ((interval[0], -1), (interval[1], 1)):
        assert t.block_evidence(means, edge - out * 1e-4 * width)[-1] < math.log(10) + 1e-9
        assert t.block_evidence(means, edge + out * 1e-4 * width)[-1] > math.log(10) - 1e-9


def test_a_clear_gain_is_proven_and_a_loss_is_not():
    rng = np.random.default_rng(1)
    gain = rng.normal(-1.2, 1, 40)
    proven = t.better_by_blocks(blocks(gain), 0.05)
    assert (proven.decision, proven.unit, proven.n) == ("proven", "block", 40)
    assert proven.interval and proven.interval[1] < 0
    assert proven.design_effect and proven.design_effect > 1
    assert t.better_by_blocks(blocks(-gain), 0.05).decision == "undecided"


def test_a_rise_of_loss_and_a_bias_alarm():
    rng = np.random.default_rng(2)
    loss = rng.normal(0.3, 0.02, 30)
    assert t.worse_by_blocks(blocks(loss), 0.2, 0.05, 0.05).decision == "alarm"
    assert t.worse_by_blocks(blocks(loss), 0.3, 0.05, 0.05).decision == "undecided"
    assert t.biased_by_blocks(blocks(rng.normal(-0.2, 0.1, 30)), 0.05).decision == "alarm"


@pytest.mark.parametrize("k", [0, 1, 2])
def test_too_few_blocks_say_so(k):
    verdict = t.better_by_blocks(blocks([-1.0] * k), 0.05)
    assert (verdict.decision, verdict.statistic, verdict.interval) == ("undecided", 1.0, None)
    assert "not enough evidence yet" in verdict.because


def test_blocks_of_one_row_and_constant_blocks_are_neutral_or_counted_as_blocks():
    one_row = blocks_by_entity(np.linspace(-1, -0.5, 30), np.arange(30))
    verdict = t.better_by_blocks(one_row, 0.05)
    assert (verdict.n, verdict.design_effect) == (30, None)
    zero = t.better_by_blocks(blocks([0.0] * 50), 0.05)
    assert (zero.decision, zero.statistic, zero.effect) == ("undecided", 1.0, 0.0)


def test_bad_input():
    for call, code in [
        (lambda: t.block_evidence([np.nan]), "stats.data"),
        (lambda: t.better_by_blocks(blocks([1.0]), 1.5), "stats.alpha"),
        (lambda: t.block_interval([1.0, 2.0], 0), "stats.alpha"),
        (lambda: t.block_interval([1.0, 2.0], 0.05, 0.7), "stats.alpha"),
        (lambda: t.worse_by_blocks(blocks([1.0]), 0.2, -0.01, 0.05), "stats.margin"),
        (lambda: t.worse_by_blocks(blocks([1.0]), 0.2, np.nan, 0.05), "stats.margin"),
    ]:
        with pytest.raises(MillraceError) as caught:
            call()
        assert caught.value.code == code


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "most"), [(0.0, 0.05), (0.2, 0.08), (0.4, 0.12)])
def test_false_alarms_in_sixty_days(rho, most):
    """400 series, a look after each block, α = .05. `most` is what the module states plus 2 binomial sd (± .022)."""
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(400, 60))
    x = noise.copy()
    for day in range(1, 60):
        x[:, day] = rho * x[:, day - 1] + math.sqrt(1 - rho * rho) * noise[:, day]
    false = np.mean([t.block_evidence(row, 0, "above").max() >= math.log(20) for row in x])
    assert false <= most


def test_taking_memory_off_makes_no_alarm():
    """Blocks are independent, yet the test takes them for fewer: what then alarms would have done so at full size.

    So the promise of the likelihood ratio, P(ever) ≤ α, stands with the widening. Computed over fits and sizes.
    """
    sizes = np.unique(np.concatenate([np.linspace(3, 12, 10), np.geomspace(12, 500, 15)]))
    for ratio in (*np.linspace(-2, 2, 11), 6.0, 20.0):  # mean over standard deviation of the blocks
        fit = np.sqrt(sizes) * ratio / np.sqrt(sizes * ratio**2 + sizes - 1)
        for side in ("above", "either"):
            path = t._mixed(fit, sizes, side)
            before = np.maximum.accumulate(path)
            assert (
                before[before > path + 1e-9].max(initial=0.0) < 1e-9
            )  # what falls as blocks are added never was above 1


@pytest.mark.slow
def test_strict_memory_holds_what_the_estimate_does_not():
    """400 series of 60 days, lag-one autocorrelation .4, α = .05; ± .022 at two binomial sd."""
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(400, 60))
    x = noise.copy()
    for day in range(1, 60):
        x[:, day] = 0.4 * x[:, day - 1] + math.sqrt(1 - 0.16) * noise[:, day]
    strict = np.mean([t.block_evidence(row, 0, "above", STRICT).max() >= math.log(20) for row in x])
    loose = np.mean([t.block_evidence(row, 0, "above").max() >= math.log(20) for row in x])
    assert strict <= 0.05 < loose


def test_every_verdict_takes_memory_s_limit():
    told = blocks(1.5 + np.sin(np.arange(30.0)) + 0.2 * np.random.default_rng(9).normal(size=30))
    for plain, strict in (
        (t.better_by_blocks(told, 0.05), t.better_by_blocks(told, 0.05, memory=STRICT)),
        (t.worse_by_blocks(told, 0.0, 0.1, 0.05), t.worse_by_blocks(told, 0.0, 0.1, 0.05, memory=STRICT)),
        (t.biased_by_blocks(told, 0.05), t.biased_by_blocks(told, 0.05, memory=STRICT)),
        (t.biased_by_blocks(told, 0.05, starts_every=7), t.biased_by_blocks(told, 0.05, starts_every=7, memory=STRICT)),
    ):
        assert strict.statistic < plain.statistic or plain.statistic == 1
        assert strict.interval[0] < plain.interval[0] and strict.interval[1] > plain.interval[1]
        assert strict.effect == plain.effect


def test_starts_are_mixed_as_defined():
    x = np.random.default_rng(3).normal(0.3, 1, 20)
    wanted = np.ones(20) * (1 - 1 / 2 - 1 / 6 - 1 / 12)
    for start, weight in ((0, 1 / 2), (7, 1 / 6), (14, 1 / 12)):
        wanted[:start] += weight
        wanted[start:] += weight * np.exp(t.block_evidence(x[start:]))
    assert np.allclose(np.exp(t.started_evidence(x, 7)), wanted, rtol=1e-12)
    assert t.started_evidence([], 7).shape == (0,)
    with pytest.raises(MillraceError, match="blocks from start to start"):
        t.started_evidence(x, 0)


def test_calm_is_no_debt_with_starts():
    random = np.random.default_rng(5)
    x = np.concatenate([random.normal(0, 1, 28), random.normal(2.3, 1, 20)])
    told = blocks(x)
    assert t.biased_by_blocks(told, 0.05).decision == "undecided"
    found = t.biased_by_blocks(told, 0.05, starts_every=7)
    assert found.decision == "alarm" and found.statistic >= 20
    assert t.worse_by_blocks(told, 0.0, 0.5, 0.05, starts_every=7).decision == "alarm"


def test_evidence_that_is_asked_for_again_is_the_same_to_the_last_bit():
    x = np.random.default_rng(8).normal(0.5, 1, 40)
    by_day = [t.block_evidence(x[:days])[-1] for days in range(1, 41)]
    t._KNOWN.clear()
    assert by_day == t.block_evidence(x).tolist()


@pytest.mark.slow
def test_false_alarms_with_a_start_a_week():
    """200 independent series of 60 days: evidence is free of scale, so this is the null itself. 1.7 % is measured."""
    x = np.random.default_rng(11).normal(size=(200, 60))
    false = np.mean([t.started_evidence(row, 7).max() >= math.log(20) for row in x])
    assert false <= 0.05


def test_starts_together_are_bounded_whatever_they_share():
    """The proof's two sums at α = 5 %: what is cut off, and what is left after Markov, come to 7α."""
    j = np.arange(1_000_000)
    weight, alpha = 1 / ((j + 1.0) * (j + 2)), 0.05
    cut = 1 / (alpha * weight)
    over, under = (1 / cut).sum(), alpha * (weight * (1 + np.log(cut))).sum()
    assert weight.sum() == pytest.approx(1, abs=1e-5)
    assert over + under == pytest.approx(alpha * (4.05 + math.log(1 / alpha)), rel=0.001) and over + under < 7.1 * alpha
