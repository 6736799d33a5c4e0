"""Time two networks in turn until the interval of their ratio is narrow enough or the time is up."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolo26_attention.files.latency import Timing
from yolo26_attention.latency.clocks import Call, Clock
from yolo26_attention.latency.interval import BLOCKS, ratio_interval

WARMUP_ROUND = 8  # calls of each network
WARMUP_STABLE = 0.05
WARMUP_SHARE = 0.25  # of the time budget, at most
FIRST_LOOK = 20 * BLOCKS  # pairs
LOOK_AGAIN = 1.5
IN_A_ROW = 2


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of each call in the order of the pairs, and the ratio of the first network to the stock network.

    `narrow` is whether the interval reached the requested width; otherwise the time or the pairs ran out.
    """

    times: np.ndarray
    stock_times: np.ndarray
    ratio: float
    low: float
    high: float
    narrow: bool
    seconds: float

    def summary(self) -> Timing:
        """Summarize the comparison for the record."""
        (p50, p95, p99), (stock_p50, stock_p95, stock_p99) = (
            np.quantile(series, (0.5, 0.95, 0.99)).tolist() for series in (self.times, self.stock_times)
        )
        unknown = math.isnan(self.low)
        return Timing(
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            stock_p50_ms=stock_p50,
            stock_p95_ms=stock_p95,
            stock_p99_ms=stock_p99,
            ratio_to_stock=self.ratio,
            ratio_low=None if unknown else self.low,
            ratio_high=None if unknown else self.high,
            narrow=self.narrow,
            pairs=len(self.times),
            seconds=self.seconds,
        )


def compare(
    model: Call,
    stock: Call,
    inputs: Sequence[Any],
    clock: Clock,
    *,
    seconds: float,
    max_pairs: int,
    width: float,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Warm up both networks, then time them in turn on the same inputs.

    Each pair is one call of each network on the same input, in an order drawn for each pair, so that periodic
    disturbances do not favour one of them. The interval is checked each time the number of pairs has grown by half,
    and must be narrow twice in a row: stopping at the first narrow interval would select those that are narrow by
    chance, whose coverage is below the nominal level.

    Args:
        model: the network under test, called with an input.
        stock: the reference network, called with the same input.
        inputs: at least one input; the pairs cycle through them.
        clock: measures a call, in milliseconds.
        seconds: time budget; the warm-up adds at most a quarter. At least one pair is measured.
        max_pairs: maximum number of pairs.
        width: width of the interval, as a fraction of the ratio, at which to stop.
        seed: seed of the order within pairs.
        between: called after each pair, outside the timing.
        now: returns seconds from an arbitrary origin.
    """
    draw = random.Random(seed)
    _warm_up(model, stock, inputs, clock, seconds * WARMUP_SHARE, now)
    times: list[float] = []
    stock_times: list[float] = []
    look, narrow = FIRST_LOOK, 0
    start = now()
    while not times or (len(times) < max_pairs and narrow < IN_A_ROW and now() - start < seconds):
        argument = inputs[len(times) % len(inputs)]
        if draw.random() < 0.5:
            own, others = clock(model, argument), clock(stock, argument)
        else:
            others, own = clock(stock, argument), clock(model, argument)
        times.append(own)
        stock_times.append(others)
        between()
        if len(times) >= look:
            ratio, low, high = ratio_interval(np.array(times), np.array(stock_times))
            narrow = narrow + 1 if high - low <= width * ratio else 0
            look = math.ceil(look * LOOK_AGAIN)
    series = np.array(times), np.array(stock_times)
    ratio, low, high = ratio_interval(*series)
    return Comparison(*series, ratio, low, high, high - low <= width * ratio, now() - start)


def _warm_up(
    model: Call, stock: Call, inputs: Sequence[Any], clock: Clock, seconds: float, now: Callable[[], float]
) -> None:
    """Run both until neither gets faster from one round to the next."""
    end = now() + seconds
    before = [math.inf, math.inf]
    while True:
        medians = []
        for call in (model, stock):
            medians.append(float(np.median([clock(call, inputs[i % len(inputs)]) for i in range(WARMUP_ROUND)])))
        faster = [new < old * (1 - WARMUP_STABLE) for new, old in zip(medians, before, strict=True)]
        if not any(faster) or now() >= end:
            return
        before = medians
