"""An interval for undeclared seeds, valid for any number of looks and any stopping rule."""

import math
from dataclasses import dataclass

from yolo26_attention.statistics.paired import Values, mean_interval

# Variance of the effect, in squared standard deviations of a difference, that the interval is tuned for.
MIXTURE = 10.0


@dataclass(frozen=True)
class AnytimeInterval:
    """An interval of a mean that holds at all numbers of seeds at once; infinite if they are too few or all equal."""

    low: float
    high: float


def anytime_interval(differences: Values, level: float = 0.95) -> AnytimeInterval:
    """Return the interval of a mean that may be looked at after every seed, for any number of undeclared seeds.

    The interval holds the means whose t statistic has a Bayes factor below 1 / (1 - level), for a normal mixture over
    the effect size of variance 10 and the invariant prior of the spread. It is about twice as wide as Student's, and
    infinite with two values at a level of 0.95, and with equal ones, whose spread of zero says nothing about others.

    Args:
        differences: variant minus baseline, seed by seed; values that are not finite are left out.
        level: probability that the mean lies in the intervals of all n; divide 1 - level by the number of variants
            to hold it for all of them.

    Raises:
        ValueError: if there is no finite difference or the level is not between 0 and 1.

    Source: Lai (1976), On confidence sequences; Wang and Ramdas (2024), Anytime-valid t-tests and confidence sequences
    for Gaussian means with unknown variance; Bayes factor of Liang et al. (2008), with a fixed g of 10.
    """
    found = mean_interval(differences, level)
    n = found.n
    if found.mean is None:
        raise ValueError("no finite difference: give at least one")
    width = 1 + n * MIXTURE
    ratio = (width / (1 - level) ** 2) ** (1 / n)
    if found.bounds is None or not found.sd or ratio >= width:
        return AnytimeInterval(-math.inf, math.inf)
    t = math.sqrt((n - 1) * (ratio - 1) / (1 - ratio / width))
    half = t * found.sd / math.sqrt(n)
    return AnytimeInterval(found.mean - half, found.mean + half)
