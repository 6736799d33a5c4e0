"""Variants beside their baselines, and what the report says of them in words."""

import re

import pytest

from tests.fabricate import config_of, declare, latency_of, model_of, timing, write_matches, write_run, write_study
from yolo26_attention.files.journal import Entry, Kind
from yolo26_attention.files.latency import PeakMemory
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.over_images import with_images
from yolo26_attention.reporting.placebos import side_by_side
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.swept import swept_lines

BASELINE, PLACEBO = {"name": "baseline"}, {"name": "placebo"}
ACMIX, CBAM = {"name": "acmix", "kernel_att": 7}, {"name": "cbam"}


def results_of(output_dir, margin=0.005):
    return compare(read_study("made_up", output_dir), margin)


def write(output_dir, attention, scores, **changes):
    for seed, score in enumerate(scores):
        if score is not None:
            write_run(output_dir, config_of(attention, seed, **changes), score)


def test_differences_are_paired_by_seed(tmp_path):
    write(tmp_path, BASELINE, [0.1, 0.5, 0.9])
    write(tmp_path, ACMIX, [0.21, 0.6, 0.99])
    comparison = results_of(tmp_path).variant("acmix").comparison
    assert comparison.difference.mean == pytest.approx(0.1)
    assert comparison.paired.sd == pytest.approx(0.01)  # unpaired it would be 0.4
    assert comparison.difference.bounds == pytest.approx(comparison.paired.bounds)


@pytest.mark.parametrize(
    ("acmix", "begin"),
    [
        pytest.param([0.60, 0.61, 0.62, 0.60], "acmix makes yolo26n on digits better: mAP50-95 is 0.608", id="better"),
        pytest.param([0.40, 0.41, 0.42, 0.40], "acmix makes yolo26n on digits worse", id="worse"),
        pytest.param([0.501, 0.499, 0.5, 0.501], "acmix makes no difference larger than 0.05", id="equivalent"),
        pytest.param([0.7, 0.3, 0.6, 0.5], "It is undecided whether acmix helps yolo26n on digits", id="undecided"),
        pytest.param([0.6], "It is undecided whether acmix helps yolo26n on digits: mAP50-95 is 0.600 instead of "
                     "0.500, +0.100 (over the one seed that both have, no interval over seeds)", id="one_seed"),
    ],
)  # fmt: skip
def test_answer_in_words(acmix, begin, tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.5, 0.5, 0.5])
    write(tmp_path, ACMIX, acmix)
    said = answer(results_of(tmp_path, margin=0.05))
    assert said.effect.startswith(begin)
    assert said.cost.startswith("It takes 1.00 times the latency of the stock model (0.99 to 1.01)") == (
        len(acmix) == 1
    )


@pytest.mark.parametrize(
    ("written", "effect"),
    [
        pytest.param({"cbam": 3}, "cannot be said: no baseline has finished", id="no_baseline"),
        pytest.param({"baseline": 3}, "cannot be said: no attention has finished", id="no_attention"),
    ],
)
def test_answer_where_nothing_can_be_compared(written, effect, tmp_path):
    for name, count in written.items():
        for seed in range(count):
            write_run(tmp_path, config_of({"name": name}, seed), 0.5)
    said = answer(results_of(tmp_path))
    assert effect in said.effect
    assert said.about is None
    assert "0.500" in said.cost


def test_answer_where_nothing_has_finished(tmp_path):
    write_run(tmp_path, config_of(BASELINE, 0), None, status="failed", error="OSError: full")
    write_run(tmp_path, config_of(ACMIX, 0), float("nan"))
    said = answer(results_of(tmp_path))
    assert said.effect == "Nothing can be said yet: no run has a result (1 not a number, 1 failed)."


@pytest.mark.parametrize(
    ("baseline", "placebo", "acmix", "cbam", "about", "beside"),
    [
        pytest.param([0.5, 0.5, 0.5], [0.7, 0.71, 0.72], [0.60, 0.61, 0.63], [0.55, 0.56, 0.57], "acmix", "−0.097",
                     id="its_own"),
        pytest.param([0.5, 0.51, 0.52], [0.55, 0.56, 0.57], [0.52, 0.53, 0.54], [0.60, 0.61, 0.62], "cbam", "−0.030",
                     id="another_is_higher"),
    ],
)  # fmt: skip
def test_answer_speaks_of_the_best_attention_and_weighs_one_against_its_placebo(
    baseline, placebo, acmix, cbam, about, beside, tmp_path
):
    for attention, scores in ((BASELINE, baseline), (PLACEBO, placebo), (ACMIX, acmix), (CBAM, cbam)):
        write(tmp_path, attention, scores)
    said = answer(results_of(tmp_path))
    assert said.about.variant.label == about
    assert "the highest of 2 variants" in said.effect
    assert f"Against placebo of acmix, a plain convolution as large, acmix is {beside}" in said.beside


