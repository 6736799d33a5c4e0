"""Does a variant differ from the baseline, as far as the validation images can tell?

A paired bootstrap: images are drawn with replacement, the same ones for every run, and mAP is computed anew from each
draw. It asks what other images of the same kind would have said about these very networks; what other seeds would have
said is asked in `seeds`.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.ap import Matches, mean_average_precision


@dataclass(frozen=True)
class Interval:
    """A difference on all validation images, and its bootstrap interval; None where there is one image only."""

    difference: float
    low: float | None
    high: float | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Low and high; None where there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class ImageDifference:
    """A variant minus the baseline, averaged over the seeds both have; fractions of 1, not percent."""

    map50_95: Interval
    map50: Interval
    images: int
    seeds: tuple[int, ...]
    resamples: int
    level: float

    @property
    def covers(self) -> str:
        """What chance the intervals cover, and what chance they do not."""
        seeds = "the one seed" if len(self.seeds) == 1 else f"the {len(self.seeds)} seeds"
        return (
            f"covers the choice of {self.images} validation images for the networks trained with {seeds}; "
            "does not cover how other seeds would have trained"
        )


def compare_images(
    runs: Mapping[str, Mapping[int, Matches]],
    *,
    baseline: str = "baseline",
    resamples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> dict[str, ImageDifference]:
    """Compare every variant with the baseline by a paired bootstrap over the validation images.

    One seed is enough for an interval. Several are averaged within each draw. A class without an object in a draw does
    not count there, as in Ultralytics; one image gives no interval; a variant without a common seed is left out.

    Args:
        runs: variant to seed to what the run matched, the baseline's among them.
        baseline: the variant that the others are compared with.
        resamples: how many times images are drawn.
        level: of the percentile intervals.
        generator: draws the images.

    Raises:
        ValueError: if the baseline is missing, two runs were validated on different images or objects, no image has an
            object, or resamples or level is out of range.
    """
    if baseline not in runs:
        raise ValueError(f"no variant {baseline!r} to compare with; there are {', '.join(runs) or 'none'}")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: between 0 and 1, for example 0.95")
    seeds = {name: tuple(sorted({*own} & {*runs[baseline]})) for name, own in runs.items() if name != baseline}
    seeds = {name: common for name, common in seeds.items() if common}
    wanted = [(name, seed) for name, common in seeds.items() for seed in common]
    wanted += [(baseline, seed) for seed in sorted({seed for common in seeds.values() for seed in common})]
    if not wanted:
        return {}
    matches = [runs[name][seed] for name, seed in wanted]
    whole = dict(zip(wanted, np.array([mean_average_precision(own) for own in matches]), strict=True))
    draws = resampled_map(matches, resamples=resamples, generator=generator)
    drawn = dict(zip(wanted, draws.transpose(1, 0, 2), strict=True))
    images = len(matches[0].images)
    differences = {}
    for name, common in seeds.items():
        point = np.mean([whole[name, seed] - whole[baseline, seed] for seed in common], axis=0)
        spread = np.mean([drawn[name, seed] - drawn[baseline, seed] for seed in common], axis=0)
        ends = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2], axis=0)
        map50_95, map50 = (
            Interval(float(point[k]), *((float(ends[0, k]), float(ends[1, k])) if images > 1 else (None, None)))
            for k in range(2)
        )
        differences[name] = ImageDifference(map50_95, map50, images, common, resamples, level)
    return differences


def resampled_map(
    runs: Sequence[Matches], *, resamples: int = 1000, generator: np.random.Generator, threads: int | None = None
) -> Float64[NDArray[np.float64], "{resamples} {len(runs)} 2"]:
    """mAP of every run on images drawn with replacement, in each draw the same ones for all runs.

    Args:
        runs: validated on the same images.
        resamples: how many times images are drawn.
        generator: draws the images.
        threads: how many draws are worked on at a time; None for one a CPU core. Results do not depend on it.

    Returns:
        Resamples by runs by mAP50-95 and mAP50, fractions of 1.

    Raises:
        ValueError: if there is no run, two were validated on different images or objects, or no image has an object.
    """
    if not runs or resamples < 1:
        raise ValueError(f"{len(runs)} runs, resamples={resamples}: at least 1 of each")
    for own in runs:
        _check_same(runs[0], own)
    if not len(runs[0].object_cls):
        raise ValueError("no validation image has an object, so that there is no mAP")
    images = len(runs[0].images)
    counts = [np.bincount(generator.integers(images, size=images), minlength=images) for _ in range(resamples)]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        drawn = pool.map(lambda count: [mean_average_precision(own, count) for own in runs], counts)
    return np.array(list(drawn))


def _check_same(first: Matches, other: Matches) -> None:
    """Whether two runs were validated on the same images with the same objects."""
    if not np.array_equal(first.images, other.images):
        raise ValueError(
            f"runs were validated on different images ({len(first.images)} and {len(other.images)}), so that they "
            "are no pairs; validate them on the same data set"
        )
    objects = [
        np.unique(np.stack((own.object_image, own.object_cls)), axis=1, return_counts=True) for own in (first, other)
    ]
    if not all(np.array_equal(a, b) for a, b in zip(*objects, strict=True)):
        raise ValueError("runs were validated on different labels of the same images; validate both on the same")
