"""Time networks in turn until the interval of every ratio is narrow enough or the time is up."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolo26_attention.files.latency import Ratio, Timing
from yolo26_attention.latency.clocks import Call, Clock
from yolo26_attention.latency.ratio import BLOCKS, ratio_interval

WARMUP_ROUND = 8  # calls of each network
WARMUP_STABLE = 0.05
WARMUP_SHARE = 0.25  # of the time budget, at most
FIRST_LOOK = 20 * BLOCKS  # rounds
LOOK_AGAIN = 1.5
IN_A_ROW = 2
PAIR = ((0, 1),)


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of each call in the order of the rounds, and the ratio of a network to its reference.

    `narrow` is whether the interval reached the requested width; otherwise the time or the rounds ran out.
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
        ratio = self.summary_ratio()
        return Timing(
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            stock_p50_ms=stock_p50,
            stock_p95_ms=stock_p95,
            stock_p99_ms=stock_p99,
            ratio_to_stock=ratio.ratio,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            narrow=self.narrow,
            pairs=len(self.times),
            seconds=self.seconds,
        )

    def summary_ratio(self) -> Ratio:
        """The ratio alone, for the record."""
        unknown = math.isnan(self.low)
        return Ratio(self.ratio, None if unknown else self.low, None if unknown else self.high)


@dataclass(frozen=True)
class Rounds:
    """What was timed.

    Attributes:
        times: (networks, rounds) milliseconds of each call.
        width: requested width of the intervals, as a fraction of the ratio.
        seconds: duration, without the warm-up and without pauses.
    """

    times: np.ndarray
    width: float
    seconds: float

    def compare(self, network: int, reference: int) -> Comparison:
        """Compare two of the networks by their positions."""
        own, others = self.times[network], self.times[reference]
        ratio, low, high = ratio_interval(own, others)
        return Comparison(own, others, ratio, low, high, high - low <= self.width * ratio, self.seconds)


def time_in_turn(
    networks: Sequence[Call],
    inputs: Sequence[Any],
    clock: Clock,
    *,
    seconds: float,
    max_pairs: int,
    width: float,
    pairs: Sequence[tuple[int, int]] = PAIR,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Warm up all networks, then time them in turn on the same inputs.

    Each round is one call of each network on the same input, in an order drawn for each round, so that periodic
    disturbances do not favour one of them. The intervals are checked each time the number of rounds has grown by half,
    and all must be narrow twice in a row: stopping at the first narrow interval would select those that are narrow by
    chance, whose coverage is below the nominal level.

    Args:
        networks: at least two, each called with an input.
        inputs: at least one input; the rounds cycle through them.
        clock: measures a call, in milliseconds.
        seconds: time budget; the warm-up adds at most a quarter. At least one round is measured.
        max_pairs: maximum number of rounds.
        width: width of the intervals, as a fraction of the ratio, at which to stop.
        pairs: positions of a network and its reference, for each ratio whose interval must be narrow.
        seed: seed of the order within rounds.
        between: called after each round, outside the timing.
        now: returns seconds from an arbitrary origin.
    """
    draw = random.Random(seed)
    _warm_up(networks, inputs, clock, seconds * WARMUP_SHARE, now)
    rounds: list[list[float]] = []
    order = list(range(len(networks)))
    look, narrow = FIRST_LOOK, 0
    start = now()
    while not rounds or (len(rounds) < max_pairs and narrow < IN_A_ROW and now() - start < seconds):
        argument = inputs[len(rounds) % len(inputs)]
        draw.shuffle(order)
        times = [0.0] * len(networks)
        for index in order:
            times[index] = clock(networks[index], argument)
        rounds.append(times)
        between()
        if len(rounds) >= look:
            narrow = narrow + 1 if _narrow(np.array(rounds).T, pairs, width) else 0
            look = math.ceil(look * LOOK_AGAIN)
    return Rounds(np.ascontiguousarray(np.array(rounds).T), width, now() - start)


def _narrow(times: np.ndarray, pairs: Sequence[tuple[int, int]], width: float) -> bool:
    """Whether the interval of every ratio is narrow."""
    found = [ratio_interval(times[network], times[reference]) for network, reference in pairs]
    return all(high - low <= width * ratio for ratio, low, high in found)


def _warm_up(
    networks: Sequence[Call], inputs: Sequence[Any], clock: Clock, seconds: float, now: Callable[[], float]
) -> None:
    """Run all until none gets faster from one turn to the next."""
    end = now() + seconds
    before = [math.inf] * len(networks)
    while True:
        medians = []
        for call in networks:
            medians.append(float(np.median([clock(call, inputs[i % len(inputs)]) for i in range(WARMUP_ROUND)])))
        faster = [new < old * (1 - WARMUP_STABLE) for new, old in zip(medians, before, strict=True)]
        if not any(faster) or now() >= end:
            return
        before = medians
