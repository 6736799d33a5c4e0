"""Verdicts over seeds, in words."""

import re

import numpy as np
import pytest

from yolo26_attention.statistics import at_floor, compare_seeds

NOISE = [0.002, -0.001, 0.0015, -0.0025, 0.0005, -0.0005, 0.001, -0.001, 0.002, -0.002]


TOO_FEW = "undecided (too few seeds for an interval)"


def shifted(by, seeds, noise=1.0):
    return {seed: 0.4 + 0.01 * seed + by + noise * NOISE[seed] for seed in range(seeds)}


def baseline(seeds):
    return {seed: 0.4 + 0.01 * seed for seed in range(seeds)}


def compare(margin=0.01, **scores):
    return compare_seeds(scores, margin=margin, generator=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("by", "noise", "seeds", "verdict", "words"),
    [
        pytest.param(0.03, 1, 10, "better", r"better", id="better"),
        pytest.param(-0.03, 1, 10, "worse", r"worse", id="worse"),
        pytest.param(0.001, 1, 10, "equivalent", r"no difference larger than 0\.01", id="equivalent"),
        pytest.param(
            0.008, 12, 10, "undecided", r"undecided \(about \d\d seeds \(\d+ to \d+\) would decide\)", id="undecided"
        ),
        pytest.param(0.03, 1, 3, "better", r"better", id="three-seeds"),
        pytest.param(
            *(0.008, 5, 3, "undecided"),
            r"undecided \(about \d+ seeds \(\d+ to (more than 1000|\d+)\) would decide\)",
            id="three-open",
        ),
        pytest.param(0.03, 1, 4, "better", r"better", id="four-seeds"),
    ],
)
def test_verdict(by, noise, seeds, verdict, words):
    comparison = compare(baseline=baseline(seeds), variant=shifted(by, seeds, noise))["variant"]
    assert comparison.verdict == verdict
    assert re.fullmatch(words, comparison.words)
    assert comparison.difference.n == seeds


@pytest.mark.parametrize("seeds", [3, 5, 6])
def test_a_sign_flip_is_never_below_the_least_that_it_can_reach(seeds):
    comparison = compare(baseline=baseline(seeds), variant=shifted(0.03, seeds))["variant"]
    assert comparison.p_sign_flip == 2 ** (1 - seeds)


def test_small_but_certain_difference_is_called_small():
    comparison = compare(margin=0.01, baseline=baseline(10), variant=shifted(0.004, 10, noise=0.5))["variant"]
    assert comparison.verdict == "equivalent"
    assert comparison.p < 0.05
    assert "the difference is not zero, but smaller than 0.01" in comparison.notes


def test_one_variant_with_the_seeds_of_the_baseline_is_the_paired_t_test():
    found = compare(1e-4, baseline=baseline(6), variant=shifted(0.0075, 6, noise=4))["variant"]
    assert found.form == "paired"
    assert found.p == pytest.approx(found.p_paired)
    assert found.difference.bounds == pytest.approx(found.paired.bounds)


def test_one_among_many_needs_more_than_alone():
    variant, margin = shifted(0.0075, 6, noise=4), 1e-4
    alone = compare(margin, baseline=baseline(6), variant=variant)["variant"]
    others = {f"other{n}": shifted(0.0, 6, noise=n + 1) for n in range(7)}
    among = compare(margin, baseline=baseline(6), variant=variant, **others)["variant"]
    assert (alone.verdict, among.verdict) == ("better", "undecided")
    assert among.paired == alone.paired
    assert among.p > alone.p


def test_the_error_of_all_variants_serves_each():
    """Two pairs alone have one degree of freedom; four variants beside it know the spread."""
    variant = shifted(0.02, 2, noise=2)
    noise = [[0.002, 0.002], [-0.002, 0.002], [0.002, -0.002], [-0.002, -0.002]]
    others = {f"other{n}": {seed: 0.4 + 0.01 * seed + own[seed] for seed in (0, 1)} for n, own in enumerate(noise)}
    alone = compare(1e-4, baseline=baseline(2), variant=variant)["variant"]
    among = compare(1e-4, baseline=baseline(2), variant=variant, **others)["variant"]
    assert (alone.verdict, among.verdict) == ("undecided", "better")


