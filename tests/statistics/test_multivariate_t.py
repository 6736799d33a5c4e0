"""The largest of several correlated |t|."""

import numpy as np
import pytest
from scipy import stats

from yolo26_attention.statistics.multivariate_t import matching_df, max_t_p, max_t_p_curve, max_t_quantile


def equal(size, rho=0.5):
    return np.full((size, size), rho) + (1 - rho) * np.eye(size)


@pytest.mark.parametrize(
    ("size", "df", "critical"),
    # Dunnett (1964), New tables for multiple comparisons with a control, two-sided, joint level 0.95.
    [(2, 6, 2.86), (4, 10, 2.89), (4, 20, 2.65), (9, 20, 2.95), (6, 30, 2.72), (3, 5, 3.29)],
)
def test_critical_values_are_those_of_dunnetts_table(size, df, critical):
    assert max_t_quantile(0.95, equal(size), df) == pytest.approx(critical, abs=0.0055)


@pytest.mark.parametrize(("groups", "df"), [(3, 6), (5, 10), (8, 40)])
def test_all_pairs_have_the_studentized_range(groups, df):
    first, second = np.triu_indices(groups, 1)
    contrasts = np.eye(groups)[first] - np.eye(groups)[second]
    critical = max_t_quantile(0.95, contrasts @ contrasts.T / 2, df)
    assert critical == pytest.approx(stats.studentized_range.ppf(0.95, groups, df) / np.sqrt(2), rel=2e-3)


def test_one_contrast_is_students_t():
    assert max_t_quantile(0.95, [[1.0]], 2) == pytest.approx(4.302652729911275)
    assert max_t_p([-4.302652729911275], [[1.0]], 2) == pytest.approx([0.05])


def test_independent_contrasts_of_known_error_are_sidaks():
    p = 2 * stats.norm.sf(2.5)
    assert max_t_p(2.5, np.eye(5), 1e6) == pytest.approx(1 - (1 - p) ** 5, rel=5e-3)


def test_unequal_correlations_agree_with_numerical_integration():
    """Baseline of twice the runs: the correlation is that of a product, so that two integrals are enough."""
    lam = np.sqrt([1 / 3, 0.5, 0.25])
    correlation = np.outer(lam, lam) + np.diag(1 - lam**2)
    z, weights = np.polynomial.hermite_e.hermegauss(80)
    s = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, 7) / 7)
    bound = 2.4 * s[:, None, None]
    inside = stats.norm.cdf((bound - lam * z[:, None]) / np.sqrt(1 - lam**2)) - stats.norm.cdf(
        (-bound - lam * z[:, None]) / np.sqrt(1 - lam**2)
    )
    expected = 1 - (inside.prod(axis=2) @ weights / np.sqrt(2 * np.pi)).mean()
    assert max_t_p(2.4, correlation, 7) == pytest.approx(expected, rel=1e-3)
    # Signs of contrasts do not matter to |t|; correlations below zero are sampled instead.
    signs = np.outer([1, -1, 1], [1, -1, 1])
    assert max_t_p(2.4, correlation * signs, 7) == pytest.approx(expected, rel=1e-2)


def test_interpolated_p_values_are_near():
    t = np.array([0.0, 0.3, 1.7, 2.88, 9.0])
    assert max_t_p_curve(t, equal(4), 8) == pytest.approx(max_t_p(t, equal(4), 8), rel=5e-3)


def test_degrees_of_freedom_are_found_from_their_critical_value():
    assert matching_df(max_t_quantile(0.95, equal(4), 8), 0.95, equal(4)) == pytest.approx(8, rel=1e-3)
    assert matching_df(1.0, 0.95, equal(4)) == 1e6
    assert matching_df(1e6, 0.95, equal(4)) == 1


@pytest.mark.parametrize(
    ("correlation", "df", "message"),
    [
        ([[1.0, 0.5]], 3, "square"),
        ([[2.0]], 3, "ones on its diagonal"),
        ([[1.0, 2.0], [2.0, 1.0]], 3, "negative eigenvalues"),
        ([[1.0]], 0, "more runs than variants"),
    ],
)
def test_what_has_no_distribution_is_refused(correlation, df, message):
    with pytest.raises(ValueError, match=message):
        max_t_p(2.0, correlation, df)


def test_level_is_a_share():
    with pytest.raises(ValueError, match=r"for example 0\.95"):
        max_t_quantile(95, [[1.0]], 3)
