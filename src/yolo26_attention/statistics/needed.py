"""The number of seeds that would decide an undecided comparison, with its range."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import scipy  # its parts are imported when they are first used, and a training is under way by then

POWER = 0.8
MOST_SEEDS = 1000
# Probability below and above the interval of a spread that is estimated from few seeds.
SPREAD_TAIL = 0.1


@dataclass(frozen=True)
class Needed:
    """Seeds of each variant that decide with a power of 80 %; None stands for more than 1,000.

    Attributes:
        seeds: if difference and spread are as found.
        low: if the spread is the smallest of its 80 % interval.
        high: if it is the largest.
    """

    seeds: int | None
    low: int | None
    high: int | None

    def __str__(self) -> str:
        if self.seeds is None:
            return f"more than {MOST_SEEDS} seeds"
        high = f"more than {MOST_SEEDS}" if self.high is None else str(self.high)
        return f"about {self.seeds} seeds ({self.low} to {high})"


def seeds_needed(
    difference: float, se: float, df: float, seeds: int, margin: float, critical: Callable[[float], float]
) -> Needed:
    """The number of seeds of each variant that would decide a comparison.

    Decided is what the interval of the model excludes zero from, or what it holds within the margin. The standard error
    falls with the square root of the seeds, and degrees of freedom grow with the seeds less one, all variants and the
    baseline alike. The equivalence test's power is bounded from below by that of its two parts. The spread is known
    within its chi-squared interval; that the difference is not as found is not part of the interval.

    Args:
        difference: as found.
        se: its standard error.
        df: degrees of freedom of that.
        seeds: of the variant so far.
        margin: the largest difference that does not matter.
        critical: critical value of the interval for a number of degrees of freedom.
    """
    tails = [scipy.special.chdtri(df, tail) / df for tail in (SPREAD_TAIL, 1 - SPREAD_TAIL)]
    low, high = (_least(difference, se / math.sqrt(ratio), df, seeds, margin, critical) for ratio in tails)
    return Needed(_least(difference, se, df, seeds, margin, critical), low, high)


def _least(
    difference: float, se: float, df: float, seeds: int, margin: float, critical: Callable[[float], float]
) -> int | None:
    def decides(n: int) -> bool:
        error, freedom = se * math.sqrt(seeds / n), df * (n - 1) / max(seeds - 1, 1)
        bound = critical(freedom)
        different = 1 - _noncentral_t_below(bound, freedom, abs(difference) / error)
        missed = sum(
            _noncentral_t_below(bound, freedom, (margin + shift) / error) for shift in (difference, -difference)
        )
        return bool(max(different, 1 - missed) >= POWER)

    found = bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=decides)
    return found if found <= MOST_SEEDS else None


def _noncentral_t_below(bound: float, freedom: float, noncentrality: float) -> float:
    """Distribution function of the noncentral t.

    SciPy returns NaN where the probability is too small for it; the normal approximation takes its place there
    (Abramowitz and Stegun 1964, equation 26.7.10).
    """
    found = float(scipy.special.nctdtr(freedom, noncentrality, bound))
    if not math.isnan(found):
        return found
    shifted = bound * (1 - 1 / (4 * freedom)) - noncentrality
    return float(scipy.special.ndtr(shifted / math.sqrt(1 + bound**2 / (2 * freedom))))
