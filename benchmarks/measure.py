"""Times of several functions taken in turns, and what they say as ratios."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy
import torch

# What a turn lasts at least: a short function runs more often, so that its turn is not all noise.
TURN = 0.1


def in_turns(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function in each round, in which each has one turn; a first round is not kept."""
    times = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            # The first call of a turn meets the caches of another function.
            calls = max(1, round(TURN / _seconds(function)))
            seconds = sum(_seconds(function) for _ in range(min(calls, 50))) / min(calls, 50)
            if number:
                times[name].append(seconds)
    return times


def _seconds(function: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1000
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def spread(values: list[float], digits: int = 1) -> str:
    """Median with the quartiles, "12.3 (11.9 to 12.8)"."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratios(over: list[float], under: list[float]) -> list[float]:
    """One ratio for each round: what slows the machine down for a while slows both."""
    return [a / b for a, b in zip(over, under, strict=True)]


def milliseconds(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.2f}"


def relative(seconds: np.ndarray, places: np.ndarray) -> list[str]:
    """Every contender's times as multiples of the first one's, "1.012 (1.003 to 1.021)", with 95 % intervals.

    Least squares over the logarithms: what is common to a round is taken out, and a place in the order of a process has
    an effect of its own.

    Args:
        seconds: (processes, rounds, contenders).
        places: (processes, contenders), from 0; over all processes each contender has each place equally often.
    """
    times = np.log(seconds)
    processes, rounds, contenders = times.shape
    kinds = np.arange(contenders), places[:, None, :]
    columns = [np.broadcast_to(kind == number, times.shape) for kind in kinds for number in range(1, contenders)]
    design = np.stack(columns, axis=-1).astype(float)
    design -= design.mean(axis=2, keepdims=True)
    design = design.reshape(-1, len(columns))
    centred = (times - times.mean(axis=2, keepdims=True)).ravel()
    effects = np.linalg.lstsq(design, centred, rcond=None)[0]
    free = processes * rounds * (contenders - 1) - len(columns)
    variance = ((centred - design @ effects) ** 2).sum() / free
    reach = scipy.special.stdtrit(free, 0.975) * np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    low, middle, high = np.exp(effects - reach), np.exp(effects), np.exp(effects + reach)
    return [f"{middle[i]:.3f} ({low[i]:.3f} to {high[i]:.3f})" for i in range(contenders - 1)]
