"""Times of several functions taken in turns, and what they say as ratios."""

import statistics
import time
from collections.abc import Callable

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
