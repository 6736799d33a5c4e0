"""One interval over seeds and images together."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.population import Population, photograph, train
from yolo26_attention.statistics import compare_both, compare_images, mean_average_precision, resample, resampled_map
from yolo26_attention.statistics.both import _interval


def networks(first, other, *, images=20, spread=0.2, seed=0):
    """Matches of two variants' networks on the same images."""
    generator = np.random.default_rng(seed)
    skills = [*train(0, first, generator, spread=spread), *train(1, other, generator, spread=spread)]
    runs = photograph(skills, images, generator, Population())
    return runs[:first], runs[first:]


def compare(first, other, level=0.95, **options):
    runs = {"baseline": dict(enumerate(first)), "other": dict(enumerate(other))}
    drawn = resample(runs, **{"resamples": 100, "generator": np.random.default_rng(0), **options})
    return compare_both(drawn, "baseline", "other", level=level)


def test_estimate_is_the_difference_of_means_with_unequal_numbers_of_seeds():
    first, other = networks(3, 4)
    found = compare(first, other)
    means = [np.mean([mean_average_precision(run) for run in runs], axis=0) for runs in (first, other)]
    assert (found.map50_95.estimate, found.map50.estimate) == pytest.approx(tuple(means[1] - means[0]))
    assert (found.seeds, found.images, found.groups) == ((3, 4), 20, None)
    assert found.covers == "covers the choice of 3 and 4 seeds and of 20 images"
    assert found.map50_95.low < found.map50_95.estimate < found.map50_95.high


def test_components_are_added_and_the_half_width_is_student_s():
    found = compare(*networks(3, 4)).map50_95
    variance = found.error_seeds**2 + found.error_images**2
    assert min(found.error_seeds, found.error_images) > 0
    half = stats.t.ppf(0.975, found.freedom) * np.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half))


def test_the_same_networks_leave_images_alone():
    (run, *_), (better, *_) = networks(1, 1)
    found = compare([run] * 3, [better] * 3)
    drawn = resampled_map([run, better], resamples=100, generator=np.random.default_rng(0))
    assert found.map50_95.error_seeds == 0
    assert found.map50_95.error_images == pytest.approx((drawn[:, 1, 0] - drawn[:, 0, 0]).std(ddof=1))
    assert found.map50_95.freedom == pytest.approx(19)


def test_images_that_say_the_same_leave_welch_s_interval():
    """With no variation over halves, the interval is Welch's t interval of the values of the networks."""
    first, other = np.array([0.50, 0.53, 0.51]), np.array([0.55, 0.60, 0.54, 0.58])
    whole = np.concatenate((first, other))
    found = _interval(whole, np.tile(whole, (10, 1)), 3, 100, 0.95)
    welch = stats.ttest_ind(other, first, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))


def test_components_of_variance_that_are_known():
    """Scores are a seed's own plus an image's own plus their interaction, in a mean over images."""
    generator = np.random.default_rng(0)
    estimated = []
    for _ in range(60):
        sides = []
        shared = generator.normal(0, 1, 40)  # of the difference between the variants, by image
        for variant in (0, 1):
            seeds = generator.normal(0, 0.3, (5, 1))
            sides.append(seeds + variant * shared + generator.normal(0, 2, (5, 40)))
        values = np.concatenate(sides)
        halves = np.array([generator.permutation(np.repeat([0.0, 1.0], 20)) for _ in range(100)])
        found = _interval(values.mean(axis=1), halves @ values.T / 20, 5, 40, 0.95)
        estimated.append((found.error_seeds**2, found.error_images**2))
    seeds, images = np.mean(estimated, axis=0)
    assert seeds == pytest.approx(2 * 0.3**2 / 5, rel=0.25)
    assert images == pytest.approx(1 / 40 + 2 * 2**2 / 40 / 5, rel=0.1)


def test_groups_are_drawn_whole():
    first, other = networks(2, 2)
    labels = np.arange(20) // 5
    found = compare(first, other, groups=labels)
    drawn = resampled_map([*first, *other], resamples=100, generator=np.random.default_rng(0), groups=labels)
    error = (drawn[:, 2:, 0].mean(axis=1) - drawn[:, :2, 0].mean(axis=1)).std(ddof=1)
    assert found.groups == 4
    assert found.map50_95.error_images == pytest.approx(error)
    assert found.covers.endswith("20 images in 4 groups")


def test_holds_what_is_true_where_an_interval_over_images_alone_does_not():
    """Two variants of equal skill, whose seeds differ much: the true difference is 0."""
    held = np.zeros(2)
    for number in range(40):
        generator = np.random.default_rng(number)
        skills = [*train(0, 3, generator, spread=0.3), *train(0, 3, generator, spread=0.3)]
        runs = photograph(skills, 20, generator, Population())
        both = compare(runs[:3], runs[3:], resamples=25).map50_95
        named = {"baseline": dict(enumerate(runs[:3])), "other": dict(enumerate(runs[3:]))}
        alone = compare_images(resample(named, resamples=25, generator=generator))["other"].map50_95
        held += both.low <= 0 <= both.high, alone.low <= 0 <= alone.high
    assert held[0] >= 34
    assert held[1] <= 30


@pytest.mark.parametrize(
    ("first", "other", "options", "message"),
    [
        pytest.param(1, 3, {}, r"1 and 3 networks: at least 2 seeds of each variant", id="seeds"),
        pytest.param(2, 2, {"level": 95}, r"level=95: between 0 and 1", id="level"),
        pytest.param(2, 2, {"resamples": 1}, r"resamples=1: at least 2", id="resamples"),
        pytest.param(2, 2, {"groups": np.zeros(20)}, r"groups name 1 group", id="groups"),
    ],
)
def test_refused(first, other, options, message):
    with pytest.raises(ValueError, match=message):
        compare(*networks(first, other), **options)


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="1 images: at least 2 are needed"):
        compare(*networks(2, 2, images=1))
