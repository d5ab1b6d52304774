"""The noncentral t equals SciPy's, and its likelihood ratio has expectation 1 under the null, by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from millrace.stats.noncentral import log_ratio, noncentral_t_density


@pytest.mark.parametrize("df", [1, 2, 3.5, 10, 59, 119])
@pytest.mark.parametrize("nc", [-6, -1, 0, 0.3, 2, 6])
def test_density_equals_scipy(df, nc):
    t = np.linspace(-9, 15, 49)
    theirs = stats.nct.pdf(t, df, nc)
    np.testing.assert_allclose(noncentral_t_density(t, df, nc), theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("effect", [-1.5, 0.1, 0.8])
def test_ratio_is_the_ratio_of_densities(n, effect):
    t = np.linspace(-4, 4, 17)
    ours = log_ratio(t / np.sqrt(t * t + n - 1), n, effect)
    theirs = np.log(stats.nct.pdf(t, n - 1, effect * np.sqrt(n))) - stats.t.logpdf(t, n - 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_one_value_tells_its_sign():
    np.testing.assert_allclose(np.exp(log_ratio([1, -1], 1, 0.7)), 2 * stats.norm.cdf([0.7, -0.7]), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 10, 120])
@pytest.mark.parametrize("effect", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("truth", [0.0, -0.05, -0.5])
def test_expectation_is_at_most_one_on_the_whole_null(n, effect, truth):
    """E_truth[f_effect/f_0] ≤ 1 for every mean ≤ 0, and equals 1 at 0."""

    def product(t):
        return float(
            noncentral_t_density(t, n - 1, truth * np.sqrt(n))
            * np.exp(log_ratio(t / np.sqrt(t * t + n - 1), n, effect))
        )

    peaks = sorted({truth * np.sqrt(n), 0.0, effect * np.sqrt(n), (truth + effect) * np.sqrt(n)})
    whole = 0.0
    for low, high in zip([-400.0, *peaks], [*peaks, 400.0], strict=True):
        whole += integrate.quad(product, low, high, epsabs=1e-8, epsrel=1e-7, limit=100)[0]
    whole += 0.0 if n > 3 else (product(400.0) + product(-400.0)) * 400 / 2  # the tail of t with 2 degrees, ∝ t^−3
    assert whole <= 1 + 1e-5
    if truth == 0:
        assert whole == pytest.approx(1, abs=1e-5)
