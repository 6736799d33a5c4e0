"""Intervals over validation images."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tests.statistics.fabricate import fabricate, matches
from yolo26_attention.statistics import compare_images, mean_average_precision, resample, resampled_map


def variants(*skills, images=40):
    """Runs of different skill on the same images and objects."""
    runs = []
    for seed, skill in enumerate(skills):
        drawn = fabricate(np.random.default_rng(seed), images=images, detections=400, objects=160, skill=skill)
        objects = fabricate(np.random.default_rng(99), images=images, detections=0, objects=160)
        runs.append(matches(drawn | {key: objects[key] for key in ("object_image", "object_cls")}))
    return runs


def compare(runs, baseline="baseline", level=0.95, **options):
    drawn = resample(runs, **{"resamples": 200, "generator": np.random.default_rng(0), **options})
    return compare_images(drawn, baseline=baseline, level=level)


def test_one_seed_has_an_interval_around_its_difference():
    baseline, better = variants(0.7, 1.4)
    difference = compare({"baseline": {0: baseline}, "better": {0: better}})["better"]
    whole = np.subtract(mean_average_precision(better), mean_average_precision(baseline))
    assert (difference.map50_95.difference, difference.map50.difference) == pytest.approx(tuple(whole))
    assert 0 < difference.map50_95.low < difference.map50_95.difference < difference.map50_95.high
    assert difference.map50.low < difference.map50.difference < difference.map50.high
    assert (difference.images, difference.seeds) == (40, (0,))
    assert "covers the choice of 40 images for the networks trained with the one seed" in difference.covers
    assert "does not cover how other seeds would have trained" in difference.covers


def test_both_see_the_same_images():
    (run,) = variants(1.0)
    interval = compare({"baseline": {0: run}, "same": {0: run}})["same"].map50_95
    assert (interval.difference, interval.low, interval.high) == (0, 0, 0)


def test_interval_is_the_quantiles_of_the_draws():
    baseline, other = variants(0.9, 1.2)
    drawn = resampled_map([other, baseline], resamples=200, generator=np.random.default_rng(0))
    interval = compare({"baseline": {0: baseline}, "other": {0: other}}, level=0.8)["other"].map50_95
    tail = stats.norm.cdf(-stats.t.ppf(0.9, 39))
    assert 0.09 < tail < 0.1
    ends = np.quantile(drawn[:, 0, 0] - drawn[:, 1, 0], [tail, 1 - tail])
    assert (interval.low, interval.high) == pytest.approx(tuple(ends))


def test_seeds_are_averaged_within_each_draw():
    baseline = dict(enumerate(variants(0.9, 0.95, 0.9)))
    other = dict(enumerate(variants(1.0, 1.2, 1.1)))
    difference = compare({"baseline": baseline, "other": other | {7: other[0]}})["other"]
    drawn = resampled_map([*other.values(), *baseline.values()], resamples=200, generator=np.random.default_rng(0))
    means = drawn[:, :3, 1].mean(axis=1) - drawn[:, 3:, 1].mean(axis=1)
    tail = stats.norm.cdf(-stats.t.ppf(0.975, 39))
    assert (difference.map50.low, difference.map50.high) == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])))
    assert difference.seeds == (0, 1, 2)
    assert "the 3 seeds" in difference.covers


def test_threads_change_nothing():
    runs = variants(0.9, 1.2)
    one, three = (
        resampled_map(runs, resamples=50, generator=np.random.default_rng(0), threads=threads) for threads in (1, 3)
    )
    assert np.array_equal(one, three)
    assert not np.array_equal(one, resampled_map(runs, resamples=50, generator=np.random.default_rng(1)))


def test_more_images_know_more():
    few, many = (compare({"baseline": {0: a}, "b": {0: b}})["b"].map50_95 for a, b in map(pairs, (20, 320)))
    assert many.high - many.low < (few.high - few.low) / 2


def pairs(images):
    """The same images and runs over and over: what a larger sample of the same population looks like."""
    repeats = images // 20
    runs = []
    for seed, skill in enumerate((0.9, 1.2)):
        parts = [fabricate(np.random.default_rng(10 * k + seed), images=20, skill=skill) for k in range(repeats)]
        joined = {
            key: np.concatenate([part[key] + 20 * k if key == "image" else part[key] for k, part in enumerate(parts)])
            for key in ("image", "conf", "cls", "tp")
        }
        objects = [fabricate(np.random.default_rng(10 * k), images=20) for k in range(repeats)]
        joined |= {
            "object_image": np.concatenate([part["object_image"] + 20 * k for k, part in enumerate(objects)]),
            "object_cls": np.concatenate([part["object_cls"] for part in objects]),
            "images": images,
        }
        runs.append(matches(joined))
    return runs


def test_one_image_has_no_interval():
    baseline, other = variants(0.9, 1.2, images=1)
    interval = compare({"baseline": {0: baseline}, "other": {0: other}})["other"].map50_95
    assert interval.difference != 0
    assert (interval.low, interval.high) == (None, None)


def test_variant_without_a_common_seed_is_left_out():
    baseline, other = variants(0.9, 1.2)
    assert compare({"baseline": {0: baseline}, "other": {1: other}}) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"images": np.array([f"x{n}.jpg" for n in range(40)])}, r"different images \(40 and 40\)", id="images"
        ),
        pytest.param({"object_cls": np.zeros(160, dtype=int)}, r"different labels of the same images", id="labels"),
    ],
)
def test_runs_on_different_data_are_no_pairs(change, message):
    baseline, other = variants(0.9, 1.2)
    with pytest.raises(ValueError, match=message):
        compare({"baseline": {0: baseline}, "other": {0: replace(other, **change)}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"baseline": "stock"}, r"no variant 'stock' to compare with; there are baseline, other", id="name"
        ),
        pytest.param({"level": 95}, r"level=95: between 0 and 1", id="level"),
        pytest.param({"resamples": 1}, r"resamples=1: at least 2", id="resamples"),
    ],
)
def test_refused(options, message):
    baseline, other = variants(0.9, 1.2)
    with pytest.raises(ValueError, match=message):
        compare({"baseline": {0: baseline}, "other": {0: other}}, **options)


def test_no_object_at_all():
    run = matches(fabricate(np.random.default_rng(0), objects=0))
    with pytest.raises(ValueError, match="no image has an object"):
        compare({"baseline": {0: run}, "other": {0: run}})


def test_each_draw_is_half_of_the_images():
    runs = variants(1.0, images=7)
    drawn = resampled_map(runs, resamples=40, generator=np.random.default_rng(1))
    halves = [np.isin(np.arange(7), kept).astype(int) for kept in combinations(range(7), 4)]
    possible = {mean_average_precision(runs[0], half) for half in halves}
    found = {tuple(draw[0]) for draw in drawn}
    assert found <= possible
    assert len(found) > len(possible) / 2


def test_groups_are_drawn_whole():
    baseline, other = variants(0.9, 1.2)
    labels = np.repeat(["b", "a", "d", "c"], 10)
    found = compare({"baseline": {0: baseline}, "other": {0: other}}, groups=labels)["other"]
    possible = []
    for kept in combinations("abcd", 2):
        half = np.isin(labels, kept).astype(int)
        possible.append(np.subtract(mean_average_precision(other, half), mean_average_precision(baseline, half)))
    drawn = resampled_map([other, baseline], resamples=200, generator=np.random.default_rng(0), groups=labels)
    drawn = drawn[:, 0] - drawn[:, 1]
    assert {tuple(each) for each in drawn.round(12)} == {tuple(each) for each in np.round(possible, 12)}
    half = stats.t.ppf(0.975, 3) * drawn[:, 0].std(ddof=1)
    ends = (found.map50_95.difference - half, found.map50_95.difference + half)
    assert (found.map50_95.low, found.map50_95.high) == pytest.approx(ends)
    assert (found.images, found.groups) == (40, 4)
    assert "40 images in 4 groups" in found.covers


def test_groups_of_one_image_change_nothing():
    baseline, other = variants(0.9, 1.2)
    runs = {"baseline": {0: baseline}, "other": {0: other}}
    alone = compare(runs)["other"]
    assert compare(runs, groups=np.arange(40))["other"] == replace(alone, groups=40)
    assert alone.groups is None


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        pytest.param(np.array(["day"] * 40), r"groups name 1 group, day: at least 2 are needed", id="one"),
        pytest.param(np.arange(39), r"groups of shape \(39,\) for 40 images: give one label for each", id="length"),
    ],
)
def test_groups_refused(groups, message):
    baseline, other = variants(0.9, 1.2)
    with pytest.raises(ValueError, match=message):
        compare({"baseline": {0: baseline}, "other": {0: other}}, groups=groups)
