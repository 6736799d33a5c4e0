"""What a study can find."""

import numpy as np
import pytest
from scipy import special

from yolo26_attention.statistics import power_of, smallest_detectable, worthwhile_baseline_seeds
from yolo26_attention.statistics.designs import Design
from yolo26_attention.statistics.robust import judge


def test_one_variant_has_the_power_of_the_paired_t_test():
    shift, df = 2.0 / np.sqrt(2 / 8), 7
    expected = 1 - special.nctdtr(df, shift, special.stdtrit(df, 0.975))
    assert power_of(0.2, 0.1, 8, 1) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(("seeds", "variants", "baseline"), [(3, 4, None), (3, 4, 6), (5, 2, None)])
def test_smallest_detectable_difference_is_detected_as_often_as_claimed(seeds, variants, baseline):
    difference = smallest_detectable(0.02, seeds, variants, baseline)
    design = Design.of((baseline or seeds, *[seeds] * variants))
    scores = 0.02 * np.random.default_rng(9).standard_normal((6000, len(design.groups)))
    scores += difference * (np.array(design.groups) == 1)
    assert (judge(design, scores).p[:, 0] < 0.05).mean() == pytest.approx(0.8, abs=0.017)


def test_more_seeds_find_smaller_differences():
    by_seeds = [smallest_detectable(1, seeds, 4) for seeds in (3, 5, 8)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert smallest_detectable(1, 3, 4, 6) < by_seeds[0]
    assert smallest_detectable(1, 3, 4, power=0.9) > by_seeds[0]
    assert smallest_detectable(3, 3, 4) == pytest.approx(3 * by_seeds[0])


def test_baseline_seeds_are_those_of_the_least_variance_for_the_runs():
    for variants, seeds in [(4, 3), (9, 5), (16, 4)]:
        found = worthwhile_baseline_seeds(variants, seeds)
        runs = found + variants * seeds
        base = np.arange(1, runs)
        least = base[np.argmin(1 / base + variants / (runs - base))]
        assert found == least
    assert worthwhile_baseline_seeds(1, 5) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smallest_detectable(0, 3, 4), "sd=0"),
        (lambda: smallest_detectable(1, 1, 4), "at least two"),
        (lambda: smallest_detectable(1, 3, 0), "variants=0"),
        (lambda: smallest_detectable(1, 3, 4, power=0.01), r"for example 0\.8"),
        (lambda: power_of(1, 1, 3, 4, level=2), r"for example 0\.95"),
        (lambda: worthwhile_baseline_seeds(0, 3), "at least one"),
    ],
)
def test_impossible_plans_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
