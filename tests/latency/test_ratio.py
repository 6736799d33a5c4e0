"""The interval of a latency ratio: exact where it must be, honest under noise that hangs together."""

import math

import numpy as np
import pytest

from yolo26_attention.latency.ratio import ratio_interval


def test_equal_times_have_ratio_one_and_no_width():
    times = np.random.default_rng(0).uniform(1, 2, 200)
    assert ratio_interval(times, times) == (1.0, 1.0, 1.0)


def test_exchanging_the_networks_inverts_it():
    draw = np.random.default_rng(0)
    times, stock_times = draw.lognormal(0.4, 0.1, 400), draw.lognormal(0, 0.1, 400)
    ratio, low, high = ratio_interval(times, stock_times)
    swapped = ratio_interval(stock_times, times)
    assert (1 / ratio, 1 / high, 1 / low) == pytest.approx(swapped)
    assert low < math.exp(0.4) < high


def test_by_hand():
    # Twenty runs of two pairs; the median of each is the logarithm of its ratio, 0.1 above or below.
    logs = np.repeat(np.tile([0.1, -0.1], 10), 2)
    ratio, low, high = ratio_interval(np.exp(logs), np.ones(40))
    error = math.sqrt(20 * 0.01 / 19 / 20)
    assert (ratio, low, high) == pytest.approx((1, math.exp(-2.0930240544 * error), math.exp(2.0930240544 * error)))


def test_too_few_pairs_have_no_interval():
    ratio, low, high = ratio_interval(np.full(39, 3.0), np.full(39, 2.0))
    assert ratio == pytest.approx(1.5)
    assert math.isnan(low)
    assert math.isnan(high)


def test_wider_confidence_is_wider():
    draw = np.random.default_rng(0)
    times, stock_times = draw.lognormal(0, 0.1, 400), draw.lognormal(0, 0.1, 400)
    _, low, high = ratio_interval(times, stock_times)
    _, lower, higher = ratio_interval(times, stock_times, confidence=0.99)
    assert lower < low < high < higher


def correlated(draw, count, share):
    """Noise of which so much stays from one pair to the next."""
    noise, steps = np.empty(count), draw.standard_normal(count) * 0.02
    noise[0] = steps[0] / math.sqrt(1 - share**2)
    for i in range(1, count):
        noise[i] = share * noise[i - 1] + steps[i]
    return noise


def covered(intervals):
    return sum(low <= 1 <= high for _, low, high in intervals) / len(intervals)


@pytest.mark.parametrize(
    "share", [pytest.param(0.0, id="independent"), pytest.param(0.8, id="0.8"), pytest.param(0.9, id="0.9")]
)
def test_holds_the_truth_as_often_as_it_says(share):
    draw = np.random.default_rng(1)
    found = [ratio_interval(np.exp(correlated(draw, 1000, share)), np.ones(1000)) for _ in range(300)]
    assert covered(found) >= 0.92


def test_pairs_taken_for_independent_would_not():
    # What the sections are for: the same noise with its order lost.
    draw = np.random.default_rng(1)
    series = [correlated(draw, 1000, 0.9) for _ in range(100)]
    naive = [ratio_interval(np.exp(draw.permutation(noise)), np.ones(1000)) for noise in series]
    assert covered(naive) < 0.6
