"""Estimates and tests of a mean over a few seeds."""

import numpy as np
import pytest
from scipy import stats

from yolo26_attention.statistics import holm, mean_interval, seeds_to_decide, sign_flip
from yolo26_attention.statistics.paired import equivalence, paired_t
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
    "margin", [pytest.param(0.03, id="mean-inside"), pytest.param(0.005, id="mean-outside"), pytest.param(1, id="far")]
)
@pytest.mark.parametrize("sign", [pytest.param(1, id="higher"), pytest.param(-1, id="lower")])
def test_equivalence_is_two_one_sided_tests(margin, sign):
    differences = sign * np.array(DIFFERENCES)
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert equivalence(mean_interval(differences), margin) == pytest.approx(max(above, below))


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
    assert equivalence(estimate, 0.01) is None


@pytest.mark.parametrize("level", [pytest.param(0, id="0"), pytest.param(1, id="1"), pytest.param(95, id="percent")])
def test_level_is_a_share(level):
    with pytest.raises(ValueError, match=f"level={level}: between 0 and 1"):
        mean_interval(DIFFERENCES, level)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="steps-down-and-never-back"),
        pytest.param([0.4, 0.5], [0.8, 0.8], id="monotone"),
        pytest.param([0.7, 0.6], [1.0, 1.0], id="at-most-1"),
        pytest.param([None, 0.02, None, 0.03], [None, 0.04, None, 0.04], id="tests-not-made-do-not-count"),
        pytest.param([], [], id="empty"),
    ],
)
def test_holm(p, adjusted):
    assert holm(p) == [None if value is None else pytest.approx(value) for value in adjusted]


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


@pytest.mark.parametrize(("effect", "seeds"), [pytest.param(0.5, 34, id="half-sd"), pytest.param(1.0, 10, id="one-sd")])
def test_seeds_for_a_difference_are_the_textbooks(effect, seeds):
    """Sample sizes of the two-sided paired t test at 0.05 with a power of 80 %, as in Cohen's and G*Power's tables."""
    assert seeds_to_decide(effect, 1.0, margin=1e-9) == seeds


@pytest.mark.parametrize(
    ("mean", "margin"), [pytest.param(0, 0.02, id="no-difference"), pytest.param(-0.004, 0.02, id="a-small-one")]
)
def test_seeds_for_equivalence_reach_the_power(mean, margin, generator):
    seeds = seeds_to_decide(mean, 0.02, margin)

    def power(n):
        drawn = generator.normal(mean, 0.02, (20_000, n))
        error = drawn.std(axis=1, ddof=1) / np.sqrt(n)
        return np.mean(np.abs(drawn.mean(axis=1)) + stats.t.isf(0.05, n - 1) * error < margin)

    assert power(seeds - 2) < 0.8 < power(seeds) < 0.9


def test_more_variants_take_more_seeds():
    assert seeds_to_decide(0.01, 0.02, 0.005, family=10) > seeds_to_decide(0.01, 0.02, 0.005, family=1)


@pytest.mark.parametrize(
    ("mean", "sd", "seeds"), [pytest.param(1, 1e-6, 2, id="plain"), pytest.param(1e-9, 1, None, id="out-of-reach")]
)
def test_seeds_at_the_ends(mean, sd, seeds):
    assert seeds_to_decide(mean, sd, margin=1e-9) == seeds