def test_seeds_that_only_one_of_them_has_count_where_seeds_have_no_effect():
    """Ten seeds of the baseline against three of the variant: the interval is narrower than over the three pairs."""
    flat = {seed: 0.4 + NOISE[seed] for seed in range(10)}
    variant = {seed: 0.41 + NOISE[9 - seed] for seed in range(3)}
    found = compare(1e-4, baseline=flat, variant=variant)["variant"]
    assert found.seeds == (3, 10)
    assert np.ptp(found.difference.bounds) < np.ptp(found.paired.bounds)


def test_more_variants_need_more_seeds_to_decide():
    undecided = shifted(0.012, 4, noise=8)
    alone = compare(baseline=baseline(4), variant=undecided)["variant"]
    others = {f"other{n}": shifted(0.0, 4, noise=n + 9) for n in range(7)}
    among = compare(baseline=baseline(4), variant=undecided, **others)["variant"]
    assert (alone.verdict, among.verdict) == ("undecided", "undecided")
    assert among.needed.seeds > 4
    assert alone.needed.low <= alone.needed.seeds <= alone.needed.high


def test_a_look_holds_intervals_and_verdicts_to_its_level():
    scores = {"baseline": baseline(6), "variant": shifted(0.0075, 6, noise=4)}
    found = [
        compare_seeds(scores, margin=1e-4, boundary=boundary, generator=np.random.default_rng(0))["variant"]
        for boundary in (None, 0.001)
    ]
    assert [each.verdict for each in found] == ["better", "undecided"]
    assert np.ptp(found[1].difference.bounds) > np.ptp(found[0].difference.bounds)


@pytest.mark.parametrize(
    ("own", "n", "words", "note"),
    [
        pytest.param({}, 0, TOO_FEW, "an interval needs two seeds or more", id="no-run"),
        pytest.param({7: 0.5}, 1, TOO_FEW, "an interval needs two seeds or more", id="other-seed"),
        pytest.param({0: 0.5}, 1, TOO_FEW, "an interval needs two seeds or more", id="one-seed"),
        pytest.param({0: 0.5, 1: np.nan, 2: 0.6}, 2, None, "without seed 1: the variant's score is nan", id="nan"),
        pytest.param(shifted(0.1, 4, noise=0), 4, TOO_FEW, "all 4 differences are equal", id="equal-differences"),
    ],
)
def test_degenerate_scores_have_a_clear_outcome(own, n, words, note):
    comparison = compare(baseline=baseline(4), variant=own)["variant"]
    assert comparison.difference.n == n
    assert words is None or (comparison.words, comparison.verdict) == (words, "undecided")
    assert any(note in said for said in comparison.notes)


def test_nan_of_the_baseline_leaves_the_pair_out():
    comparison = compare(baseline={**baseline(4), 2: np.nan}, variant=shifted(0.03, 4))["variant"]
    assert comparison.left_out == {2: "the baseline's score is nan"}
    assert comparison.paired.mean == pytest.approx(0.03 + np.mean([NOISE[0], NOISE[1], NOISE[3]]))
    assert comparison.seeds == (4, 3)


def test_out_of_reach_is_said():
    comparison = compare(margin=1e-6, baseline=baseline(10), variant=shifted(1e-5, 10, noise=10))["variant"]
    assert comparison.needed.seeds is None
    assert "not even 1000 seeds would decide" in comparison.notes


