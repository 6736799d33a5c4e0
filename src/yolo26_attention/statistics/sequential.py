"""Looks at a study before all its seeds are trained, with the share of false verdicts that was declared."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.blocks import StudyModel
from yolo26_attention.statistics.designs import Design
from yolo26_attention.statistics.paired import check_level, check_margin
from yolo26_attention.statistics.robust import DOUBLED, judge

Decision = Literal["better", "worse", "no_difference", "open"]

PATHS, PATHS_AT_A_TIME = 40_000, 4_000
# Seeds that decide with a lower probability than this are not worth training.
FUTILE = 0.1


def boundaries(
    looks: Sequence[int], variants: int, level: float = 0.95, baseline_seeds: Sequence[int] | None = None
) -> tuple[float, ...]:
    """Nominal level of each look: a variant whose adjusted p is below it is decided, and the study stays at `level`.

    The share of false verdicts spent by a look at a fraction f of the last look's seeds is that of Pocock's type,
    alpha ln(1 + (e - 1) f), as three seeds must be able to decide something. The levels are found by simulation of
    40,000 studies without a difference, judged at each look exactly as `compare` does, with a fixed seed: scores
    without a difference have one distribution, whatever their mean and spread. With one spread doubled 1.5 times as
    much may be spent. Takes seconds; kept in the process.

    Args:
        looks: seeds of each variant at each look, increasing, at least two.
        variants: how many are compared with the baseline.
        level: of the whole study, all looks and variants together.
        baseline_seeds: seeds of the baseline at each look; None for those of the variants.

    Returns:
        A level for each look, such as 0.02, each below 1 - level.

    Raises:
        ValueError: if looks do not increase from at least two, baseline_seeds are not as many, decrease or are below
            two, there is no variant, or the level is not between 0 and 1.

    Source: Lan and DeMets (1983), Discrete sequential boundaries for clinical trials; simulated critical values as in
    AdaStop, Mathieu et al. (2024).
    """
    check_level(level)
    own = tuple(looks)
    base = own if baseline_seeds is None else tuple(baseline_seeds)
    if not own or own[0] < 2 or any(a >= b for a, b in pairwise(own)):
        raise ValueError(f"looks={list(own)}: increasing numbers of seeds from at least two, for example [3, 5, 10]")
    if len(base) != len(own) or min(base) < 2 or any(a > b for a, b in pairwise(base)):
        raise ValueError(f"baseline_seeds={list(base)}: for each look a number of at least two that does not decrease")
    if variants < 1:
        raise ValueError(f"variants={variants}: at least one is compared with the baseline")
    return _boundaries(own, variants, level, base)


@lru_cache(maxsize=32)
def _boundaries(own: tuple[int, ...], variants: int, level: float, base: tuple[int, ...]) -> tuple[float, ...]:
    kinds = [(simulate_looks(own, base, variants, level), 1 - level)]
    # The paired t test of one variant does not mind spreads that differ.
    for doubled in () if variants == 1 and own == base else (0, 1):
        least = simulate_looks(own, base, variants, level, paths=PATHS // 2, doubled=doubled)
        kinds.append((least, DOUBLED * (1 - level)))
    found: list[float] = []
    for index in range(len(own)):
        share = spent_share(own, index + 1)
        nominal = 1 - level
        for p, alpha in kinds:
            running = (p[:, :index] >= found).all(axis=1)
            left = math.floor(alpha * share * len(p)) - int((~running).sum())
            nominal = min(nominal, float(np.partition(p[running, index], max(left, 1))[max(left, 1)]))
        found.append(nominal)
    return tuple(found)


def spent_share(looks: Sequence[int], number: int) -> float:
    """Share of the level that the looks up to this one may spend on false verdicts (Pocock's type).

    Args:
        looks: seeds of each variant at each look.
        number: of the look, from 1.
    """
    return math.log1p((math.e - 1) * (looks[number - 1] / looks[-1]))


def simulate_looks(
    own: tuple[int, ...],
    base: tuple[int, ...],
    variants: int,
    level: float,
    *,
    seed: int = 0,
    paths: int = PATHS,
    doubled: int | None = None,
) -> Float64[NDArray[np.float64], "studies {len(own)}"]:
    """Least adjusted p of studies without a difference, judged at each look."""
    generator = np.random.default_rng(seed)
    designs = [Design.of((b, *[n] * variants)) for n, b in zip(own, base, strict=True)]
    parts = []
    for _ in range(paths // PATHS_AT_A_TIME):
        scores = generator.standard_normal((PATHS_AT_A_TIME, variants + 1, max(own[-1], base[-1])))
        if doubled is not None:
            scores[:, doubled] *= 2
        drawn = (judge(d, scores[:, list(d.groups), list(d.seeds)], level).p.min(axis=1) for d in designs)
        parts.append(np.column_stack(list(drawn)))
    return np.concatenate(parts)


def decide(model: StudyModel, boundary: float, margin: float) -> dict[str, Decision]:
    """Decide each variant at one look.

    `no_difference` where the simultaneous interval at level 1 - boundary lies within the margin either way; this goes
    first, as in `compare_seeds`. `better` or `worse` where the adjusted p is below the boundary; `open` otherwise.

    Args:
        model: of the runs so far.
        boundary: nominal level of the look, from `boundaries`; 1 - level where there is one look only.
        margin: the largest difference that does not matter, in units of the score.

    Raises:
        ValueError: if the boundary is not between 0 and 1 or the margin is not positive.
    """
    check_margin(margin)
    critical = model.critical_at(1 - boundary)
    decisions: dict[str, Decision] = {}
    for contrast in model.comparisons:
        if contrast.against != model.baseline:
            continue
        if abs(contrast.difference) + critical * contrast.se < margin:
            decisions[contrast.variant] = "no_difference"
        elif contrast.p_adjusted < boundary:
            decisions[contrast.variant] = "better" if contrast.difference > 0 else "worse"
        else:
            decisions[contrast.variant] = "open"
    return decisions


def predictive_power(
    estimate: float | Float64[NDArray[np.float64], "*shape"],
    se: float | Float64[NDArray[np.float64], "*shape"],
    df: float,
    seeds_now: int,
    seeds_left: int,
    margin: float,
    critical: float,
) -> Float64[NDArray[np.float64], "*shape"]:
    """Probability that the last look says better, worse or no difference, given the runs so far.

    The difference at the last look has the predictive distribution of a t with `df` about the estimate; its standard
    error then is taken to fall with the square root of the seeds. Below `FUTILE`, the remaining seeds are not worth
    training.

    Args:
        estimate: variant minus baseline so far.
        se: its standard error.
        df: degrees of freedom of the error so far.
        seeds_now: seeds of the variant so far.
        seeds_left: seeds not trained yet.
        margin: the largest difference that does not matter, in units of the score.
        critical: critical value at the last look, from `StudyModel.critical_at(1 - boundary)`.

    Raises:
        ValueError: if a standard error, df, margin or critical value is not positive, or seeds are too few.

    Source: predictive power as in Spiegelhalter, Freedman and Blackburn (1986); Jennison and Turnbull (2000), chapter
    10, for stopping where it is low.
    """
    check_margin(margin)
    if not (np.all(np.greater(se, 0)) and df > 0 and critical > 0):
        raise ValueError(f"se={se}, df={df}, critical={critical}: positive numbers are needed")
    if seeds_now < 1 or seeds_left < 0:
        raise ValueError(f"seeds_now={seeds_now}, seeds_left={seeds_left}: at least 1 and at least 0")
    last = seeds_now + seeds_left
    bound = critical * np.asarray(se) * math.sqrt(seeds_now / last)
    if not seeds_left:
        return np.asarray((np.abs(estimate) > bound) | (np.abs(estimate) < margin - bound), dtype=np.float64)
    # Scatter of the last estimate about the present one: what is unknown of the mean, and of the seeds to come.
    scale = se * math.sqrt(seeds_left / last)

    def between(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
        cut = [scipy.special.stdtr(df, (value - estimate) / scale) for value in (low, high)]
        inside: NDArray[np.float64] = np.maximum(cut[1] - cut[0], 0)
        return inside

    # Undecided is what lies neither beyond the bound nor within the margin less the bound.
    within = np.maximum(margin - bound, 0)
    undecided = np.where(within < bound, between(-bound, -within) + between(within, bound), 0.0)
    return np.asarray(1 - undecided)
