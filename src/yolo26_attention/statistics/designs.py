"""Least-squares fits of studies; many studies of one design are fitted at once.

There are two models for the score of variant v with seed s: a mean of v, or a mean of v plus an effect of s (seeds are
blocks). There are two forms of the error. The shared form has one spread for all variants. In the robust form each
variant's spread is shrunk towards the shared one, and the baseline has its own spread where that is larger.

Source: randomized blocks as in Cochran and Cox (1957), Experimental Designs, chapter 4; shrinkage of variances as in
Smyth (2004), Linear models and empirical Bayes methods, with fixed prior degrees of freedom; spreads under
blocks by the expected squares of the residuals as in Rao (1970), Estimation of heteroscedastic variances.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

# Degrees of freedom that the shared spread counts for in a variant's own, and in the baseline's.
PRIOR, BASELINE_PRIOR = 16.0, 1.0


@dataclass(frozen=True)
class Design:
    """Which runs a study has: N runs of k variants, C comparisons.

    Attributes:
        groups: (N,) variant of each run, 0 for the baseline, each of 0 to k - 1 at least once.
        seeds: (N,) seed of each run.
        pairs: whether all pairs of variants are compared, or each with the baseline.
        contrasts: (C, k) weights of the variants' means in each comparison; empty for those that `pairs` names.
    """

    groups: tuple[int, ...]
    seeds: tuple[int, ...]
    pairs: bool = False
    contrasts: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, counts: tuple[int, ...], pairs: bool = False) -> "Design":
        """Return the design in which variant g has the seeds 0 to counts[g] - 1; variant 0 is the baseline."""
        runs = [(group, seed) for group, count in enumerate(counts) for seed in range(count)]
        return cls(tuple(group for group, _ in runs), tuple(seed for _, seed in runs), pairs)

    @property
    def counts(self) -> Int64[NDArray[np.int64], " variants"]:
        """Runs of each variant, the baseline first."""
        return np.bincount(self.groups).astype(np.int64)

    @property
    def comparisons(self) -> list[tuple[int, int]]:
        """The pairs compared, unless there are contrasts: of (a, b), the difference is a minus b."""
        variants = len(self.counts)
        if self.pairs:
            return [(b, a) for a, b in combinations(range(variants), 2)]
        return [(variant, 0) for variant in range(1, variants)]

    @property
    def weights(self) -> Float64[NDArray[np.float64], "comparisons variants"]:
        """Weights of the variants' means in each comparison."""
        if self.contrasts:
            return np.array(self.contrasts, dtype=np.float64)
        weights = np.zeros((len(self.comparisons), len(self.counts)))
        for row, (first, second) in zip(weights, self.comparisons, strict=True):
            row[first], row[second] = 1, -1
        return weights

    @property
    def one_baseline(self) -> bool:
        """Whether the baseline enters every comparison."""
        return not self.pairs and not self.contrasts


@dataclass(frozen=True, eq=False)
class Projection:
    """Ordinary least squares of one model of a design, as matrices.

    Attributes:
        residual: matrix that maps scores to residuals.
        weights: weights of the runs in each difference.
        membership: 1 where a run is of a variant.
        unmix: matrix that maps sums of squared residuals to the variants' own variances; None if they cannot be
            estimated.
        df: degrees of freedom of the shared error.
        correlation: correlation of the differences if all spreads are equal.
    """

    residual: Float64[NDArray[np.float64], "runs runs"]
    weights: Float64[NDArray[np.float64], "comparisons runs"]
    membership: Float64[NDArray[np.float64], "runs variants"]
    unmix: Float64[NDArray[np.float64], "variants variants"] | None
    df: int
    correlation: Float64[NDArray[np.float64], "comparisons comparisons"]


@lru_cache(maxsize=64)
def project(design: Design, blocked: bool) -> Projection | None:
    """Return the projection with or without seeds as blocks; None if a difference or its error cannot be estimated."""
    membership = np.eye(len(design.counts))[list(design.groups)]
    columns = membership
    if blocked:
        _, seed = np.unique(design.seeds, return_inverse=True)
        columns = np.hstack([membership, np.eye(seed.max() + 1)[seed]])
    inverse = np.linalg.pinv(columns)
    residual = np.eye(len(columns)) - columns @ inverse
    df = round(float(np.trace(residual)))
    wanted = design.weights
    contrasts = np.pad(wanted, ((0, 0), (0, columns.shape[1] - wanted.shape[1])))
    if df < 1 or not np.allclose(contrasts @ inverse @ columns, contrasts, atol=1e-8):
        return None
    weights = contrasts @ inverse
    expected = membership.T @ residual**2 @ membership
    unmix: NDArray[np.float64] | None = None
    if np.linalg.cond(expected) < 1e6:
        unmix = np.asarray(np.linalg.inv(expected), dtype=np.float64)
    covariance = weights @ weights.T
    scale = np.sqrt(np.diag(covariance))
    return Projection(
        residual,
        weights,
        membership,
        unmix,
        df,
        covariance / np.outer(scale, scale),
    )


