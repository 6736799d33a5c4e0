"""One model for all runs of a study: every comparison with the baseline, with simultaneous intervals.

A score is the mean of its variant plus, where the seeds show an effect, the effect of its seed, plus an error. All runs
estimate the error together: three seeds of five variants leave 8 to 10 degrees of freedom, where a paired t test of two
variants has 2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.designs import Design, block_p, fit, project
from yolo26_attention.statistics.multivariate_t import max_t_p, max_t_quantile
from yolo26_attention.statistics.paired import check_level
from yolo26_attention.statistics.robust import BLOCK_P, Calibration, calibrate, paired

# paired: one variant, the paired t test; shared: one error for all runs; robust: own spreads, calibrated.
Form = Literal["paired", "shared", "robust"]


@dataclass(frozen=True)
class Contrast:
    """`variant` minus `against`, in units of the score.

    `low` and `high` hold simultaneously for all comparisons of the model; `p_adjusted` is below 1 - level exactly where
    they exclude zero. `p` is of this comparison alone.
    """

    variant: str
    against: str
    difference: float
    se: float
    df: float
    low: float
    high: float
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class StudyModel:
    """All comparisons of a study.

    Attributes:
        baseline: name of the baseline.
        comparisons: in the order of the scores given.
        form: which error the differences are measured against.
        reason: why this form, and whether seeds are blocks.
        blocks: whether the seeds' effects are taken out.
        block_p: p value of the F test that seeds have no effect; None where it cannot be tested.
        sd: estimated standard deviation of a run with its variant and, where seeds are blocks, its seed given.
        df: degrees of freedom behind `critical`.
        critical: intervals are differences plus and minus this many standard errors.
        level: simultaneous level of the intervals.
        correlation: of the differences, row by row.
        runs: number of finite scores of each variant.
        left_out: variants without a finite score.
    """

    baseline: str
    comparisons: tuple[Contrast, ...]
    form: Form
    reason: str
    blocks: bool
    block_p: float | None
    sd: float
    df: float
    critical: float
    level: float
    correlation: tuple[tuple[float, ...], ...]
    runs: dict[str, int]
    left_out: tuple[str, ...]

    def __getitem__(self, variant: str) -> Contrast:
        """The comparison of a variant with the baseline.

        Raises:
            KeyError: if there is none.
        """
        for contrast in self.comparisons:
            if contrast.variant == variant and contrast.against == self.baseline:
                return contrast
        raise KeyError(f"no comparison of {variant!r} with {self.baseline!r}")

    def critical_at(self, level: float, df: float | None = None) -> float:
        """Critical value of the largest |t| at another simultaneous level, for example a look's.

        Args:
            level: simultaneous level.
            df: degrees of freedom of another number of runs; None for those of this model.

        Raises:
            ValueError: if the level is not between 0 and 1.
        """
        return max_t_quantile(level, self.correlation, self.df if df is None else df)


def compare(
    scores: Mapping[str, Mapping[int, float]],
    baseline: str,
    level: float = 0.95,
    pairs: bool = False,
    form: Literal["auto", "shared", "robust"] = "auto",
) -> StudyModel:
    """Compare the variants of a study by one model of all its runs.

    Seeds are blocks where their F test has a p value below 0.1, so that a seed that only the baseline has counts where
    seeds show no effect. One error is shared by all variants (Dunnett's test) where simulation of the design says that
    the share of studies with a false verdict stays below 0.055 with equal spreads and 0.078 with one spread doubled,
    and the spreads found are no larger than in 99 % of such studies; otherwise the robust form of `designs` takes over.
    One variant with the baseline's seeds is compared by the paired t test. The simulation takes from 0.1 to a few
    seconds for each design and is kept in the process.

    Args:
        scores: variant to seed to score; scores that are not finite are left out.
        baseline: the variant that the others are compared with.
        level: simultaneous level of the intervals.
        pairs: compare all pairs of variants, not only those with the baseline.
        form: `auto` for the rule, or the form to use.

    Raises:
        ValueError: if the baseline has no finite score, there is no other variant, the level is not between 0 and 1,
            no two variants have two seeds each, or scores do not vary.

    Source: Dunnett (1955); Cochran and Cox (1957), Experimental Designs, chapter 4, for the blocks.
    """
    check_level(level)
    names, design, values = _study(scores, baseline, pairs)
    alone = paired(design)
    p_blocks = None if alone else float(block_p(design, values)[0])
    blocks = alone or (p_blocks is not None and p_blocks < BLOCK_P)
    projection = project(design, blocks)
    if projection is None:
        raise ValueError("no error can be estimated: give at least two variants two seeds each")
    fitted = fit(design, projection, values)
    if not fitted.variance[0] > (1e-12 * max(1.0, float(np.abs(values).max()))) ** 2:
        raise ValueError("the scores do not vary over the seeds: no error can be estimated from them")
    chosen: Form = "paired"
    df, reason = float(projection.df), "paired t test: one variant, with the baseline's seeds"
    if not alone:
        calibration = calibrate(design, level)
        chosen, reason = _form(calibration, float(fitted.spread[0]), blocks, level, form)
        df = calibration.df[blocks] if chosen == "robust" else df
        reason += f"; seeds are {'' if blocks else 'not '}blocks (F test of their effects: p {p_blocks:.2g})"
    critical = max_t_quantile(level, projection.correlation, df)
    se = (fitted.robust if chosen == "robust" else fitted.shared)[0]
    return StudyModel(
        baseline=baseline,
        comparisons=_contrasts(
            names, design.comparisons, fitted.difference[0], se, projection.correlation, df, critical
        ),
        form=chosen,
        reason=reason,
        blocks=blocks,
        block_p=p_blocks,
        sd=math.sqrt(fitted.variance[0]),
        df=df,
        critical=critical,
        level=level,
        correlation=tuple(tuple(row) for row in projection.correlation.tolist()),
        runs=dict(zip(names, design.counts.tolist(), strict=True)),
        left_out=tuple(name for name in scores if name not in names),
    )


def _study(
    scores: Mapping[str, Mapping[int, float]], baseline: str, pairs: bool
) -> tuple[list[str], Design, Float64[NDArray[np.float64], "1 runs"]]:
    """Names of what has finite scores, the baseline first, their runs, and scores about their mean."""
    finite = {name: {s: v for s, v in own.items() if math.isfinite(v)} for name, own in scores.items()}
    if not finite.get(baseline):
        raise ValueError(f"baseline={baseline!r} has no finite score; there are {', '.join(scores) or 'none'}")
    names = [baseline, *(name for name, own in finite.items() if own and name != baseline)]
    if len(names) < 2:
        raise ValueError(f"no variant to compare with {baseline!r}: give at least one a finite score")
    runs = [(group, seed, finite[name][seed]) for group, name in enumerate(names) for seed in sorted(finite[name])]
    number = {seed: index for index, seed in enumerate(sorted({seed for _, seed, _ in runs}))}
    values = np.array([[value for _, _, value in runs]])
    design = Design(tuple(group for group, _, _ in runs), tuple(number[seed] for _, seed, _ in runs), pairs)
    return names, design, values - values.mean()


def _contrasts(
    names: list[str],
    comparisons: list[tuple[int, int]],
    difference: Float64[NDArray[np.float64], " comparisons"],
    se: Float64[NDArray[np.float64], " comparisons"],
    correlation: Float64[NDArray[np.float64], "comparisons comparisons"],
    df: float,
    critical: float,
) -> tuple[Contrast, ...]:
    t = np.abs(difference / se)
    low, high = difference - critical * se, difference + critical * se
    p, adjusted = 2 * scipy.special.stdtr(df, -t), max_t_p(t, correlation, df)
    columns = zip(
        difference.tolist(), se.tolist(), low.tolist(), high.tolist(), p.tolist(), adjusted.tolist(), strict=True
    )
    return tuple(
        Contrast(names[first], names[second], estimate, error, df, *rest)
        for (first, second), (estimate, error, *rest) in zip(comparisons, columns, strict=True)
    )


def _form(
    calibration: Calibration, spread: float, blocks: bool, level: float, asked: Literal["auto", "shared", "robust"]
) -> tuple[Form, str]:
    """The form of the error, and why."""
    if asked != "auto":
        return asked, f"{asked} error: asked for"
    limit = calibration.spread_limit[blocks]
    if not calibration.shared_holds:
        return "robust", (
            f"robust error: with one shared error {calibration.false_equal:.3f} of studies like this without any "
            f"difference would show one at {1 - level:.2g}, and {calibration.false_doubled:.3f} with one spread doubled"
        )
    if spread > limit:
        return "robust", f"robust error: the largest variance is {spread:.1f} times the shared one, above {limit:.1f}"
    return "shared", (
        f"shared error: with one spread doubled {calibration.false_doubled:.3f} of studies like this without any "
        f"difference would show one at {1 - level:.2g}"
    )
