"""What a study can find, before it is trained."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.designs import Design
from yolo26_attention.statistics.paired import check_level
from yolo26_attention.statistics.robust import judge

STUDIES, AT_A_TIME = 20_000, 4_000


def smallest_detectable(
    sd: float,
    seeds: int,
    variants: int,
    baseline_seeds: int | None = None,
    level: float = 0.95,
    power: float = 0.8,
) -> float:
    """The true difference that `compare` finds with a probability of `power`, in units of the score.

    Where spreads are equal and seeds have no effect, by 20,000 simulated studies with normal scores and a fixed seed
    that are judged by the same rule.

    Args:
        sd: standard deviation of a run's score over seeds.
        seeds: of each variant.
        variants: how many are compared with the baseline.
        baseline_seeds: seeds of the baseline; None for those of a variant.
        level: simultaneous level of the study.
        power: between 1 - level and 1.

    Raises:
        ValueError: if sd is not positive, there are fewer than two seeds, no variant, the level is not between 0 and 1,
            or the power is not between 1 - level and 1.
    """
    _check(sd, seeds, variants, baseline_seeds, level)
    _check_power(power, level)
    errors, bounds = _null(seeds, variants, seeds if baseline_seeds is None else baseline_seeds, level)
    # A positive difference is found once it exceeds bound - error; at such sizes a verdict of worse is too rare to
    # count.
    return sd * float(np.quantile(bounds - errors, power))


def detectable_at_looks(
    sd: float,
    looks: Sequence[int],
    baseline_looks: Sequence[int],
    levels: Sequence[float],
    variants: int,
    level: float = 0.95,
    power: float = 0.8,
) -> float:
    """The true difference that one of several looks finds with a probability of `power`, in units of the score.

    As `smallest_detectable`, with the seeds of a look among those of the next one. Variants are supposed to stay in the
    study until the last look; those that are given up as futile would lower the power.

    Args:
        sd: standard deviation of a run's score over seeds.
        looks: seeds of each variant at each look, increasing.
        baseline_looks: seeds of the baseline at each look.
        levels: nominal level of each look, from `boundaries`.
        variants: how many are compared with the baseline.
        level: simultaneous level of the study.
        power: between 1 - level and 1.

    Raises:
        ValueError: as `smallest_detectable`, and if looks, baseline_looks and levels are not equally many.
    """
    if not looks or not len(looks) == len(baseline_looks) == len(levels):
        raise ValueError(
            f"looks={list(looks)}, baseline_looks={list(baseline_looks)}, levels={list(levels)}: equally many, at "
            "least one"
        )
    _check(sd, min(looks), variants, min(baseline_looks), level)
    _check_power(power, level)
    least = _least_at_looks(tuple(looks), tuple(baseline_looks), tuple(levels), variants, level)
    return sd * float(np.quantile(least, power))


def worthwhile_baseline_seeds(variants: int, seeds: int) -> int:
    """Seeds of the baseline that make the comparisons most precise for the runs paid: about seeds times sqrt(variants).

    The baseline enters every comparison, so that the variance 1 / seeds + 1 / baseline seeds of each is least for a
    number of runs where the baseline has the square root of the number of variants times a variant's seeds.

    Args:
        variants: how many are compared with the baseline.
        seeds: of each variant.

    Raises:
        ValueError: if either is below one.

    Source: Dunnett (1955).
    """
    if variants < 1 or seeds < 1:
        raise ValueError(f"variants={variants}, seeds={seeds}: at least one of each")
    return max(seeds, round(seeds * math.sqrt(variants)))


def _check_power(power: float, level: float) -> None:
    if not 1 - level < power < 1:
        raise ValueError(f"power={power}: between {1 - level:g} and 1, for example 0.8")


def _check(sd: float, seeds: int, variants: int, baseline_seeds: int | None, level: float) -> None:
    check_level(level)
    if not (sd > 0 and math.isfinite(sd)):
        raise ValueError(f"sd={sd}: a positive number, the standard deviation of scores over seeds")
    if min(seeds, seeds if baseline_seeds is None else baseline_seeds) < 2 or variants < 1:
        raise ValueError(
            f"seeds={seeds}, baseline_seeds={baseline_seeds}, variants={variants}: at least two, two and one"
        )


@lru_cache(maxsize=64)
def _null(
    seeds: int, variants: int, baseline_seeds: int, level: float
) -> tuple[Float64[NDArray[np.float64], " studies"], Float64[NDArray[np.float64], " studies"]]:
    """Error of the first variant's estimate, and what its size must exceed, where sd is 1."""
    design = Design.of((baseline_seeds, *[seeds] * variants))
    generator, parts = np.random.default_rng(1), []
    for _ in range(STUDIES // AT_A_TIME):
        judged = judge(design, generator.standard_normal((AT_A_TIME, len(design.groups))), level)
        parts.append(np.stack([judged.difference[:, 0], judged.critical * judged.se[:, 0]]))
    errors, bounds = np.concatenate(parts, axis=1)
    return errors, bounds


@lru_cache(maxsize=16)
def _least_at_looks(
    own: tuple[int, ...], base: tuple[int, ...], levels: tuple[float, ...], variants: int, level: float
) -> Float64[NDArray[np.float64], " studies"]:
    """The difference from which on each simulated study finds the first variant at some look, where sd is 1."""
    designs = [Design.of((b, *[n] * variants)) for n, b in zip(own, base, strict=True)]
    generator, parts = np.random.default_rng(1), []
    for _ in range(STUDIES // AT_A_TIME):
        scores = generator.standard_normal((AT_A_TIME, variants + 1, max(own[-1], base[-1])))
        least = np.full(AT_A_TIME, np.inf)
        for design, nominal in zip(designs, levels, strict=True):
            judged = judge(design, scores[:, list(design.groups), list(design.seeds)], level, nominal)
            least = np.minimum(least, judged.critical * judged.se[:, 0] - judged.difference[:, 0])
        parts.append(least)
    return np.concatenate(parts)