def test_an_undecided_answer_names_what_is_decided(tmp_path):
    write(tmp_path, BASELINE, [0.500, 0.510, 0.505])
    write(tmp_path, CBAM, [0.51, 0.50, 0.52])
    write(tmp_path, ACMIX, [0.30, 0.31, 0.305])
    said = answer(results_of(tmp_path))
    assert said.effect.startswith("It is undecided whether cbam")
    assert said.beside == "Of the other variants, acmix is worse (−0.200)."


def test_answer_speaks_of_a_single_pair_only_where_nothing_has_two(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.5, 0.5])
    write(tmp_path, CBAM, [0.9])
    assert answer(results_of(tmp_path)).about.variant.label == "cbam"
    write(tmp_path, ACMIX, [0.51, 0.52, 0.5])
    assert answer(results_of(tmp_path)).about.variant.label == "acmix"


def test_undecided_says_how_many_seeds_would_decide_and_how_sure_that_is(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.51, 0.52])
    write(tmp_path, ACMIX, [0.52, 0.55, 0.54])
    remarks = " ".join(answer(results_of(tmp_path)).remarks)
    assert re.search(r"With this difference and spread, about \d+ seeds \(\d+ to \d+\) would decide", remarks)


def test_the_highest_of_several_is_corrected_for_its_luck(tmp_path):
    write(tmp_path, BASELINE, [0.50, 0.51, 0.52])
    write(tmp_path, ACMIX, [0.53, 0.52, 0.54])
    write(tmp_path, CBAM, [0.51, 0.54, 0.53])
    said = answer(results_of(tmp_path))
    (remark,) = [remark for remark in said.remarks if "probably lucky" in remark]
    corrected = float(remark.rstrip(".").rpartition(" ")[2].replace("\u2212", "-"))
    assert 0 < corrected < said.about.mean


def test_all_seeds_count_whether_both_have_them_or_not(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.51, None, 0.5, 0.505, 0.495])
    write(tmp_path, ACMIX, [None, 0.52, 0.53, 0.53])
    results = results_of(tmp_path)
    comparison = results.variant("acmix").comparison
    assert comparison.seeds == (3, 5)
    assert comparison.paired.n == 2
    assert "3 seeds, 5 of the baseline" in answer(results).effect
    assert not [note for note in results.notes if "is compared without" in note]


def test_each_variant_has_the_baseline_of_its_surroundings(tmp_path):
    for epochs, base in ((12, 0.5), (24, 0.6)):
        write(tmp_path, BASELINE, [base, base + 0.01], trainer__epochs=epochs)
        write(tmp_path, ACMIX, [base + 0.1, base + 0.13], trainer__epochs=epochs)
    results = results_of(tmp_path)
    assert results.variant("acmix epochs=24").reference == "baseline epochs=24"
    assert results.variant("acmix epochs=24").comparison.difference.mean == pytest.approx(0.11)
    assert results.variant("acmix epochs=12").confounds == ()


def test_a_baseline_that_differs_in_more_than_the_attention_is_noted(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.51])
    write(tmp_path, ACMIX, [0.6, 0.62], trainer__epochs=24)
    results = results_of(tmp_path)
    assert results.variant("acmix").confounds == ("trainer.epochs",)
    assert any("beside the attention also in trainer.epochs" in note for note in results.notes)


def test_a_larger_stock_network_is_a_variant(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.51])
    write(tmp_path, ACMIX, [0.6, 0.62])
    write(tmp_path, BASELINE, [0.7, 0.72], model__name="yolo26s", trainer__epochs=13)
    large = results_of(tmp_path).variant("baseline name=yolo26s epochs=13")
    assert large.comparison.difference.mean == pytest.approx(0.205)


def test_the_baseline_of_study_json_is_the_one(tmp_path):
    runs = []
    for label, epochs, value in (("baseline", 12, 0.5), ("long", 24, 0.6)):
        folder = write_run(tmp_path, config_of(BASELINE, 0, trainer__epochs=epochs), value)
        runs.append({"run": folder.name, "variant": label, "seed": 0, "baseline": label})
    folder = write_run(tmp_path, config_of(ACMIX, 0), 0.9)
    runs.append({"run": folder.name, "variant": "acmix", "seed": 0, "baseline": "long"})
    declare(tmp_path, "made_up", runs)
    assert results_of(tmp_path).variant("acmix").comparison.difference.mean == pytest.approx(0.3)


