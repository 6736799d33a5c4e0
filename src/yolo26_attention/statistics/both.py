"""The difference between two variants, with an interval over seeds and images together.

`images` holds the networks fixed and `seeds` the images; here both are chance. mAP differs between the seeds of a
variant for two reasons: some networks are better on all images, and each fails on other images. The second part is in
the variation over images already, and is taken off that over seeds, as in the analysis of variance of two crossed
random factors (Owen 2007, doi:10.1214/07-AOAS122).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.image_groups import quantile_t, standard_error
from yolo26_attention.statistics.images import Resampled
from yolo26_attention.statistics.paired import check_level


@dataclass(frozen=True)
class BothInterval:
    """A difference with its interval over seeds and images, in fractions of 1.

    Attributes:
        estimate: the other variant's mean mAP over its seeds minus the first's, on all images.
        low: of the interval.
        high: of the interval.
        error_seeds: standard error from the choice of seeds, with the images fixed.
        error_images: standard error from the choice of images, with the networks fixed.
        freedom: degrees of freedom of the interval's Student's t.
    """

    estimate: float
    low: float
    high: float
    error_seeds: float
    error_images: float
    freedom: float


@dataclass(frozen=True)
class BothDifference:
    """The result of `compare_both`; `groups` is None if each image was drawn by itself."""

    map50_95: BothInterval
    map50: BothInterval
    seeds: tuple[int, int]
    images: int
    groups: int | None

    def of(self, metric: str) -> BothInterval | None:
        """The interval of `map50_95` or `map50`; None for another metric, which is not resampled."""
        return {"map50_95": self.map50_95, "map50": self.map50}.get(metric)

    @property
    def covers(self) -> str:
        """The source of variation that the interval covers."""
        groups = "" if self.groups is None else f" in {self.groups} groups"
        first, other = self.seeds
        return f"covers the choice of {first} and {other} seeds and of {self.images} images{groups}"


def compare_both(resampled: Resampled, first: str, other: str, *, level: float = 0.95) -> BothDifference:
    """Compare two variants, several networks of each on the same images, with one interval over seeds and images.

    The variances of the two sources are added; the degrees of freedom are Satterthwaite's (1946, doi:10.2307/3002019),
    with the number of seeds of each variant and of images (or groups), less one. The networks of the two variants are
    no pairs, and their numbers may differ.

    Args:
        resampled: at least 2 networks of each of the two variants.
        first: the variant that is compared with.
        other: the variant that is compared.
        level: of the intervals.

    Raises:
        ValueError: if a variant has fewer than two networks, there is one image only, or the level is out of range.
    """
    check_level(level)
    sides = [[*resampled.networks[name].values()] for name in (first, other)]
    split, others = map(len, sides)
    if min(split, others) < 2:
        raise ValueError(
            f"{split} and {others} networks: at least 2 seeds of each variant are needed for an interval over "
            "seeds; compare_images needs one"
        )
    if resampled.images < 2:
        raise ValueError(f"{resampled.images} images: at least 2 are needed for an interval over images")
    networks = np.stack([*sides[0], *sides[1]], axis=1)
    found = (_interval(networks[0, :, k], networks[1:, :, k], split, resampled.units, level) for k in range(2))
    return BothDifference(next(found), next(found), (split, others), resampled.images, resampled.groups)


def _interval(
    whole: Float64[NDArray[np.float64], " networks"],
    draws: Float64[NDArray[np.float64], "resamples networks"],
    split: int,
    units: int,
    level: float,
) -> BothInterval:
    """Of values on all images and on halves; `split` networks are the first's."""
    sides = [(whole[:split], draws[:, :split]), (whole[split:], draws[:, split:])]
    seeds = [float(values.var(ddof=1)) / len(values) for values, _ in sides]
    crossed = [_crossed(halves, units) for _, halves in sides]
    means = [halves.mean(axis=1) for _, halves in sides]
    over_images = float(standard_error(means[1] - means[0], units)) ** 2
    total_seeds = sum(seeds)
    over_seeds = max(total_seeds - sum(crossed), 0.0)
    variance = over_seeds + over_images
    # That all of the seeds' variance is uncertain (a factor of 1) is too wide in simulations, share**2 too narrow.
    share = over_seeds / total_seeds if total_seeds else 0.0
    spread = share * sum(own**2 / (len(values) - 1) for own, (values, _) in zip(seeds, sides, strict=True))
    spread += over_images**2 / (units - 1)
    freedom = variance**2 / spread if spread else float(units - 1)
    half = quantile_t(level, freedom) * math.sqrt(variance)
    estimate = float(sides[1][0].mean() - sides[0][0].mean())
    return BothInterval(
        estimate, estimate - half, estimate + half, math.sqrt(over_seeds), math.sqrt(over_images), freedom
    )


def _crossed(halves: Float64[NDArray[np.float64], "resamples networks"], units: int) -> float:
    """The part of the variance of a mean over seeds that is in the variation over images too: seeds times images."""
    seeds = halves.shape[1]
    apart = halves - halves.mean(axis=1, keepdims=True)
    variances = standard_error(apart, units) ** 2
    return float(variances.sum() / (seeds - 1) / seeds)
