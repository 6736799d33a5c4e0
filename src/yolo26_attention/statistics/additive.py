"""What each value of each factor is worth, if effects add up: least squares over runs with one value per factor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy  # its parts are imported when they are first used

from yolo26_attention.statistics.paired import check_level

Run = TypeVar("Run")


@dataclass(frozen=True)
class Worth:
    """The effect of one value of a factor against the factor's reference, in units of the score.

    `low` and `high` are the interval of this effect on its own. All numbers are None if the runs do not determine the
    effect; `low` and `high` are None if no error can be estimated.
    """

    factor: str
    value: int
    runs: int
    effect: float | None
    low: float | None
    high: float | None


def worth(
    points: Mapping[Run, Sequence[int]],
    scores: Mapping[Run, float],
    factors: Sequence[str],
    level: float = 0.95,
) -> list[Worth]:
    """Estimate the effect of each value of each factor by an additive model with one error.

    Args:
        points: for each run, the index of its value of each factor; 0 is the reference.
        scores: score of each run.
        factors: names of the factors, in the order of the indices.
        level: confidence level of each interval.

    Returns:
        One estimate for each value but the references, in the order of the factors.

    Raises:
        ValueError: if there are no runs, a run has not one value per factor, or the level is not between 0 and 1.

    Source: Montgomery (2017), Design and Analysis of Experiments, section 10.3, with indicator variables.
    """
    check_level(level)
    runs = list(scores)
    if not runs or any(len(points[run]) != len(factors) for run in runs):
        raise ValueError(f"{len(runs)} runs: each needs one value for each of the factors {', '.join(factors)}")
    chosen = np.array([points[run] for run in runs])
    terms = [(i, value) for i in range(len(factors)) for value in range(1, int(chosen[:, i].max()) + 1)]
    columns = np.column_stack([np.ones(len(runs)), *(chosen[:, i] == value for i, value in terms)]).astype(np.float64)
    inverse = np.linalg.pinv(columns)
    values = np.array([scores[run] for run in runs])
    coefficients = inverse @ values
    df = len(runs) - int(np.linalg.matrix_rank(columns))
    variance = float(((values - columns @ coefficients) ** 2).sum()) / df if df > 0 else None
    determined = np.isclose(np.diag(inverse @ columns), 1, atol=1e-8)
    found = []
    for column, (i, value) in enumerate(terms, 1):
        count = int((chosen[:, i] == value).sum())
        if not determined[column]:
            found.append(Worth(factors[i], value, count, None, None, None))
            continue
        effect = float(coefficients[column])
        half = None
        if variance is not None:
            half = float(scipy.special.stdtrit(df, (1 + level) / 2) * np.sqrt(variance * (inverse[column] ** 2).sum()))
        low, high = (None, None) if half is None else (effect - half, effect + half)
        found.append(Worth(factors[i], value, count, effect, low, high))
    return found
