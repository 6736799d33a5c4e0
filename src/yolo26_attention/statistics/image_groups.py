"""Draws of half of the validation images, or of half of the groups of images that depend on each other.

The spread of mAP over random halves of the images, drawn without replacement, estimates its spread over samples of the
full size: the delete-d jackknife of Shao and Wu (1989, doi:10.1214/aos/1176347263) with d = n / 2.
For a mean its variance is unbiased, where the bootstrap's is too small by the factor (n - 1) / n. With rare
classes the bootstrap's intervals for mAP are too narrow: see `benchmarks/coverage.py`.

Images that depend on each other, such as frames of one video, form a group and are drawn together.
"""

import math
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float64, Int64, Shaped
from numpy.typing import NDArray

# The group of each image, by labels of any type that can be sorted.
Labels = Shaped[NDArray[Any], " images"]

# Percentiles are used with at least this many groups.
FEW = 20


def number_groups(
    groups: Shaped[NDArray[Any], " {images}"] | None, images: int
) -> Int64[NDArray[np.intp], " {images}"]:
    """Number the groups from 0; without groups, every image is a group of its own.

    Args:
        groups: one label per image, of any type that can be sorted; None for independent images.
        images: number of images.

    Raises:
        ValueError: if there is not one label for each image, or fewer than two groups.
    """
    if groups is None:
        return np.arange(images)
    labels = np.asarray(groups)
    if labels.shape != (images,):
        raise ValueError(f"groups of shape {labels.shape} for {images} images: give one label for each image, in order")
    names, number = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        only = f", {names[0]!s}" if len(names) else ""
        raise ValueError(
            f"groups name {len(names)} group{only}: at least 2 are needed for an interval; "
            "leave groups out if the images do not depend on each other"
        )
    return number.astype(np.intp)


def half_counts(
    number: Int64[NDArray[np.intp], " images"], resamples: int, generator: np.random.Generator
) -> list[Int64[NDArray[np.int64], " images"]]:
    """Draw half of the groups (rounded up) without replacement, many times.

    Args:
        number: group of each image, as `number_groups` returns it.
        resamples: number of draws.
        generator: source of random numbers.

    Returns:
        `resamples` arrays with 1 for each image that is drawn and 0 for every other.
    """
    total = int(number.max()) + 1
    kept = np.zeros(total, dtype=np.int64)
    kept[: total - total // 2] = 1
    return [generator.permutation(kept)[number] for _ in range(resamples)]


def standard_error(
    draws: Float64[NDArray[np.float64], " resamples *statistic"], groups: int
) -> Float64[NDArray[np.float64], "*statistic"]:
    """Estimate the standard error of a statistic from its values on halves of the groups.

    Shao and Wu (1989) with d = groups // 2 and halves drawn at random: the standard deviation times
    sqrt((groups - d) / d).

    Args:
        draws: values of the statistic on the halves.
        groups: number of groups (or independent images), at least 2.

    Returns:
        In the unit of the statistic.

    Raises:
        ValueError: if there are fewer than two groups or draws.
    """
    if groups < 2 or len(draws) < 2:
        raise ValueError(f"{groups} groups, {len(draws)} draws: at least 2 of each are needed for a standard error")
    return np.asarray(draws.std(axis=0, ddof=1) * _scale(groups), dtype=np.float64)


def interval_of_halves(
    whole: float | Float64[NDArray[np.float64], "*statistic"],
    draws: Float64[NDArray[np.float64], " resamples *statistic"],
    groups: int,
    level: float,
) -> tuple[Float64[NDArray[np.float64], "*statistic"], Float64[NDArray[np.float64], "*statistic"]]:
    """Estimate the interval of a statistic from its values on halves of the groups, by scaled percentiles.

    The percentiles are those of the level at which a normal quantile equals Student's t with groups - 1 degrees of
    freedom (Hesterberg 2015, doi:10.1080/00031305.2015.1089789), about the value on all groups, in
    the scale of Shao and Wu. Below 20 groups, halves take too few values for percentiles, and the interval is the value
    plus and minus Student's t times the standard error.

    Args:
        whole: value of the statistic on all groups.
        draws: values of the statistic on the halves.
        groups: number of groups (or independent images), at least 2.
        level: confidence level, between 0 and 1.

    Returns:
        Low and high, in the unit of the statistic.

    Raises:
        ValueError: if there are fewer than two groups or draws.
    """
    quantile = quantile_t(level, groups - 1)
    half = quantile * standard_error(draws, groups)
    if groups < FEW:
        return np.asarray(whole - half), np.asarray(whole + half)
    tail = scipy.special.ndtr(-quantile)
    low, high = whole + _scale(groups) * (np.quantile(draws, [tail, 1 - tail], axis=0) - whole)
    return np.asarray(low), np.asarray(high)


def quantile_t(level: float, freedom: float) -> float:
    """Return the quantile of Student's t for a two-sided interval.

    Args:
        level: between 0 and 1.
        freedom: degrees of freedom, above 0.
    """
    return float(scipy.special.stdtrit(freedom, (1 + level) / 2))


def _scale(groups: int) -> float:
    """Factor from the spread over halves to the spread over samples of all groups; 1 for an even number."""
    left_out = groups // 2
    return math.sqrt((groups - left_out) / left_out)
