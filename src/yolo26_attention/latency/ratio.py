"""The ratio of two series of times measured in turn, with an interval valid under autocorrelated noise."""

import numpy as np
import scipy

BLOCKS = 20


def ratio_interval(times: np.ndarray, stock_times: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Compute the median ratio over pairs and its confidence interval by sectioning.

    Successive times share disturbances, so pairs are not independent, and an interval that assumed independence would
    be too narrow. The series is cut into twenty sections of successive pairs, longer than the disturbances. The scatter
    of the twenty section medians around the overall median gives the standard error, with Student's t for nineteen
    degrees of freedom. Asmussen and Glynn, Stochastic Simulation (2007), III.5a; Nakayama, ACM TOMACS 24:4 (2014), for
    quantiles. It is computed on logarithms, so that swapping the two networks inverts it exactly.

    Args:
        times: (pairs,) times of the network under test.
        stock_times: (pairs,) times of the stock network, in the same unit.
        confidence: confidence level of the interval.

    Returns:
        The ratio and the ends of its interval; the ends are NaN with fewer than two pairs per section.
    """
    logs = np.log(times) - np.log(stock_times)
    middle = float(np.median(logs))
    if len(logs) < 2 * BLOCKS:
        return float(np.exp(middle)), float("nan"), float("nan")
    medians = np.array([np.median(block) for block in np.array_split(logs, BLOCKS)])
    error = float(np.sqrt(np.square(medians - middle).sum() / (BLOCKS - 1) / BLOCKS))
    reach = float(scipy.stats.t.ppf((1 + confidence) / 2, BLOCKS - 1)) * error
    return float(np.exp(middle)), float(np.exp(middle - reach)), float(np.exp(middle + reach))
