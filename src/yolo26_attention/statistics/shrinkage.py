"""The largest of several differences, corrected for having been chosen."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.paired import Values

POINTS_LOG2 = 12
# Share of its own variance that is added to each estimate before the best is chosen. With more, another variant is
# chosen than the best one, with less the estimate scatters: of 0.04 to 0.5 this keeps the bias below a tenth of the
# spread of three seeds for 3, 10 and 24 variants, whatever their effects.
NOISE = 0.12


def shrunken(
    estimates: Values,
    ses: Values,
    correlation: float | Sequence[Sequence[float]] | Float64[NDArray[np.float64], "values values"] = 0.5,
) -> float:
    """Correct the largest of several estimates for having been chosen; the result is never above it.

    Noise of the estimates' own covariance is added to choose and subtracted, scaled up, to estimate: the two are
    independent, so that what one half of the information chooses the other half estimates without bias. The mean over
    4,096 points of the noise (a Sobol sequence with a fixed seed) leaves nothing of the noise itself. Shrinkage by an
    estimated variance of the effects was not chosen: it draws one large effect among many small ones towards them.

    Args:
        estimates: differences from the baseline, larger is better.
        ses: their standard errors.
        correlation: of the estimates, or one number for all pairs; 0.5 where baseline and variants have as many
            seeds each.

    Raises:
        ValueError: if there is no estimate, lengths differ, values are not finite or standard errors not positive.

    Source: Breiman (1992), The little bootstrap; Robins and van der Vaart (2006) and Neufeld et al. (2024),
    Data thinning, for the two independent parts.
    """
    values, errors = np.atleast_1d(np.asarray(estimates, dtype=np.float64)), np.atleast_1d(np.asarray(ses, np.float64))
    size = len(values)
    if not size or values.shape != errors.shape:
        raise ValueError(f"estimates of shape {values.shape} and ses of shape {errors.shape}: (m,) each are needed")
    if not (np.isfinite(values).all() and np.isfinite(errors).all() and (errors > 0).all()):
        raise ValueError("estimates and ses: finite numbers, the standard errors above zero")
    if size == 1:
        return float(values[0])
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim == 0:
        matrix = np.full((size, size), float(matrix))
        np.fill_diagonal(matrix, 1)
    if matrix.shape != (size, size) or np.linalg.eigvalsh(matrix)[0] < -1e-8:
        raise ValueError(
            f"correlation of shape {matrix.shape}: ({size}, {size}) without negative eigenvalues is needed"
        )
    roots, vectors = np.linalg.eigh(matrix)
    factor = vectors * np.sqrt(np.maximum(roots, 0)) * errors[:, None]
    noise = _normal(size) @ factor.T
    chosen = (values + math.sqrt(NOISE) * noise).argmax(axis=1)
    rows = np.arange(len(noise))
    estimate = float((values[chosen] - noise[rows, chosen] / math.sqrt(NOISE)).mean())
    return min(estimate, float(values.max()))


@lru_cache(maxsize=32)
def _normal(size: int) -> Float64[NDArray[np.float64], "points {size}"]:
    """Points of a standard normal distribution; with each its negative, so that their mean is zero."""
    uniform = scipy.stats.qmc.Sobol(size, scramble=True, rng=0).random_base2(POINTS_LOG2 - 1)
    points: NDArray[np.float64] = scipy.special.ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    return np.concatenate([points, -points])