def test_groups_cannot_be_told_apart(tmp_path):
    write(tmp_path, BASELINE, [0.50, 0.51, 0.52, 0.50])
    write(tmp_path, ACMIX, [0.51, 0.50, 0.52, 0.51])
    write(tmp_path, CBAM, [0.90, 0.912, 0.919, 0.90])
    assert results_of(tmp_path).groups == (("acmix", "baseline"),)


def test_environments_and_events_are_noted(tmp_path):
    write(tmp_path, BASELINE, [0.5])
    write_run(tmp_path, config_of(ACMIX, 0), 0.5, environment={"device": "GPU"}, events=[Entry(Kind.NAN_RECOVERY)])
    notes = " ".join(results_of(tmp_path).notes)
    assert "2 devices" in notes
    assert "events that may have changed the experiment, in 1 run:" in notes


def test_swept_numbers_make_lines_in_their_order(tmp_path):
    kernels = {f"k{k}": ({"name": "acmix", "kernel_att": k}, 0.5) for k in (9, 3, 11)}
    write_study(tmp_path, kernels | {"b": (BASELINE, 0.5)})
    lines = swept_lines(results_of(tmp_path))
    assert list(lines) == ["attention.kernel_att"]
    assert [v.swept["attention.kernel_att"] for v in lines["attention.kernel_att"]["acmix"]] == [3, 9, 11]


def test_images_give_an_interval_with_one_seed(tmp_path):
    for attention, right in ((BASELINE, 0.3), (ACMIX, 0.9)):
        write_matches(write_run(tmp_path, config_of(attention, 0), right), 0, right)
    results = with_images(results_of(tmp_path), resamples=50)
    found = results.images["acmix"]
    assert found.map50_95.low < found.map50_95.difference < found.map50_95.high
    assert any("does not cover how other seeds" in remark for remark in answer(results).remarks)
    assert with_images(results_of(tmp_path), resamples=0).images == {}


def test_missing_and_unlike_matches_are_noted(tmp_path):
    write_matches(write_run(tmp_path, config_of(BASELINE, 0), 0.5), 0, 0.5, images=4)
    write_matches(write_run(tmp_path, config_of(ACMIX, 0), 0.5), 0, 0.5, images=5)
    write_run(tmp_path, config_of(CBAM, 0), 0.5)
    notes = " ".join(with_images(results_of(tmp_path), resamples=10).notes)
    assert "no matches on validation images were kept by cbam" in notes
    assert "validated on different images" in notes


def test_doubtful_and_unlike_latencies_are_noted(tmp_path):
    timed = {"ratio_low": 1.0, "ratio_high": 1.2, "busy": True, "end_to_end": timing(1.05)}
    timed["memory"] = PeakMemory(12.5, 12.0, 12.5 / 12.0, "an allocator")
    write_run(tmp_path, config_of(BASELINE, 0), 0.5, latency=latency_of(1.1, **timed, backend="pytorch"))
    write_run(tmp_path, config_of(ACMIX, 0), 0.5, latency=latency_of(1.1, **timed, backend="onnx"))
    results = results_of(tmp_path)
    assert "doubtful latency: the machine was busy during the timing of 2 of 2 runs" in results.notes
    assert "1.10 times the latency of the stock model (1.00 to 1.20, machine busy)" in answer(results).cost
    assert not any("throttled" in note for note in results.notes)
    assert any("differ in how they were taken" in note for note in results.notes)
    numbers = results.variant("acmix").numbers
    assert (numbers["latency.end_to_end.ratio_to_stock"], numbers["latency.memory.peak_mb"]) == (1.05, 12.5)
    ratio = results.variant("acmix").ratio
    assert (ratio.mean, ratio.low, ratio.high) == (1.1, 1.0, 1.2)


def test_the_same_records_give_the_same_numbers(tmp_path):
    """Beyond 13 pairs the sign-flip test draws its patterns."""
    write(tmp_path, BASELINE, [0.5 + 0.001 * seed for seed in range(15)])
    write(tmp_path, ACMIX, [0.5 + 0.0013 * seed * (-1) ** seed for seed in range(15)])
    first, second = (results_of(tmp_path).variant("acmix").comparison for _ in range(2))
    assert first == second
    assert 0.01 < first.p_sign_flip < 1


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        pytest.param({}, True, id="alike"),
        pytest.param({"placement__sites": ["p3"]}, False, id="elsewhere"),
        pytest.param({"placebo__options": {"kernel_att": 5}}, False, id="other_options"),
        pytest.param({"placebo__options": {"kernel_att": 7}}, True, id="same_options"),
    ],
)
def test_a_placebo_stands_for_its_attention_in_its_place_with_its_options(changes, stands, tmp_path):
    runs = []
    for attention, scores, own in (
        (BASELINE, (0.5, 0.51), {}),
        (ACMIX, (0.6, 0.62), {}),
        (PLACEBO, (0.5, 0.52), changes),
    ):
        for seed, score in enumerate(scores):
            folder = write_run(tmp_path, config_of(attention, seed, **own), score)
            runs.append({"run": folder.name, "variant": attention["name"], "seed": seed, "baseline": "baseline"})
    declare(tmp_path, "made_up", runs)
    results = results_of(tmp_path)
    said = answer(results)
    assert ("a plain convolution as large" in said.beside) == stands
    assert len(side_by_side(results, said.about)) == 2 + stands


