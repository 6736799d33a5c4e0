"""Networks timed in turn: order, stopping, warm-up, and what is promised about the interval."""

import math

import numpy as np
import pytest

from yolo26_attention.latency.protocol import FIRST_LOOK, WARMUP_ROUND, time_in_turn


class Bench:
    """A clock whose times are made up, and which moves the time by them."""

    def __init__(self, seed=0, ratio=1.0, noise=0.0):
        self.draw, self.ratio, self.noise = np.random.default_rng(seed), ratio, noise
        self.now, self.calls, self.between = 0.0, [], 0

    def clock(self, call, argument):
        name = call(argument)
        milliseconds = 10.0 * (self.ratio if name == "model" else 1.0) * math.exp(self.noise * self.draw.normal())
        self.now += milliseconds / 1000
        self.calls.append((name, argument))
        return milliseconds

    def compare(self, inputs=("a",), **options):
        settings = {"seconds": 1e9, "max_pairs": 10_000, "width": 0.0, "now": lambda: self.now, **options}
        networks = [lambda _: "model", lambda _: "stock"]
        return time_in_turn(networks, inputs, self.clock, **settings).compare(0, 1)


def test_ratio_and_quantiles_of_known_times():
    summary = Bench(ratio=1.5).compare(max_pairs=100).summary()
    assert summary.ratio_to_stock == pytest.approx(1.5)
    assert (summary.p50_ms, summary.p95_ms, summary.p99_ms) == pytest.approx((15, 15, 15))
    assert (summary.stock_p50_ms, summary.stock_p99_ms) == pytest.approx((10, 10))
    assert summary.pairs == 100


def test_tail_is_in_the_quantiles():
    bench = Bench(noise=0.3)
    measured = bench.compare(max_pairs=1000)
    summary = measured.summary()
    assert (summary.p95_ms, summary.p99_ms) == pytest.approx(tuple(np.quantile(measured.times, (0.95, 0.99))))
    assert summary.p50_ms < summary.p95_ms < summary.p99_ms


def test_each_pair_has_one_call_of_either_on_one_input_in_an_order_that_changes():
    bench = Bench()
    bench.compare(inputs=("a", "b", "c"), max_pairs=60)
    timed = bench.calls[-120:]
    pairs = list(zip(timed[::2], timed[1::2], strict=True))
    assert {frozenset(name for name, _ in pair) for pair in pairs} == {frozenset({"model", "stock"})}
    assert [first[1] for first, _ in pairs] == [second[1] for _, second in pairs] == ["a", "b", "c"] * 20
    first = [first[0] for first, _ in pairs]
    assert 15 <= first.count("model") <= 45
    assert first != ["model", "stock"] * 30


def test_order_comes_from_the_seed():
    orders = []
    for seed in (0, 0, 1):
        bench = Bench()
        bench.compare(max_pairs=30, seed=seed)
        orders.append(bench.calls)
    assert orders[0] == orders[1] != orders[2]


def test_stops_when_the_interval_is_narrow_twice_in_a_row():
    measured = Bench(noise=0.001).compare(width=0.01)
    assert measured.narrow
    assert len(measured.times) == math.ceil(FIRST_LOOK * 1.5)


def test_width_is_a_share_of_the_ratio():
    measured = Bench(ratio=8.0, noise=0.001).compare(width=0.001, max_pairs=2000)
    assert 0.001 < measured.high - measured.low < 0.008
    assert len(measured.times) == math.ceil(FIRST_LOOK * 1.5)


def test_goes_on_while_it_is_wide():
    measured = Bench(noise=0.3).compare(width=0.01, max_pairs=2000)
    assert not measured.narrow
    assert len(measured.times) == 2000


def test_stops_when_the_time_is_up():
    bench = Bench(noise=0.3)
    measured = bench.compare(seconds=2.0)
    assert not measured.narrow
    assert len(measured.times) == pytest.approx(100, abs=20)
    assert measured.seconds == pytest.approx(2.0, abs=0.1)


def test_budget_of_no_time_still_measures_one_pair():
    summary = Bench().compare(seconds=0).summary()
    assert summary.pairs == 1
    assert (summary.ratio_low, summary.ratio_high, summary.narrow) == (None, None, False)


def test_warm_up_lasts_until_neither_gets_faster():
    class Warming(Bench):
        def clock(self, call, argument):
            return super().clock(call, argument) * (1 + 5 * math.exp(-len(self.calls) / 20))

    bench = Warming()
    measured = bench.compare(max_pairs=50)
    assert len(bench.calls) - 100 > 4 * WARMUP_ROUND
    assert measured.times[0] < 10 * 1.2
    steady = Bench()
    steady.compare(max_pairs=50)
    assert len(steady.calls) - 100 == 4 * WARMUP_ROUND


def test_between_is_called_after_each_pair():
    seen = []
    bench = Bench()
    bench.compare(max_pairs=5, between=lambda: seen.append(len(bench.calls)))
    assert np.diff(seen).tolist() == [2, 2, 2, 2]


class Several(Bench):
    """A clock of any number of networks, each with its own ratio and noise."""

    def __init__(self, ratios, noises, seed=0):
        super().__init__(seed)
        self.ratios, self.noises = ratios, noises

    def clock(self, call, argument):
        index = call(argument)
        milliseconds = 10.0 * self.ratios[index] * math.exp(self.noises[index] * self.draw.normal())
        self.now += milliseconds / 1000
        self.calls.append(index)
        return milliseconds

    def time(self, **options):
        networks = [lambda _, index=index: index for index in range(len(self.ratios))]
        settings = {"seconds": 1e9, "max_pairs": 10_000, "width": 0.0, "now": lambda: self.now, **options}
        return time_in_turn(networks, ["a"], self.clock, **settings)


def test_each_round_has_one_call_of_every_network_in_an_order_that_changes():
    bench = Several((1.0, 1.5, 2.0, 1.2), (0.0,) * 4)
    rounds = bench.time(max_pairs=60, pairs=((1, 0), (2, 0), (3, 1)))
    timed = np.array(bench.calls[-240:]).reshape(60, 4)
    assert np.sort(timed, axis=1).tolist() == [[0, 1, 2, 3]] * 60
    assert len({tuple(order) for order in timed.tolist()}) > 15
    assert all(5 <= (timed[:, 0] == first).sum() <= 25 for first in range(4))
    assert rounds.times.shape == (4, 60)
    assert [rounds.compare(*pair).ratio for pair in ((1, 0), (2, 0), (3, 1))] == pytest.approx([1.5, 2.0, 0.8])


def test_stops_when_every_ratio_that_is_asked_for_is_narrow():
    noises = (0.001, 0.001, 0.3)
    all_narrow = Several((1.0, 1.2, 1.4), noises).time(width=0.01, max_pairs=2000, pairs=((1, 0), (2, 0)))
    assert all_narrow.times.shape[1] == 2000
    assert (all_narrow.compare(1, 0).narrow, all_narrow.compare(2, 0).narrow) == (True, False)
    without_the_wide_one = Several((1.0, 1.2, 1.4), noises).time(width=0.01, max_pairs=2000, pairs=((1, 0),))
    assert without_the_wide_one.times.shape[1] == math.ceil(FIRST_LOOK * 1.5)


def test_stopping_early_keeps_the_promise():
    # 200 measurements of equal networks, each stopped as soon as it may: 95 % promised, less the luck of 200 draws.
    measured = [Bench(seed, noise=0.05).compare(width=0.03) for seed in range(200)]
    assert all(comparison.narrow for comparison in measured)
    assert sum(comparison.low <= 1 <= comparison.high for comparison in measured) >= 180
