"""Estimates and tests of a mean over a few seeds."""

import numpy as np
import pytest
from scipy import stats

from yolo26_attention.statistics import mean_interval
from yolo26_attention.statistics.paired import paired_t, sign_flip
from yolo26_attention.statistics.seeds import pair_seeds

DIFFERENCES = [0.012, -0.004, 0.021, 0.008, 0.015]


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("seeds", [pytest.param(n, id=f"{n}-seeds") for n in (3, 5, 10)])
def test_paired_interval_covers_what_it_claims(seeds, generator):
    """Seeds move both scores by far more than they move the difference, as an unpaired interval would show."""
    truth, covered = 0.01, []
    for _ in range(4000):
        baseline = generator.normal(0.4, 0.05, seeds)
        variant = baseline + generator.normal(truth, 0.01, seeds)
        differences, _ = pair_seeds(dict(enumerate(variant)), dict(enumerate(baseline)))
        estimate = mean_interval(differences)
        covered.append(estimate.low <= truth <= estimate.high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_mean_and_interval_are_those_of_scipy():
    estimate = mean_interval(DIFFERENCES, level=0.9)
    expected = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.9)
    assert (estimate.n, estimate.mean) == (5, pytest.approx(np.mean(DIFFERENCES)))
    assert (estimate.low, estimate.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert estimate.sd == pytest.approx(np.std(DIFFERENCES, ddof=1))


def test_p_of_paired_t_is_that_of_scipy():
    assert paired_t(mean_interval(DIFFERENCES)) == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).pvalue)


@pytest.mark.parametrize(
    ("values", "n", "mean", "sd"),
    [
        pytest.param([], 0, None, None, id="none"),
        pytest.param([np.nan], 0, None, None, id="only-nan"),
        pytest.param([0.3], 1, 0.3, None, id="one"),
        pytest.param([0.3, np.nan, np.inf], 1, 0.3, None, id="one-finite"),
        pytest.param([0.3, 0.3, 0.3], 3, 0.3, 0.0, id="equal"),
        pytest.param([0.4 - 0.3, 0.3 - 0.2, 0.2 - 0.1], 3, 0.1, 0.0, id="equal-but-for-rounding"),
    ],
)
def test_without_spread_there_is_no_interval(values, n, mean, sd):
    estimate = mean_interval(values)
    assert (estimate.n, estimate.sd, estimate.low, estimate.high) == (n, sd, None, None)
    assert estimate.mean == (None if mean is None else pytest.approx(mean))
    assert paired_t(estimate) is None


@pytest.mark.parametrize("level", [pytest.param(0, id="0"), pytest.param(1, id="1"), pytest.param(95, id="percent")])
def test_level_is_a_share(level):
    with pytest.raises(ValueError, match=f"level={level}: between 0 and 1"):
        mean_interval(DIFFERENCES, level)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        pytest.param([1, 2, 3], 2 / 8, id="least-of-three"),
        pytest.param([3, 1, -1], 6 / 8, id="counted-by-hand"),
        pytest.param([1, 2, 3, 4, 5, 6], 2 / 64, id="least-of-six"),
        pytest.param([0, 0, 0], 1, id="all-zero"),
        pytest.param([1, np.nan, 2, 3], 2 / 8, id="nan-left-out"),
        pytest.param([2], None, id="one"),
        pytest.param([], None, id="none"),
    ],
)
def test_sign_flip_is_exact(differences, p, generator):
    assert sign_flip(differences, generator) == (None if p is None else pytest.approx(p))


def test_sign_flip_of_many_pairs_draws_patterns(generator):
    differences = generator.normal(0.4, 1, 16)
    signs = 1 - 2 * (np.arange(2**16)[:, None] >> np.arange(16) & 1)
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    p = sign_flip(differences, np.random.default_rng(1))
    assert p == pytest.approx(exact, abs=0.015)
    assert p == sign_flip(differences, np.random.default_rng(1))
    assert p != sign_flip(differences, np.random.default_rng(2))
