"""Estimates and tests of a mean over a few seeds, most often of paired differences.

The t interval is the headline: with 3 to 10 values it is the one that covers what it claims, while bootstrap intervals
over so few are too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are first used, and a training is under way by then
from jaxtyping import Float64
from numpy.typing import NDArray

# One value per seed, or per pair of seeds.
Values = Sequence[float] | Float64[NDArray[np.float64], " values"]

# Up to 13 pairs, all 2^n sign patterns are tried; with more pairs, this many random ones.
SIGN_PATTERNS = 2**13


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its t interval.

    `mean` is None without a finite value; `sd`, `low` and `high` are None with fewer than two values, and `low` and
    `high` also where all values are equal, because a spread of zero says nothing about other seeds.
    """

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    level: float

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Low and high; None where there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def mean_interval(values: Values, level: float = 0.95) -> Estimate:
    """Estimate a mean over seeds by its t interval.

    Args:
        values: one per seed; those that are not finite are left out.
        level: coverage of the interval, between 0 and 1.

    Raises:
        ValueError: if the level is not between 0 and 1.
    """
    check_level(level)
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    if not n:
        return Estimate(n, None, None, None, None, level)
    mean = float(finite.mean())
    if n == 1:
        return Estimate(n, mean, None, None, None, level)
    if _all_equal(finite):
        return Estimate(n, mean, 0.0, None, None, level)
    sd = float(finite.std(ddof=1))
    half = float(scipy.special.stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return Estimate(n, mean, sd, mean - half, mean + half, level)


def sign_flip(differences: Values, generator: np.random.Generator) -> float | None:
    """Two-sided p of the mean difference if the sign of each were chance: exact up to 13 pairs, None below two.

    Args:
        differences: of the pairs; those that are not finite are left out.
        generator: draws sign patterns where there are too many to try all.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    result = scipy.stats.permutation_test(
        (values,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        n_resamples=SIGN_PATTERNS,
        vectorized=True,
        rng=generator,
    )
    return float(result.pvalue)


def paired_t(difference: Estimate) -> float | None:
    """Two-sided p of a mean difference; None where there is no interval."""
    if difference.mean is None or not difference.sd:
        return None
    t = difference.mean / (difference.sd / math.sqrt(difference.n))
    return float(2 * scipy.special.stdtr(difference.n - 1, -abs(t)))


def check_level(level: float) -> None:
    """Check that a level is between 0 and 1.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: between 0 and 1, for example 0.95")


def check_margin(margin: float) -> None:
    """Check that a margin is a positive difference.

    Raises:
        ValueError: if it is not a positive finite number.
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin={margin}: a positive number, the largest difference that does not matter")


def _all_equal(values: Float64[NDArray[np.float64], " values"]) -> bool:
    """Whether values are equal up to rounding, which must not count as a spread."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))