@dataclass(frozen=True, eq=False)
class Fit:
    """Least squares of many studies of one design.

    Attributes:
        difference: estimated differences, in units of the score.
        shared: standard errors with the shared form of the error.
        robust: standard errors with the robust form.
        variance: variance of the shared error.
        spread: ratio of the largest of the variants' own variances to the shared one; 1 if they cannot be estimated.
    """

    difference: Float64[NDArray[np.float64], "studies comparisons"]
    shared: Float64[NDArray[np.float64], "studies comparisons"]
    robust: Float64[NDArray[np.float64], "studies comparisons"]
    variance: Float64[NDArray[np.float64], " studies"]
    spread: Float64[NDArray[np.float64], " studies"]


def fit(
    design: Design, projection: Projection, scores: Float64[NDArray[np.float64], "studies {len(design.groups)}"]
) -> Fit:
    """Fit the scores of many studies of one design."""
    squares = (scores @ projection.residual) ** 2 @ projection.membership
    variance = squares.sum(axis=1) / projection.df
    weights = projection.weights
    difference = scores @ weights.T
    shared = np.sqrt(np.outer(variance, (weights**2).sum(axis=1)))
    if projection.unmix is None:
        return Fit(difference, shared, shared, variance, np.ones(len(scores)))
    own = np.maximum(squares @ projection.unmix.T, 0)
    own[:, design.counts < 2] = 0
    spread = own.max(axis=1) / np.maximum(variance, 1e-300)
    prior = np.full(own.shape[1], PRIOR)
    if design.one_baseline:
        prior[0] = BASELINE_PRIOR
    share = prior / (prior + design.counts - 1)
    drawn = share * variance[:, None] + (1 - share) * own
    if design.one_baseline:
        drawn[:, 0] = np.maximum(drawn[:, 0], variance)
    robust = np.sqrt(drawn @ (weights**2 @ projection.membership).T)
    return Fit(difference, shared, robust, variance, spread)


def block_p(
    design: Design, scores: Float64[NDArray[np.float64], "studies {len(design.groups)}"]
) -> Float64[NDArray[np.float64], " studies"]:
    """P values of the F test that seeds have no effect.

    Only seeds with two or more runs count, because a seed that a single variant has says nothing about other variants.
    The p value is 1 if there is nothing to test, and 0 if the model without blocks has no degrees of freedom left.
    """
    if project(design, True) is None:
        return np.ones(len(scores))
    if project(design, False) is None:
        return np.zeros(len(scores))
    _, seed, runs = np.unique(design.seeds, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(runs[seed] > 1).tolist()
    with_blocks, without = _residuals(design, tuple(kept), True), _residuals(design, tuple(kept), False)
    error_df, df = np.trace(with_blocks), np.trace(without)
    if df - error_df < 0.5 or error_df < 0.5:
        return np.ones(len(scores))
    error = ((scores[:, kept] @ with_blocks) ** 2).sum(axis=1)
    explained = ((scores[:, kept] @ without) ** 2).sum(axis=1) - error
    ratio = np.maximum(explained, 0) / (df - error_df) / np.maximum(error / error_df, 1e-300)
    p: NDArray[np.float64] = scipy.special.fdtrc(df - error_df, error_df, ratio)
    return p


@lru_cache(maxsize=64)
def _residuals(
    design: Design, kept: tuple[int, ...], blocked: bool
) -> Float64[NDArray[np.float64], "{len(kept)} {len(kept)}"]:
    """Return the matrix that maps the scores of some of the runs to their residuals."""
    _, group = np.unique(np.array(design.groups)[list(kept)], return_inverse=True)
    _, seed = np.unique(np.array(design.seeds)[list(kept)], return_inverse=True)
    columns = np.eye(group.max() + 1)[group]
    if blocked:
        columns = np.hstack([columns, np.eye(seed.max() + 1)[seed]])
    return np.eye(len(columns)) - columns @ np.linalg.pinv(columns)