@pytest.mark.parametrize(
    ("scores", "margin", "message"),
    [
        pytest.param({"a": {0: 0.5}}, 0.01, r"no variant 'baseline' to compare with; there are a", id="no-baseline"),
        pytest.param({}, 0.01, r"there are none", id="nothing"),
        pytest.param({"baseline": {}}, 0, r"margin=0: a positive number", id="margin"),
        pytest.param({"baseline": {}}, np.nan, r"margin=nan: a positive number", id="nan-margin"),
    ],
)
def test_refused(scores, margin, message):
    with pytest.raises(ValueError, match=message):
        compare(margin, **scores)


def test_baseline_alone_has_nothing_to_compare():
    assert compare(baseline=baseline(3)) == {}


FLOOR = 0.005
NOTHING = {0: 1.1e-5, 1: 0.9e-5, 2: 1.3e-5, 3: 1.0e-5}


@pytest.mark.parametrize(
    ("own", "base", "unlearned", "words"),
    [
        pytest.param(NOTHING, dict.fromkeys(range(4), 1e-5), "both", "neither has learned anything", id="both"),
        pytest.param(NOTHING, baseline(4), "variant", "the variant has not learned anything", id="variant"),
        pytest.param(baseline(4), NOTHING, "baseline", "the baseline has not learned anything", id="baseline"),
        pytest.param({0: 0.0, 1: 0.4, 2: 0.0}, baseline(3), "variant", "the variant has not", id="most-seeds"),
        pytest.param(dict.fromkeys(range(4), FLOOR), baseline(4), "variant", "the variant has not", id="at-the-floor"),
        pytest.param({0: 1e-5, **{seed: 0.5 for seed in (7, 8, 9)}}, {0: 0.5}, "variant", "not learned", id="common"),
        pytest.param({0: 1e-5}, {0: 2e-5}, "both", "neither has learned anything", id="one-seed"),
    ],
)
def test_scores_at_the_floor_get_no_verdict_and_no_p(own, base, unlearned, words):
    found = compare_seeds(
        {"baseline": base, "variant": own}, margin=FLOOR, floor=FLOOR, generator=np.random.default_rng(0)
    )["variant"]
    assert (found.verdict, found.unlearned) == ("unlearned", unlearned)
    assert words in found.words
    assert found.words.startswith("no verdict: ")
    assert found.p is found.p_paired is found.p_sign_flip is found.form is found.needed is None
    assert found.difference.bounds is None
    assert all("without seed" in note for note in found.notes)


def test_one_collapsed_seed_of_several_is_no_floor():
    found = compare_seeds(
        {"baseline": baseline(4), "variant": {**shifted(0.1, 4), 3: 0.0}},
        margin=FLOOR,
        floor=FLOOR,
        generator=np.random.default_rng(0),
    )["variant"]
    assert (found.verdict, found.unlearned) == ("undecided", None)


def test_what_learned_nothing_is_no_part_of_the_family():
    scores = {"baseline": baseline(4), "a": shifted(0.1, 4), "b": NOTHING, "c": NOTHING}
    found = compare_seeds(scores, margin=FLOOR, floor=FLOOR, generator=np.random.default_rng(0))
    alone = {name: scores[name] for name in ("baseline", "a")}
    assert found["a"] == compare_seeds(alone, margin=FLOOR, floor=FLOOR, generator=np.random.default_rng(0))["a"]


@pytest.mark.parametrize("n", [1, 4])
def test_scores_of_the_baseline_are_called_identical(n):
    comparison = compare(baseline=baseline(n), variant=baseline(n))["variant"]
    assert comparison.verdict == "identical"
    assert comparison.words == f"undecided (the same scores as the baseline, pairs: {n})"
    assert f"every score equals the baseline's in every digit ({n} of {n} seeds)" in comparison.notes


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([], False), ([np.nan], False), ([0.0, np.nan], True), ([0.005], True), ([0.0051], False), ([0.0, 0.0, 1], True),
     ([0.001, 0.006, 0.006], True), ([0.0, 0.5], False)],
)  # fmt: skip
def test_at_floor_is_where_the_mean_or_half_of_the_scores_are(scores, expected):
    assert at_floor(scores, FLOOR) is expected
