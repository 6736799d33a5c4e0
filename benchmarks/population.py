"""Detections drawn from a population that is known: what the coverage of an interval is measured on.

Images differ in difficulty, in how many objects they have and in which classes stand together; ten classes are of
unequal frequency. Networks meet the same difficulty of each object, so that their errors are correlated, differ in
skill, by class too, and err in part at random. Networks of one variant differ in skill as well, by their seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolo26_attention.statistics import Matches

CLASSES = 10
THRESHOLDS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class Population:
    """What images are like.

    Attributes:
        objects: beyond the first, of an image, on average.
        unequal: the class of rank k has a share in proportion to k ** -unequal.
        frames: near-identical images in a row of each scene.
    """

    objects: float = 2.0
    unequal: float = 1.8
    frames: int = 1

    @property
    def share(self) -> NDArray[np.float64]:
        """(CLASSES,) of the objects."""
        share = np.arange(1, CLASSES + 1) ** -self.unequal
        return share / share.sum()


def train(variant: int, seeds: int, generator: np.random.Generator, *, spread: float = 0.0) -> NDArray[np.float64]:
    """The skill of a variant's networks in each class.

    Args:
        variant: each has a skill of its own, the higher the higher its number, in all classes and in each.
        seeds: how many networks.
        generator: draws what the seeds change.
        spread: standard deviation over seeds of the skill in all classes; twice that, of each class besides.

    Returns:
        (seeds, CLASSES)
    """
    own = np.random.default_rng([7, variant]).normal(0.1 * variant, 0.1, CLASSES)
    return own + generator.normal(0, spread, (seeds, 1)) + generator.normal(0, 2 * spread, (seeds, CLASSES))


def photograph(
    skills: Sequence[NDArray[np.float64]], images: int, generator: np.random.Generator, population: Population
) -> list[Matches]:
    """What networks match on the same images, drawn anew.

    Args:
        skills: (CLASSES,) of each network.
        images: how many, a multiple of the population's `frames`.
        generator: draws scenes, objects and errors.
        population: what the images are like.

    Returns:
        One entry a network.
    """
    scenes, frames = images // population.frames, population.frames
    difficulty = generator.normal(0, 0.7, scenes)
    main = generator.choice(CLASSES, size=scenes, p=population.share)
    objects = 1 + generator.negative_binomial(1.5, 1.5 / (1.5 + population.objects), scenes)
    image, scene, cls = _things(objects, main, generator, population)
    ease = np.tile(generator.normal(0, 0.8, objects.sum()), frames) - difficulty[scene]
    false = generator.poisson(4 * np.exp(0.4 * difficulty))
    false_image, _, false_cls = _things(false, main, generator, population)
    false_ease = np.tile(generator.normal(-1.3, 0.9, false.sum()), frames)
    names = np.array([f"{number:07d}.jpg" for number in range(images)])
    runs = []
    for skill in skills:
        quality = 0.9 + skill[cls] + ease + _errors(generator, len(cls), frames, 0.5)
        iou = 1 / (1 + np.exp(-0.8 - quality))
        conf = np.concatenate(
            (
                quality + _errors(generator, len(cls), frames, 0.6),
                false_ease + _errors(generator, len(false_cls), frames, 0.5) - 0.3 * skill[false_cls],
            )
        )
        tp = np.zeros((len(conf), len(THRESHOLDS)), dtype=bool)
        tp[: len(iou)] = iou[:, None] >= THRESHOLDS
        order = np.argsort(-conf)
        detected = (np.concatenate(pair)[order] for pair in ((image, false_image), (cls, false_cls)))
        runs.append(Matches(names, *detected, tp[order], image, cls))
    return runs


def _things(
    number: NDArray[np.integer], main: NDArray[np.integer], generator: np.random.Generator, population: Population
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]:
    """Image, scene and class of so many objects (or false detections) of each scene, two of five of its main class."""
    scene = np.repeat(np.arange(len(number)), number)
    any_class = generator.choice(CLASSES, len(scene), p=population.share)
    cls = np.where(generator.random(len(scene)) < 0.4, main[scene], any_class)
    frame = np.repeat(np.arange(population.frames), len(scene))
    scene, cls = np.tile(scene, population.frames), np.tile(cls, population.frames)
    return scene * population.frames + frame, scene, cls


def _errors(generator: np.random.Generator, size: int, frames: int, scale: float) -> NDArray[np.float64]:
    """Errors of one network: nearly the same in all frames of a scene, and as large with any number of frames."""
    if frames == 1:
        return generator.normal(0, scale, size)
    scene, frame = generator.normal(0, scale, size // frames), generator.normal(0, scale, size)
    return 0.98 * np.tile(scene, frames) + np.sqrt(1 - 0.98**2) * frame
