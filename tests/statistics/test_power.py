"""What a study can find."""

import numpy as np
import pytest
from scipy import special

from yolo26_attention.statistics import (
    boundaries,
    detectable_at_looks,
    smallest_detectable,
    worthwhile_baseline_seeds,
)
from yolo26_attention.statistics.designs import Design
from yolo26_attention.statistics.robust import judge


def test_one_variant_has_the_power_of_the_paired_t_test():
    shift, df = 2.0 / np.sqrt(2 / 8), 7
    expected = 1 - special.nctdtr(df, shift, special.stdtrit(df, 0.975))
    least, most = (smallest_detectable(0.1, 8, 1, power=expected + shift) for shift in (-0.012, 0.012))
    assert least < 0.2 < most


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
        (lambda: smallest_detectable(1, 3, 4, level=2), r"for example 0\.95"),
        (lambda: worthwhile_baseline_seeds(0, 3), "at least one"),
        (lambda: detectable_at_looks(1, (3, 5), (3, 5), (0.02,), 2), "equally many"),
        (lambda: detectable_at_looks(1, (3, 5), (3, 5), (0.02, 0.04), 2, power=1), r"for example 0\.8"),
    ],
)
def test_impossible_plans_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_difference_detectable_at_looks_is_found_as_often_as_claimed():
    own, base, sd = (3, 5, 8), (4, 7, 11), 0.02
    levels = boundaries(own, 3, baseline_seeds=base)
    difference = detectable_at_looks(sd, own, base, levels, 3)
    scores = sd * np.random.default_rng(9).standard_normal((6000, 4, 11))
    scores[:, 1] += difference
    found = np.zeros(len(scores), dtype=bool)
    for seeds, of_baseline, level in zip(own, base, levels, strict=True):
        design = Design.of((of_baseline, *[seeds] * 3))
        judged = judge(design, scores[:, list(design.groups), list(design.seeds)])
        found |= judged.p[:, 0] < level
    assert found.mean() == pytest.approx(0.8, abs=0.017)
    assert difference > smallest_detectable(sd, 8, 3, 11)  # looks cost something


def test_one_look_at_all_seeds_detects_what_no_looks_do():
    assert detectable_at_looks(1, (5,), (5,), (0.05,), 2) == pytest.approx(smallest_detectable(1, 5, 2), rel=0.02)
