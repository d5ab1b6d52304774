"""Chi-square tails equal SciPy's, central and not, near and far."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from millrace.base.errors import MillraceError
from millrace.stats.chi_square import SMALLEST, chi_square_point, chi_square_tail


@pytest.mark.parametrize("degrees", [1, 2, 3, 7, 18, 66, 300])
@pytest.mark.parametrize("noncentrality", [0, 0.3, 1, 5, 50, 5000])
def test_tail_equals_scipy(degrees, noncentrality):
    sd = np.sqrt(2 * (degrees + 2 * noncentrality))
    x = np.concatenate([np.linspace(0.01, 2, 20) * (degrees + noncentrality),
                        degrees + noncentrality + np.linspace(0, 25, 20) * sd])  # fmt: skip
    theirs = stats.ncx2.sf(x, degrees, noncentrality) if noncentrality else stats.chi2.sf(x, degrees)
    kept = theirs > 1e-250
    ours = chi_square_tail(x, degrees, noncentrality)
    np.testing.assert_allclose(ours[kept], theirs[kept], rtol=1e-9)
    assert ((ours > 0) & (ours <= 1)).all()


def test_ends_are_finite():
    tail = chi_square_tail([0, 0, 5, 1e9, 3e7], [0, 4, 0, 3, 10], [0, 2, 0, 1, 2.9e7])
    np.testing.assert_array_equal(tail[:4], [1, 1, SMALLEST, SMALLEST])
    assert SMALLEST <= tail[4] < 1e-6


@pytest.mark.parametrize("noncentrality", [0, 0.5, 20, 4000])
@pytest.mark.parametrize("degrees", [18, 66])
@pytest.mark.parametrize("tail", [0.3, 1e-2, 1e-5])
def test_point_is_near_scipys(tail, degrees, noncentrality):
    theirs = stats.ncx2.isf(tail, degrees, noncentrality) if noncentrality else stats.chi2.isf(tail, degrees)
    np.testing.assert_allclose(chi_square_point([tail], [degrees], [noncentrality]), theirs, rtol=1e-2)


@pytest.mark.parametrize("bad", [([1.0], [2.5], 0), ([-1.0], [2], 0), ([1.0], [2], -1), ([np.inf], [2], 0)])
def test_what_cannot_be_is_refused(bad):
    with pytest.raises(MillraceError, match=r"stats\.data|chi-square|infinite"):
        chi_square_tail(*bad)
