"""Which error a study's comparisons are measured against, by a rule that is simulated for the very design.

The baseline's spread matters most, as it enters every comparison: with three seeds each, four variants and a baseline
of twice their spread, one shared error finds a difference in 12 % of the studies without any, not in 5 %. Three seeds
cannot show that the spreads differ, so no test of the spreads repairs this: the critical value has to allow for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.designs import Design, block_p, fit, project
from yolo26_attention.statistics.multivariate_t import matching_df, max_t_p_curve, max_t_quantile

# Seeds are blocks where the F test of their effects has a p value below this.
BLOCK_P = 0.1
# Share of false verdicts over 1 - level that is allowed where a spread is doubled: 0.075 of 0.05.
DOUBLED = 1.5
# What one shared error may reach before the robust form takes over: 0.055 with equal spreads, 0.078 with one doubled.
SHARED_EQUAL, SHARED_DOUBLED = 1.1, 1.56
SPREAD_LEVEL = 0.99
DRAWS, MANY_RUNS = 40_000, 100
CHUNK = 4_000


@dataclass(frozen=True)
class Calibration:
    """How a design is judged.

    Attributes:
        shared_holds: whether one error keeps the false verdicts where they may be, equal spreads or one doubled.
        false_equal: share of null studies with a false verdict under one shared error, equal spreads.
        false_doubled: the same, the worst case of one spread doubled.
        df: degrees of freedom of the robust form with [True] and without [False] blocks.
        spread_limit: spread above which the robust form takes over, with and without blocks.
    """

    shared_holds: bool
    false_equal: float
    false_doubled: float
    df: dict[bool, float]
    spread_limit: dict[bool, float]


@lru_cache(maxsize=256)
def calibrate(design: Design, level: float) -> Calibration:
    """Simulate null studies of a design: normal scores, a fixed seed, equal and doubled spreads.

    The robust form's critical values are those that leave at most 1 - level of false verdicts with equal spreads and
    at most 1.5 times that with one spread doubled, without effects of the seeds and with blocks in every study; they
    are given as the degrees of freedom of the multivariate t that has them. Simulated are 40,000 studies, or 20,000
    where each has more than 100 runs.

    Raises:
        ValueError: if no model of the design leaves an error to estimate.
    """
    models = {blocked: found for blocked in (True, False) if (found := project(design, blocked))}
    if not models:
        raise ValueError("no error can be estimated: give at least two variants two seeds each")
    alpha = 1 - level
    simulated = [_simulate(design, scale) for scale in _scales(design)]
    critical = {blocked: max_t_quantile(level, found.correlation, found.df) for blocked, found in models.items()}
    rates = [_rejected(cell, "shared", critical) for cell in simulated]
    equal, doubled = rates[0], max(rates[1:])
    limits = _limits(simulated, tuple(models), alpha)
    return Calibration(
        shared_holds=equal <= SHARED_EQUAL * alpha and doubled <= SHARED_DOUBLED * alpha,
        false_equal=equal,
        false_doubled=doubled,
        df={blocked: matching_df(limits[blocked], level, found.correlation) for blocked, found in models.items()},
        spread_limit={
            blocked: float(np.quantile(simulated[0]["spread", blocked], SPREAD_LEVEL)) + 1e-9 for blocked in models
        },
    )


Cell = dict[tuple[str, bool], Float64[NDArray[np.float64], " studies"]]


def _limits(simulated: list[Cell], models: tuple[bool, ...], alpha: float) -> dict[bool, float]:
    """Critical values of the robust form with and without blocks.

    With blocks alone they hold `alpha`, which is the limit of large effects of the seeds; as the rule mixes the models
    without such effects, both hold it together.
    """

    def found(blocked: tuple[bool, ...], cap: dict[bool, float]) -> dict[bool, float]:
        """Nominal levels, the same for each model but for the cap."""
        low, high = alpha / 50, alpha
        for _ in range(20):
            nominal = (low + high) / 2
            limits = quantiles({model: min(nominal, cap.get(model, 1.0)) for model in blocked})
            rates = [_rejected(cell, "robust", limits) for cell in simulated]
            holds = rates[0] <= alpha and max(rates[1:]) <= DOUBLED * alpha
            low, high = (nominal, high) if holds else (low, nominal)
        return {model: min(low, cap.get(model, 1.0)) for model in blocked}

    def quantiles(nominal: dict[bool, float]) -> dict[bool, float]:
        return {model: float(np.quantile(simulated[0]["robust", model], 1 - p)) for model, p in nominal.items()}

    cap = found((True,), {}) if True in models else {}
    return quantiles(found(models, cap) if False in models else cap)


def _scales(design: Design) -> Iterator[Float64[NDArray[np.float64], " runs"]]:
    """Spreads of the runs: equal, then doubled for the baseline, the variant of fewest and that of most runs."""
    groups, variants = np.array(design.groups), design.counts[1:]
    yield np.ones(len(groups))
    for group in sorted({0, 1 + int(variants.argmin()), 1 + int(variants.argmax())}):
        yield np.where(groups == group, 2.0, 1.0)


def _simulate(design: Design, scale: Float64[NDArray[np.float64], " {len(design.groups)}"]) -> Cell:
    generator = np.random.default_rng(0)
    cells: list[Cell] = []
    for _ in range(DRAWS // CHUNK // (1 + (len(scale) > MANY_RUNS))):
        scores = generator.standard_normal((CHUNK, len(scale))) * scale
        cell: Cell = {("blocks", True): (block_p(design, scores) < BLOCK_P).astype(np.float64)}
        for blocked in (True, False):
            if found := project(design, blocked):
                fitted = fit(design, found, scores)
                cell["shared", blocked] = np.abs(fitted.difference / fitted.shared).max(axis=1)
                cell["robust", blocked] = np.abs(fitted.difference / fitted.robust).max(axis=1)
                cell["spread", blocked] = fitted.spread
        cells.append(cell)
    return {key: np.concatenate([cell[key] for cell in cells]) for key in cells[0]}


def _rejected(cell: Cell, form: str, critical: dict[bool, float]) -> float:
    """Share of studies whose largest |t| exceeds the critical value of the model that the rule chooses."""
    exceeded = {blocked: cell[form, blocked] > limit for blocked, limit in critical.items()}
    if len(exceeded) == 1:
        return float(next(iter(exceeded.values())).mean())
    return float(np.where(cell["blocks", True] > 0, exceeded[True], exceeded[False]).mean())


def paired(design: Design) -> bool:
    """Whether there is one variant with the same seeds as the baseline, so that the paired t test applies."""
    own = [{seed for g, seed in zip(design.groups, design.seeds, strict=True) if g == group} for group in (0, 1)]
    return len(design.counts) == 2 and own[0] == own[1]


@dataclass(frozen=True, eq=False)
class Judged:
    """What `compare` finds in many studies of one design: differences, standard errors and adjusted p values.

    Attributes:
        difference: in units of the score.
        se: in units of the score.
        p: adjusted for all comparisons.
        critical: intervals are differences plus and minus this many standard errors.
        robust: whether the robust form was used.
        blocks: whether seeds were blocks.
    """

    difference: Float64[NDArray[np.float64], "studies comparisons"]
    se: Float64[NDArray[np.float64], "studies comparisons"]
    p: Float64[NDArray[np.float64], "studies comparisons"]
    critical: Float64[NDArray[np.float64], " studies"]
    robust: Bool[NDArray[np.bool_], " studies"]
    blocks: Bool[NDArray[np.bool_], " studies"]


def judge(
    design: Design,
    scores: Float64[NDArray[np.float64], "studies {len(design.groups)}"],
    level: float = 0.95,
    boundary: float | None = None,
) -> Judged:
    """Judge the scores of many studies of one design by the rule of `compare`; p values are interpolated.

    Args:
        design: of all studies.
        scores: of each study, in the order of the design.
        level: simultaneous level of the study.
        boundary: nominal level of a look, which the critical values belong to; None for 1 - level.

    Raises:
        ValueError: if no model of the design leaves an error to estimate.
    """
    alone = paired(design)
    calibration = None if alone else calibrate(design, level)
    blocks = np.ones(len(scores), dtype=bool) if alone else block_p(design, scores) < BLOCK_P
    held = level if boundary is None else 1 - boundary
    shape = len(scores), len(design.weights)
    difference, se, p = np.empty(shape), np.empty(shape), np.empty(shape)
    critical, robust = np.empty(len(scores)), np.zeros(len(scores), dtype=bool)
    for blocked in (True, False):
        rows, found = np.flatnonzero(blocks == blocked), project(design, blocked)
        if found is None or not len(rows):
            continue
        fitted = fit(design, found, scores[rows])
        if calibration is not None:
            robust[rows] = ~(calibration.shared_holds & (fitted.spread <= calibration.spread_limit[blocked]))
        difference[rows] = fitted.difference
        se[rows] = np.where(robust[rows, None], fitted.robust, fitted.shared)
        t = np.abs(difference[rows] / se[rows])
        for form in np.unique(robust[rows]):
            df = calibration.df[blocked] if form and calibration is not None else found.df
            of_form = robust[rows] == form
            critical[rows[of_form]] = max_t_quantile(held, found.correlation, df)
            p[rows[of_form]] = max_t_p_curve(t[of_form], found.correlation, df)
    return Judged(difference, se, p, critical, robust, blocks)
