"""Halves of the images, and the standard errors and intervals made of them."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.population import Population, photograph, train
from yolo26_attention.statistics import compare_images, resample
from yolo26_attention.statistics.image_groups import half_counts, interval_of_halves, number_groups, standard_error


@pytest.mark.parametrize("size", [2, 3, 9, 20, 51])
def test_standard_error_of_a_mean_is_the_textbook_s(size):
    values = np.random.default_rng(0).normal(size=size)
    counts = np.array(half_counts(np.arange(size), 20_000, np.random.default_rng(1)))
    means = counts @ values / counts.sum(axis=1)
    assert standard_error(means, size) == pytest.approx(values.std(ddof=1) / np.sqrt(size), rel=0.02)


def test_standard_error_of_groups_is_that_of_their_means():
    values = np.random.default_rng(0).normal(size=12)
    images = np.repeat(values, 5)
    number = number_groups(np.repeat(list("lkjihgfedcba"), 5), 60)
    counts = np.array(half_counts(number, 20_000, np.random.default_rng(1)))
    means = counts @ images / counts.sum(axis=1)
    assert standard_error(means, 12) == pytest.approx(values.std(ddof=1) / np.sqrt(12), rel=0.02)


def test_numbers_follow_the_labels():
    assert number_groups(np.array(["b", "a", "b", "c"]), 4).tolist() == [1, 0, 1, 2]
    assert number_groups(None, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [20, 21, 60])
def test_interval_of_a_mean_is_the_t_interval(size):
    values = np.random.default_rng(0).normal(size=size)
    counts = np.array(half_counts(np.arange(size), 20_000, np.random.default_rng(1)))
    found = interval_of_halves(values.mean(), counts @ values / counts.sum(axis=1), size, 0.9)
    expected = stats.t.interval(0.9, size - 1, values.mean(), stats.sem(values))
    width = expected[1] - expected[0]
    assert found == pytest.approx(expected, abs=0.03 * width)


def test_few_groups_have_a_t_interval():
    draws = np.array([0.1, 0.4, 0.2, 0.5])
    found = interval_of_halves(np.float64(0.3), draws, 5, 0.95)
    half = stats.t.ppf(0.975, 4) * draws.std(ddof=1) * np.sqrt(3 / 2)
    assert found == pytest.approx((0.3 - half, 0.3 + half))


@pytest.mark.parametrize(("groups", "draws"), [(1, 10), (10, 1)])
def test_one_of_either_has_no_standard_error(groups, draws):
    with pytest.raises(ValueError, match=f"{groups} groups, {draws} draws: at least 2 of each"):
        standard_error(np.zeros(draws), groups)


def test_frames_of_scenes_need_groups():
    """Near-identical frames: single images make the interval too narrow, groups hold what is true, no difference."""
    held = np.zeros(2)
    labels = np.arange(100) // 10
    for number in range(40):
        generator = np.random.default_rng(number)
        first, other = photograph(train(0, 2, generator), 100, generator, Population(frames=10))
        runs = {"baseline": {0: first}, "other": {0: other}}
        for way, groups in enumerate((None, labels)):
            found = compare_images(resample(runs, resamples=40, generator=generator, groups=groups))["other"].map50_95
            held[way] += found.low <= 0 <= found.high
    assert held[0] <= 24
    assert held[1] >= 35


def test_few_images_hold_what_is_true():
    held = 0
    for number in range(40):
        generator = np.random.default_rng(number)
        first, other = photograph(train(0, 2, generator), 20, generator, Population())
        runs = {"baseline": {0: first}, "other": {0: other}}
        found = compare_images(resample(runs, resamples=60, generator=generator))["other"].map50_95
        held += found.low <= 0 <= found.high
    assert held >= 36
