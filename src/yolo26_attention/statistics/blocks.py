"""One model for all runs of a study: every comparison with the baseline, with simultaneous intervals.

A score is the mean of its variant plus, where the seeds show an effect, the effect of its seed, plus an error. All runs
estimate the error together: three seeds of five variants leave 8 to 10 degrees of freedom, where a paired t test of two
variants has 2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from yolo26_attention.statistics.estimation import AskedForm, Estimates, Form, estimate, runs_of
from yolo26_attention.statistics.multivariate_t import max_t_quantile
from yolo26_attention.statistics.paired import check_level


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
        comparisons: comparisons in the order of the given scores.
        form: which error the differences are measured against.
        reason: why this form, and whether seeds are blocks.
        blocks: whether the seeds' effects are taken out.
        sd: estimated standard deviation of a run with its variant and, where seeds are blocks, its seed given.
        df: degrees of freedom behind `critical`.
        critical: intervals are differences plus and minus this many standard errors.
        level: simultaneous level of the intervals.
        correlation: of the differences, row by row.
    """

    baseline: str
    comparisons: tuple[Contrast, ...]
    form: Form
    reason: str
    blocks: bool
    sd: float
    df: float
    critical: float
    level: float
    correlation: tuple[tuple[float, ...], ...]

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
    form: AskedForm = "auto",
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
    finite = finite_scores(scores)
    if baseline not in finite:
        raise ValueError(f"baseline={baseline!r} has no finite score; there are {', '.join(scores) or 'none'}")
    if len(finite) < 2:
        raise ValueError(f"no variant to compare with {baseline!r}: give at least one a finite score")
    ordered = {baseline: finite[baseline], **finite}
    design, values = runs_of(ordered, pairs=pairs)
    found = estimate(design, values, level, form)
    names = list(ordered)
    return StudyModel(
        baseline=baseline,
        comparisons=_contrasts(names, design.comparisons, found),
        form=found.form,
        reason=found.reason,
        blocks=found.blocks,
        sd=math.sqrt(found.variance),
        df=found.df,
        critical=found.critical,
        level=level,
        correlation=tuple(tuple(row) for row in found.correlation.tolist()),
    )


def finite_scores(scores: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    """The finite scores of every variant that has any."""
    finite = {name: {s: v for s, v in own.items() if math.isfinite(v)} for name, own in scores.items()}
    return {name: own for name, own in finite.items() if own}


def _contrasts(names: list[str], comparisons: list[tuple[int, int]], found: Estimates) -> tuple[Contrast, ...]:
    arrays = (found.difference, found.se, found.low, found.high, found.p, found.p_adjusted)
    columns = zip(*(array.tolist() for array in arrays), strict=True)
    return tuple(
        Contrast(names[first], names[second], difference, se, found.df, *rest)
        for (first, second), (difference, se, *rest) in zip(comparisons, columns, strict=True)
    )
