"""Does a variant differ from the baseline, as far as the validation images can tell?

Half of the images are drawn, the same ones for every run, and mAP is computed anew from each draw; the interval is made
of percentiles over the draws (see `image_groups`). It asks what other images of the same kind would have said about
these very networks; what other seeds would have said is asked in `seeds`, what both would have said in `both`.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.ap import Matches, mean_average_precision
from yolo26_attention.statistics.image_groups import Labels, half_counts, interval_of_halves, number_groups
from yolo26_attention.statistics.paired import check_level


@dataclass(frozen=True)
class Interval:
    """A difference on all validation images, and its interval; no bounds where there is one image only."""

    difference: float
    low: float | None
    high: float | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Low and high; None where there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class ImageDifference:
    """A variant minus the baseline, averaged over the seeds both have; fractions of 1, not percent.

    `groups` is how many groups of dependent images were drawn whole; None where each image was drawn by itself.
    """

    map50_95: Interval
    map50: Interval
    images: int
    seeds: tuple[int, ...]
    groups: int | None = None

    def of(self, metric: str) -> Interval | None:
        """The interval of `map50_95` or `map50`; None for another metric, which is not resampled."""
        return {"map50_95": self.map50_95, "map50": self.map50}.get(metric)

    @property
    def covers(self) -> str:
        """What chance the intervals cover, and what chance they do not."""
        seeds = "the one seed" if len(self.seeds) == 1 else f"the {len(self.seeds)} seeds"
        groups = "" if self.groups is None else f" in {self.groups} groups"
        return (
            f"covers the choice of {self.images} images{groups} for the networks trained with {seeds}; "
            "does not cover how other seeds would have trained"
        )


@dataclass(frozen=True, eq=False)
class Resampled:
    """mAP of the networks of several variants on the same images: on all of them, and on random halves.

    Attributes:
        networks: variant to seed to mAP50-95 and mAP50, fractions of 1: on all images in the first row, on a half in
            each further one.
        images: number of images.
        groups: number of groups of dependent images that were drawn whole; None where each image was drawn by itself.
    """

    networks: Mapping[str, Mapping[int, Float64[NDArray[np.float64], "rows 2"]]]
    images: int
    groups: int | None

    @property
    def units(self) -> int:
        """Number of independent images or groups."""
        return self.images if self.groups is None else self.groups


def resample(
    runs: Mapping[str, Mapping[int, Matches]],
    *,
    resamples: int = 1000,
    generator: np.random.Generator,
    groups: Labels | None = None,
) -> Resampled:
    """Compute mAP of every network on all images and on random halves of them, each half the same for all networks.

    Args:
        runs: variant to seed to what the run matched.
        resamples: how many times half of the images is drawn, at least 2.
        generator: draws the images.
        groups: a label for each image, in the order of `Matches.images`; images of one label, such as the
            frames of a video, depend on each other and are drawn together. None if images are independent.

    Raises:
        ValueError: if there is no run, two were validated on different images or objects, no image has an object,
            resamples is below 2, or groups are not one label an image or fewer than two.
    """
    if resamples < 2:
        raise ValueError(f"resamples={resamples}: at least 2, for example 1000")
    matches = [run for own in runs.values() for run in own.values()]
    halves = resampled_map(matches, resamples=resamples, generator=generator, groups=groups)
    whole = np.array([mean_average_precision(run) for run in matches])
    rows = iter(np.concatenate((whole[:, None], halves.transpose(1, 0, 2)), axis=1))
    images = len(matches[0].images)
    return Resampled(
        {name: {seed: next(rows) for seed in own} for name, own in runs.items()},
        images,
        None if groups is None else int(number_groups(groups, images).max()) + 1,
    )


def compare_images(
    resampled: Resampled, *, baseline: str = "baseline", level: float = 0.95
) -> dict[str, ImageDifference]:
    """Compare every variant with the baseline on the same validation images, with an interval over images.

    The interval is made of percentiles over random halves of the images, as wide as Student's t asks for so many images
    (or groups): the delete-d jackknife of Shao and Wu (1989, doi:10.1214/aos/1176347263), d being half of the images.
    It covers what it claims from 20 images on, where percentiles of a bootstrap are too narrow
    (`benchmarks/coverage.py`).

    One seed is enough for an interval. Several are averaged within each draw. A class without an object in a draw does
    not count there, as in Ultralytics; one image gives no interval; a variant without a common seed is left out.

    Args:
        resampled: the networks of all variants, the baseline's among them.
        baseline: the variant that the others are compared with.
        level: of the intervals.

    Raises:
        ValueError: if the baseline is missing or the level is out of range.
    """
    networks, units = resampled.networks, resampled.units
    if baseline not in networks:
        raise ValueError(f"no variant {baseline!r} to compare with; there are {', '.join(networks) or 'none'}")
    check_level(level)
    differences = {}
    for name, own in networks.items():
        common = tuple(sorted({*own} & {*networks[baseline]}))
        if name == baseline or not common:
            continue
        rows = np.mean([own[seed] - networks[baseline][seed] for seed in common], axis=0)
        point = rows[0]
        low, high = interval_of_halves(point, rows[1:], units, level) if units > 1 else (None, None)
        map50_95, map50 = (
            Interval(float(point[k]), None if low is None else float(low[k]), None if high is None else float(high[k]))
            for k in range(2)
        )
        differences[name] = ImageDifference(map50_95, map50, resampled.images, common, resampled.groups)
    return differences


def resampled_map(
    runs: Sequence[Matches],
    *,
    resamples: int = 1000,
    generator: np.random.Generator,
    threads: int | None = None,
    groups: Labels | None = None,
) -> Float64[NDArray[np.float64], "{resamples} {len(runs)} 2"]:
    """mAP of every run on a random half of the images, in each draw the same one for all runs.

    Halves are drawn without replacement, and rounded up.

    Args:
        runs: validated on the same images.
        resamples: how many times half of the images is drawn.
        generator: draws the images.
        threads: how many draws are worked on at a time; None for one a CPU core. Results do not depend on it.
        groups: a label for each image; half of the groups is drawn, each whole. None for independent images.

    Returns:
        Resamples by runs by mAP50-95 and mAP50, fractions of 1.

    Raises:
        ValueError: if there is no run, two were validated on different images or objects, no image has an object, or
            groups are not one label an image or fewer than two.
    """
    if not runs or resamples < 1:
        raise ValueError(f"{len(runs)} runs, resamples={resamples}: at least 1 of each")
    for own in runs:
        check_same(runs[0], own)
    if not len(runs[0].object_cls):
        raise ValueError("no image has an object, so that there is no mAP")
    counts = half_counts(number_groups(groups, len(runs[0].images)), resamples, generator)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        drawn = pool.map(lambda count: [mean_average_precision(own, count) for own in runs], counts)
    return np.array(list(drawn))


def check_same(first: Matches, other: Matches) -> None:
    """Check that two runs were validated on the same images with the same objects.

    Raises:
        ValueError: if not.
    """
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
