"""Estimates of a design's contrasts, with simultaneous intervals. A rule chooses blocks and the form of the error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.designs import Design, block_p, fit, project
from yolo26_attention.statistics.multivariate_t import max_t_p, max_t_quantile
from yolo26_attention.statistics.robust import BLOCK_P, Calibration, calibrate, paired

# paired: one variant, the paired t test; shared: one error for all runs; robust: own spreads, calibrated.
Form = Literal["paired", "shared", "robust"]
AskedForm = Literal["auto", "shared", "robust"]


@dataclass(frozen=True, eq=False)
class Estimates:
    """The contrasts of one study; arrays have one value for each contrast.

    Attributes:
        difference: estimates, in units of the score.
        se: standard errors of the estimates.
        low: lower bounds of the simultaneous intervals.
        high: upper bounds of the simultaneous intervals.
        p: two-sided p value of each contrast on its own.
        p_adjusted: p values adjusted for all contrasts; below 1 - level exactly where the interval excludes zero.
        form: form of the error.
        reason: why this form was chosen, and whether seeds are blocks.
        blocks: whether the model has an effect of each seed.
        variance: variance of the shared error.
        df: degrees of freedom of the critical value.
        critical: half the width of an interval, in standard errors.
        correlation: correlation of the estimates.
    """

    difference: Float64[NDArray[np.float64], " contrasts"]
    se: Float64[NDArray[np.float64], " contrasts"]
    low: Float64[NDArray[np.float64], " contrasts"]
    high: Float64[NDArray[np.float64], " contrasts"]
    p: Float64[NDArray[np.float64], " contrasts"]
    p_adjusted: Float64[NDArray[np.float64], " contrasts"]
    form: Form
    reason: str
    blocks: bool
    variance: float
    df: float
    critical: float
    correlation: Float64[NDArray[np.float64], "contrasts contrasts"]


def estimate(
    design: Design, scores: Float64[NDArray[np.float64], "1 runs"], level: float, asked: AskedForm = "auto"
) -> Estimates:
    """Estimate the contrasts of a design from the scores of its runs, by the rule of `blocks.compare`.

    Args:
        design: which runs there are, and which contrasts are wanted.
        scores: scores of the runs, with their mean subtracted.
        level: simultaneous confidence level of the intervals.
        asked: `auto` for the rule, or the form to use.

    Raises:
        ValueError: if no error can be estimated, or scores do not vary.
    """
    alone = paired(design)
    p_blocks = None if alone else float(block_p(design, scores)[0])
    blocks = alone or (p_blocks is not None and p_blocks < BLOCK_P)
    projection = project(design, blocks)
    if projection is None:
        raise ValueError("no error can be estimated: give at least two variants two seeds each")
    fitted = fit(design, projection, scores)
    if not fitted.variance[0] > (1e-12 * max(1.0, float(np.abs(scores).max()))) ** 2:
        raise ValueError("the scores do not vary over the seeds: no error can be estimated from them")
    form: Form = "paired"
    df, reason = float(projection.df), "paired t test: one variant, with the baseline's seeds"
    if not alone:
        calibration = calibrate(design, level)
        form, reason = _form(calibration, float(fitted.spread[0]), blocks, level, asked)
        df = calibration.df[blocks] if form == "robust" else df
        reason += f"; seeds are {'' if blocks else 'not '}blocks (F test of their effects: p {p_blocks:.2g})"
    difference, se = fitted.difference[0], (fitted.robust if form == "robust" else fitted.shared)[0]
    critical = max_t_quantile(level, projection.correlation, df)
    t = np.abs(difference / se)
    return Estimates(
        difference=difference,
        se=se,
        low=difference - critical * se,
        high=difference + critical * se,
        p=2 * scipy.special.stdtr(df, -t),
        p_adjusted=max_t_p(t, projection.correlation, df),
        form=form,
        reason=reason,
        blocks=blocks,
        variance=float(fitted.variance[0]),
        df=df,
        critical=critical,
        correlation=projection.correlation,
    )


def runs_of(
    scores: Mapping[str, Mapping[int, float]], contrasts: tuple[tuple[float, ...], ...] = (), pairs: bool = False
) -> tuple[Design, Float64[NDArray[np.float64], "1 runs"]]:
    """Return the design of the runs with these scores, and the scores with their mean subtracted.

    Args:
        scores: variant to seed to score, all finite, the first variant being the baseline.
        contrasts: weights of the variants' means in each comparison; empty for the comparisons that `pairs` names.
        pairs: compare all pairs of variants, not only those with the baseline.
    """
    runs = [(group, seed, own[seed]) for group, own in enumerate(scores.values()) for seed in sorted(own)]
    number = {seed: index for index, seed in enumerate(sorted({seed for _, seed, _ in runs}))}
    values = np.array([[value for _, _, value in runs]])
    groups, seeds = tuple(group for group, _, _ in runs), tuple(number[seed] for _, seed, _ in runs)
    return Design(groups, seeds, pairs, contrasts), values - values.mean()


def _form(calibration: Calibration, spread: float, blocks: bool, level: float, asked: AskedForm) -> tuple[Form, str]:
    """Choose the form of the error; returns it with the reason."""
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
