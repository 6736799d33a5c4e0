"""Quantiles and tail probabilities of the largest of several correlated |t| with one error variance.

With `Z` normal of the given correlation and `s` an independent error estimate of `df` degrees of freedom,
P(max |Z| / s > t) is the mean over Z of P(s < max |Z| / t). The inner probability is chi-squared and exact. The
distribution of max |Z| is integrated numerically where correlations are products, as of comparisons with one baseline,
and taken from 16,384 points of a Sobol sequence with a fixed seed otherwise: equal input gives equal output.

Source: Genz and Bretz (2009), Computation of Multivariate Normal and t Probabilities.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.paired import check_level

Correlation = Sequence[Sequence[float]] | Float64[NDArray[np.float64], "contrasts contrasts"]
# Values of max |Z| and their weights.
Distribution = tuple[Float64[NDArray[np.float64], " points"], Float64[NDArray[np.float64], " points"]]

POINTS_LOG2 = 14
MOST_DF = 1e6


def max_t_p(
    t: float | Sequence[float] | Float64[NDArray[np.float64], "*shape"], correlation: Correlation, df: float
) -> Float64[NDArray[np.float64], "*shape"]:
    """Probability that the largest of m |t| exceeds each of the values given: single-step adjusted p values.

    Args:
        t: values of t; their sign is ignored.
        correlation: correlation of the contrasts; it may be singular.
        df: degrees of freedom of the error, above 0.

    Returns:
        Probabilities, one for each of `t`; errors are below 1e-5 for comparisons with one baseline and about 1 % of the
        probability otherwise.

    Raises:
        ValueError: if the correlation is no correlation matrix or df is not positive.

    Source: Dunnett (1955); Hothorn, Bretz and Westfall (2008).
    """
    largest = _largest(correlation, df)
    values = np.abs(np.asarray(t, dtype=np.float64))
    if np.size(correlation) == 1:
        return np.asarray(2 * scipy.special.stdtr(df, -values), dtype=np.float64)
    tails = [_tail(value, largest, df) for value in values.ravel()]
    return np.array(tails, dtype=np.float64).reshape(values.shape)


def max_t_quantile(level: float, correlation: Correlation, df: float) -> float:
    """Value that the largest of m |t| does not exceed with probability `level`: Dunnett's critical value.

    Args:
        level: between 0 and 1, for example 0.95.
        correlation: correlation of the contrasts; it may be singular.
        df: degrees of freedom of the error, above 0.

    Raises:
        ValueError: if the level is not between 0 and 1, the correlation is no correlation matrix or df is not positive.

    Source: Dunnett (1955).
    """
    check_level(level)
    largest = _largest(correlation, df)
    # Bonferroni's inequality bounds it from above, a single t from below.
    alone = float(scipy.special.stdtrit(df, (1 + level) / 2))
    if np.size(correlation) == 1:
        return alone
    most = float(scipy.special.stdtrit(df, 1 - (1 - level) / (2 * len(np.atleast_2d(correlation)))))
    return float(
        scipy.optimize.brentq(lambda t: _tail(t, largest, df) - (1 - level), 0.9 * alone, 1.1 * most + 0.1, xtol=1e-6)
    )


def max_t_p_curve(
    t: Float64[NDArray[np.float64], "*shape"], correlation: Correlation, df: float
) -> Float64[NDArray[np.float64], "*shape"]:
    """`max_t_p` interpolated between 140 of its values: for arrays of many thousand t, relative error below 5e-3.

    Args:
        t: not negative.
        correlation: correlation of the contrasts.
        df: degrees of freedom of the error.
    """
    matrix = np.atleast_2d(np.asarray(correlation, dtype=np.float64))
    grid, logs = _curve(matrix.tobytes(), len(matrix), df)
    return np.exp(np.interp(np.log1p(t), np.log1p(grid), logs))


@lru_cache(maxsize=256)
def _curve(
    matrix: bytes, size: int, df: float
) -> tuple[Float64[NDArray[np.float64], " points"], Float64[NDArray[np.float64], " points"]]:
    """Return values of t and the logarithms of their tail probabilities; the curve is constant beyond the last one."""
    grid = np.concatenate([np.linspace(0, 8, 100), np.geomspace(8.2, 1000, 40)])
    tails = max_t_p(grid, np.frombuffer(matrix).reshape(size, size), df)
    return grid, np.log(np.maximum(tails, 1e-300))


def matching_df(critical: float, level: float, correlation: Correlation) -> float:
    """Degrees of freedom, from 1 to 1,000,000, whose quantile is nearest to a critical value.

    Args:
        critical: critical value of the largest |t|.
        level: its confidence level.
        correlation: correlation of the contrasts.
    """

    def excess(log_df: float) -> float:
        return max_t_quantile(level, correlation, float(np.exp(log_df))) - critical

    low, high = 0.0, float(np.log(MOST_DF))
    if excess(low) <= 0:
        return 1.0
    return MOST_DF if excess(high) >= 0 else float(np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-4)))


def _tail(t: float, largest: Distribution, df: float) -> float:
    values, weights = largest
    return float(scipy.special.chdtr(df, df * (values / t) ** 2) @ weights) if t > 0 else 1.0


def _largest(correlation: Correlation, df: float) -> Distribution:
    matrix = np.atleast_2d(np.asarray(correlation, dtype=np.float64))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(np.diag(matrix), 1):
        raise ValueError(f"correlation of shape {matrix.shape}: a square matrix with ones on its diagonal is needed")
    if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] < -1e-8:
        raise ValueError("correlation: symmetric, without negative eigenvalues, is needed")
    if not df > 0:
        raise ValueError(f"df={df}: above 0, more runs than variants are needed")
    return _largest_of(np.round(matrix, 10).tobytes(), len(matrix))


@lru_cache(maxsize=64)
def _largest_of(content: bytes, size: int) -> Distribution:
    matrix = np.frombuffer(content).reshape(size, size)
    loadings = _loadings(matrix)
    return _sampled(matrix) if loadings is None else _integrated(loadings)


def _loadings(
    matrix: Float64[NDArray[np.float64], "contrasts contrasts"],
) -> Float64[NDArray[np.float64], " contrasts"] | None:
    """Find l below 1 with correlations l_i l_j, as comparisons with one baseline have; None if there are none."""
    size = len(matrix)
    if size < 2 or matrix.min() <= 0:
        return None
    loadings = np.full(size, np.sqrt(matrix[0, 1]))
    if size > 2:
        for i in range(size):
            j, k = [other for other in range(3) if other != i][:2]
            loadings[i] = np.sqrt(matrix[i, j] * matrix[i, k] / matrix[j, k])
    product = np.outer(loadings, loadings)
    np.fill_diagonal(product, 1)
    return loadings if loadings.max() < 0.97 and np.allclose(product, matrix, atol=1e-7) else None


def _integrated(loadings: Float64[NDArray[np.float64], " contrasts"]) -> Distribution:
    """Integrate over the common part of the comparisons by Gauss-Hermite quadrature; Dunnett (1955)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(96)
    scale = np.sqrt(1 - loadings**2)
    shift = loadings * nodes[:, None]
    edges = np.linspace(0, 9, 2401)
    below = np.array(
        [np.prod(scipy.special.ndtr((u - shift) / scale) - scipy.special.ndtr((-u - shift) / scale), 1) for u in edges]
    )
    distribution = below @ (weights / np.sqrt(2 * np.pi))
    return (edges[1:] + edges[:-1]) / 2, np.diff(distribution, append=1.0)[:-1]


def _sampled(matrix: Float64[NDArray[np.float64], "contrasts contrasts"]) -> Distribution:
    """Sample by a Sobol sequence, for any correlation."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-8
    factor = vectors[:, kept] * np.sqrt(values[kept])
    if factor.shape[1] == 1:
        points = (np.arange(2**POINTS_LOG2) + 0.5)[:, None] / 2**POINTS_LOG2
    else:
        points = scipy.stats.qmc.Sobol(factor.shape[1], scramble=True, rng=0).random_base2(POINTS_LOG2)
    normal = scipy.special.ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    largest: NDArray[np.float64] = np.abs(normal @ factor.T).max(axis=1)
    return largest, np.full(len(largest), 1 / len(largest))
