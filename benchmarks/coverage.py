"""How often intervals over images, and over seeds and images, hold what is true: python -m benchmarks.coverage [times].

Populations are made up (`benchmarks.population`), so that the difference on endless images is known. "Before" are the
percentiles of a paired bootstrap of single images, with the networks held fixed; 95 % intervals throughout.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.population import Population, photograph, train
from yolo26_attention.statistics import Matches, compare_both, compare_images, mean_average_precision, resample

LEVEL = 0.95
RARE, COMMON = Population(), Population(objects=6.0, unequal=1.2)
# Standard deviations over seeds of the skill: small beside chance in single objects, and large.
SMALL, LARGE = 0.05, 0.2


@dataclass(frozen=True)
class Situation:
    """One row: what is drawn how often, and which interval should hold."""

    kind: str  # images, groups or both
    images: int
    population: Population = RARE
    seeds: int = 1
    spread: float = 0.0

    @property
    def label(self) -> str:
        objects = "3 objects an image" if self.population.objects < 3 else "7 objects an image"
        if self.kind == "groups":
            return f"{self.images} images in groups of {self.population.frames}, {objects}"
        if self.kind == "both":
            spread = "small" if self.spread == SMALL else "large"
            return f"{self.images} images, {self.seeds} seeds of {spread} spread, {objects}"
        return f"{self.images} images, {objects}"


SITUATIONS = [
    *(Situation("images", images, population) for population in (RARE, COMMON) for images in (20, 50, 128, 500)),
    *(Situation("groups", images, replace(RARE, frames=10)) for images in (100, 200, 500)),
    *(
        Situation("both", images, RARE, seeds, spread)
        for spread in (SMALL, LARGE)
        for images in (20, 128, 500)
        for seeds in (3, 5, 10)
    ),
]


@cache
def truth(population: Population, spread: float) -> NDArray[np.float64]:
    """mAP50-95 and mAP50 of variant 1 minus variant 0: the mean over many networks on many images."""
    found = []
    for number in range(300 if spread else 20):
        # The same chance for both variants: their means are not changed, and the difference is known the better.
        skills = [train(v, 1, np.random.default_rng([0, number]), spread=spread)[0] for v in (0, 1)]
        generator = np.random.default_rng([1, number])
        first, other = photograph(skills, 4000 if spread else 20_000, generator, replace(population, frames=1))
        found.append(np.subtract(mean_average_precision(other), mean_average_precision(first)))
    result: NDArray[np.float64] = np.mean(found, axis=0)
    return result


def bootstrap(
    first: list[Matches], other: list[Matches], resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """(2, 2): low and high of mAP50-95 and mAP50 by percentiles, images drawn one by one with replacement."""
    images = len(first[0].images)
    drawn = np.empty((resamples, 2))
    for draw in drawn:
        counts = np.bincount(generator.integers(images, size=images), minlength=images)
        means = [np.mean([mean_average_precision(run, counts) for run in runs], axis=0) for runs in (first, other)]
        draw[:] = means[1] - means[0]
    ends: NDArray[np.float64] = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ends


def intervals(situation: Situation, number: int, resamples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Before and after, each (2, 2) as `bootstrap` gives it, of one sample."""
    generator = np.random.default_rng([2, number, situation.images, situation.seeds])
    skills = [skill for v in (0, 1) for skill in train(v, situation.seeds, generator, spread=situation.spread)]
    runs = photograph(skills, situation.images, generator, situation.population)
    first, other = runs[: situation.seeds], runs[situation.seeds :]
    before = bootstrap(first, other, resamples, generator)
    groups = np.arange(situation.images) // situation.population.frames if situation.kind == "groups" else None
    named = {"baseline": dict(enumerate(first)), "other": dict(enumerate(other))}
    drawn = resample(named, resamples=resamples, generator=generator, groups=groups)
    if situation.kind == "both":
        both = compare_both(drawn, "baseline", "other", level=LEVEL)
        found = [(each.low, each.high) for each in (both.map50_95, both.map50)]
    else:
        alone = compare_images(drawn, level=LEVEL)["other"]
        found = [(each.low, each.high) for each in (alone.map50_95, alone.map50)]
    return before, np.array(found).T


def coverage(situation: Situation, times: int, resamples: int) -> NDArray[np.float64]:
    """(2, 2): how many of the intervals before and after hold the truth, of mAP50-95 and of mAP50."""
    true = truth(situation.population, situation.spread)
    ends = np.array([intervals(situation, number, resamples) for number in range(times)])
    held: NDArray[np.float64] = ((ends[:, :, 0] <= true) & (true <= ends[:, :, 1])).mean(axis=0)
    return held


def report(times: int, resamples: int, situations: list[Situation]) -> Iterator[str]:
    """The table, line by line."""
    yield f"| {times} samples, {resamples} draws | before: mAP50-95, mAP50 | after: mAP50-95, mAP50 |"
    yield "| --- | --- | --- |"
    for situation in situations:
        before, after = coverage(situation, times, resamples)
        yield f"| {situation.label} | {before[0]:.3f}, {before[1]:.3f} | {after[0]:.3f}, {after[1]:.3f} |"


def main() -> None:
    kinds = ["images", "groups", "both"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", type=int, nargs="?", default=200, help="samples of each situation")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--images", type=int, nargs="+", help="only situations of so many images")
    parser.add_argument("--seeds", type=int, nargs="+", help="only situations of so many seeds")
    arguments = parser.parse_args()
    situations = [
        situation
        for situation in SITUATIONS
        if situation.kind in arguments.kinds
        and (arguments.images is None or situation.images in arguments.images)
        and (arguments.seeds is None or situation.seeds in arguments.seeds)
    ]
    for line in report(arguments.times, arguments.resamples, situations):
        print(line, flush=True)


if __name__ == "__main__":
    main()