def test_a_score_is_called_that_the_variant_has(tmp_path):
    write(tmp_path, BASELINE, [0.50, 0.51, 0.50, 0.90])
    write(tmp_path, ACMIX, [0.53, 0.545, 0.53])
    effect = answer(results_of(tmp_path)).effect
    assert "mAP50-95 is 0.535 instead of 0.603, " in effect
    assert " at equal seeds (" in effect


def test_luck_is_that_of_the_choice_among_attentions(tmp_path):
    write(tmp_path, BASELINE, [0.50, 0.51, 0.52])
    write(tmp_path, PLACEBO, [0.60, 0.62, 0.64])
    write(tmp_path, ACMIX, [0.53, 0.52, 0.54])
    assert not any("probably lucky" in remark for remark in answer(results_of(tmp_path)).remarks)
    write(tmp_path, CBAM, [0.51, 0.54, 0.53])
    assert any("As the highest of 2 variants" in remark for remark in answer(results_of(tmp_path)).remarks)


def test_a_comparison_outside_the_model_is_not_together_with_the_others(tmp_path):
    write(tmp_path, BASELINE, [0.50, 0.51, 0.52])
    write(tmp_path, ACMIX, [0.53, 0.52, 0.54])
    write(tmp_path, CBAM, [0.51])
    assert "comparisons together" not in answer(results_of(tmp_path)).effect


def test_a_placebo_of_another_training_stands_for_nothing(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.51])
    write(tmp_path, ACMIX, [0.6, 0.62])
    write(tmp_path, PLACEBO, [0.5, 0.51], trainer__epochs=13)
    assert "Against placebo" not in answer(results_of(tmp_path)).beside


def test_a_placebo_that_learned_nothing_is_no_opponent(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.51])
    write(tmp_path, ACMIX, [0.6, 0.62])
    write(tmp_path, PLACEBO, [0.0, 1e-5])
    assert "Against placebo" not in answer(results_of(tmp_path)).beside


@pytest.mark.parametrize(
    ("parameters", "told"), [(2_500_000, "+25.0% against the baseline"), (2_000_000, "as the baseline")]
)
def test_cost_is_told_as_a_change_of_the_baselines(parameters, told, tmp_path):
    for attention, its_parameters in ((BASELINE, 2_000_000), (ACMIX, parameters)):
        write_run(tmp_path, config_of(attention, 0), 0.5, model=model_of(parameters=its_parameters))
    assert f"\u00a0M\u00a0parameters ({told})" in answer(results_of(tmp_path)).cost


def test_means_of_the_answer_are_over_common_seeds(tmp_path):
    write(tmp_path, BASELINE, [0.5, 0.52])
    write(tmp_path, ACMIX, [0.6, 0.62, 0.99])
    assert "mAP50-95 is 0.610 instead of 0.510" in answer(results_of(tmp_path)).effect


def test_without_a_comparison_the_highest_variant_is_named(tmp_path):
    write(tmp_path, ACMIX, [0.6])
    write(tmp_path, CBAM, [0.7])
    assert answer(results_of(tmp_path)).cost == "The highest mAP50-95 is 0.700, by cbam over 1 seed."


def test_one_value_of_a_number_is_no_line_and_a_switch_no_number(tmp_path):
    for value in (True, False):
        write(tmp_path, {"name": "acmix", "shift": value}, [0.5])
    assert swept_lines(results_of(tmp_path)) == {}
    runs = []
    for name, heads in (("se", 2), ("cbam", 4)):
        folder = write_run(tmp_path, config_of({"name": name, "heads": heads}, 0), 0.5)
        runs.append({"run": folder.name, "variant": name, "seed": 0, "swept": {"attention.heads": heads}})
    declare(tmp_path, "made_up", runs)
    assert swept_lines(results_of(tmp_path)) == {}


def test_images_are_paired_by_seed(tmp_path):
    for attention, right in ((BASELINE, 0.3), (ACMIX, 0.9)):
        for seed in (3, 5):
            write_matches(write_run(tmp_path, config_of(attention, seed), right), seed, right)
    assert with_images(results_of(tmp_path), resamples=10).images["acmix"].seeds == (3, 5)
