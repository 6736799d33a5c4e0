"""What a study declared stands beside what it found; seeds that were added later get an interval that bears it."""

import math
import re
from dataclasses import replace

import pytest

from tests.fabricate import config_of, write_run
from tests.reporting.test_comparison import results_of
from yolo26_attention.files.record import Record
from yolo26_attention.reporting.answer import answer
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.declared_looks import look_model, scores_at
from yolo26_attention.study.next_runs import standings
from yolo26_attention.study.progress import run_states
from yolo26_attention.study.runs import StudyEntry, write_study
from yolo26_attention.study.runs import read_study as read_declared

NOISE = (0.001, -0.002, 0.0015, -0.0005, 0.002, 0.0, -0.0015, 0.001)


def put(output_dir, plan, seeds, shift=0.1, in_time=True):
    """A study with so many finished seeds of a baseline and one variant, declared before or after them."""
    entries = []
    for seed in plan.seeds:
        for row, name in enumerate(("baseline", "acmix")):
            config = config_of({"name": name}, seed)
            run = f"{name}-s{seed}"
            if seed < seeds:
                value = 0.5 + shift * row + NOISE[seed] * (1 + row) + 0.0003 * row * seed
                run = write_run(output_dir, config, value).name
            entries.append(StudyEntry(run, name, seed, baseline="baseline"))
    write_study(output_dir, "made_up", "Why?", "c", entries, plan)
    if in_time:  # as if it had been written before the first run
        path = output_dir / "studies" / "made_up" / "study.json"
        path.write_text(re.sub(r'"known": \d+', '"known": 0', path.read_text()))


def test_before_the_first_look_nothing_is_decided(tmp_path):
    put(tmp_path, Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5)), seeds=2)
    results = results_of(tmp_path)
    comparison = results.variant("acmix").comparison
    assert comparison.verdict == "undecided"
    assert comparison.words == "undecided (first look at 3 seeds)"


def test_the_look_that_decided_stands_however_many_seeds_follow(tmp_path):
    put(tmp_path, Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5)), seeds=5)
    results = results_of(tmp_path)
    comparison = results.variant("acmix").comparison
    assert comparison.words == "better (look 1 of 2)"
    assert comparison.seeds == (3, 3)
    assert "Declared looks: look 1 of 2." in answer(results).remarks


@pytest.mark.parametrize("changed", ["score", "seed"])
def test_a_run_without_a_result_that_counts_has_ended_as_in_the_sweep(changed, tmp_path):
    plan = Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5))
    put(tmp_path, plan, seeds=3)
    record = Record.read(folder := tmp_path / "runs" / "acmix-12-s2")
    record = replace(record, metrics={"map50_95": math.nan}) if changed == "score" else replace(record, seed=7)
    record.write(folder)
    content = read_declared(tmp_path, "made_up")
    assert standings(run_states(tmp_path, content.runs), plan)["baseline"].complete == 1
    assert results_of(tmp_path).variant("acmix").comparison.words.endswith("(look 1 of 2)")


def with_placebo(output_dir, seeds):
    """A study with looks at 3 and 5 seeds, whose variant has a placebo."""
    plan = Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5))
    entries = []
    for seed in plan.seeds:
        for row, name in enumerate(("baseline", "placebo", "acmix")):
            run = f"{name}-s{seed}"
            if seed < seeds:
                value = 0.5 + 0.05 * row + NOISE[(3 * seed + row) % 8]
                run = write_run(output_dir, config_of({"name": name}, seed), value).name
            entries.append(StudyEntry(run, name, seed, baseline="baseline"))
    write_study(output_dir, "made_up", "Why?", "c", entries, plan)
    return results_of(output_dir)


def test_a_placebo_is_compared_at_the_look_and_its_level(tmp_path):
    found = answer(with_placebo(tmp_path, 5))
    said = found.beside
    assert re.search(
        r"Against placebo, a plain convolution as large, acmix is \+0\.05\d \(.*\): better \(look 1 of 2\)\.", said
    )
    assert [each.name for each in found.drawn] == ["against baseline", "against placebo"]
    low, high = found.drawn[1].bounds
    assert 0 < low < found.drawn[1].mean < high
    path = tmp_path / "runs" / "placebo_of_acmix-12-s4"
    record = Record.read(path)
    replace(record, metrics={**record.metrics, "map50_95": 0.9}).write(path)
    assert answer(results_of(tmp_path)).beside == said


def test_seeds_that_a_stopped_variant_has_beyond_its_look_count_in_no_later_look_as_in_the_sweep(tmp_path):
    plan = Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5), stop=True)
    entries = []
    for seed in plan.seeds:
        for row, (name, shift) in enumerate({"baseline": 0.0, "cbam": 0.006, "acmix": 0.3}.items()):
            value = 0.4 + shift + 2 * NOISE[(3 * seed + row) % 8]
            if name == "acmix" and seed > 2:
                value += 0.02 * (seed - 3)
            run = write_run(tmp_path, config_of({"name": name}, seed), value).name
            entries.append(StudyEntry(run, name, seed, baseline="baseline"))
    write_study(tmp_path, "made_up", "Why?", "c", entries, plan)
    results = results_of(tmp_path)
    content = read_declared(tmp_path, "made_up")
    standing = standings(run_states(tmp_path, content.runs), plan)["baseline"]
    assert (standing.arms["acmix"].look, standing.arms["cbam"].look) == (1, 2)
    scores = {variant.label: variant.scores for variant in results.variants}
    model = look_model(scores_at(scores, standing.arms, 2, "baseline", plan), "baseline", results.margin)
    comparison = results.variant("cbam").comparison
    assert comparison.error == model["cbam"].se
    assert comparison.verdict == standing.arms["cbam"].outcome == "better"


def test_before_the_first_look_no_placebo_is_judged_either(tmp_path):
    assert "Against placebo" not in answer(with_placebo(tmp_path, 2)).beside


@pytest.mark.parametrize(("seeds", "spent"), [(2, None), (3, "it spends 0.035"), (5, "looks 1 to 2 spend 0.050")])
def test_the_level_that_the_looks_have_spent_is_told(seeds, spent, tmp_path):
    plan = Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5))
    put(tmp_path, plan, seeds, shift=0.0)
    results = results_of(tmp_path)
    told = [note for note in results.notes if "allowed for false verdicts" in note]
    if spent is None:
        assert told == []
        return
    nominal = results.variant("acmix").comparison.boundary
    look = 1 if seeds == 3 else 2
    assert told == [
        f"at look {look} of 2, a difference is shown by an adjusted p below {nominal:.3f}; {spent} of the 0.05 allowed "
        "for false verdicts"
    ]
    assert 0 < nominal < 0.05


def test_groups_say_that_they_do_not_allow_for_looks(tmp_path):
    put(tmp_path, Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5)), seeds=5, shift=0.0)
    results = results_of(tmp_path)
    assert results.groups
    assert any(note.startswith("groups do not allow for the declared looks") for note in results.notes)


def test_the_means_are_those_of_the_look(tmp_path):
    put(tmp_path, Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5)), seeds=5)
    path = tmp_path / "runs" / "baseline-12-s4"
    record = Record.read(path)
    replace(record, metrics={**record.metrics, "map50_95": 0.9}).write(path)
    assert "is 0.601 instead of 0.500, +0.100 (" in answer(results_of(tmp_path)).effect


def test_a_look_is_held_to_less_than_the_whole_level(tmp_path):
    looked, once = tmp_path / "looked", tmp_path / "once"
    put(looked, Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=(3, 5)), seeds=3)
    put(once, Declaration((0, 1, 2), (0, 1, 2)), seeds=3)
    widths = [
        high - low
        for low, high in (results_of(each).variant("acmix").comparison.difference.bounds for each in (looked, once))
    ]
    assert widths[0] > widths[1]


def test_the_margin_is_the_declared_one_unless_another_is_asked_for(tmp_path):
    put(tmp_path, Declaration((0, 1, 2), (0, 1, 2), margin=0.3), seeds=3)
    assert results_of(tmp_path, margin=None).margin == 0.3
    assert results_of(tmp_path, margin=None).variant("acmix").comparison.verdict == "equivalent"
    assert results_of(tmp_path, margin=0.01).variant("acmix").comparison.verdict == "better"


def test_a_study_that_was_declared_in_time_says_so_and_needs_no_other_interval(tmp_path):
    put(tmp_path, Declaration(tuple(range(6)), tuple(range(6))), seeds=6)
    notes = results_of(tmp_path).notes
    assert any("declared before the first result" in note for note in notes)
    assert not any("however often" in note for note in notes)


def test_seeds_that_were_added_later_get_an_interval_that_holds_however_often_one_looks(tmp_path):
    plan = Declaration(tuple(range(6)), tuple(range(6)))
    put(tmp_path, plan, seeds=6, in_time=False)
    notes = results_of(tmp_path).notes
    (note,) = [note for note in notes if note.startswith("declared")]
    assert "when 12 of 12 results were known" in note
    (added,) = [note for note in notes if "holds however often one looked" in note]
    low, high = map(float, re.search(r"([+-][\d.]+) to ([+-][\d.]+) holds", added.replace("−", "-")).groups())
    shown = results_of(tmp_path).variant("acmix").comparison.difference.bounds
    assert low < shown[0] < shown[1] < high


@pytest.mark.parametrize(
    ("looks", "others", "told"),
    [
        ((), 0, ""),
        ((3, 5), 0, "not adjusted for the declared looks"),
        ((), 1, "not adjusted for the other comparisons"),
        ((3, 5), 1, "not adjusted for the other comparisons and the declared looks"),
    ],
)
def test_the_report_says_for_what_intervals_over_images_are_not_adjusted(looks, others, told, tmp_path):
    plan = Declaration((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), looks=looks)
    entries = []
    for seed in plan.seeds:
        for row, name in enumerate(("baseline", "acmix", "cbam")[: 2 + others]):
            run = write_run(tmp_path, config_of({"name": name}, seed), 0.5 + NOISE[(3 * seed + row) % 8]).name
            entries.append(StudyEntry(run, name, seed, baseline="baseline"))
    write_study(tmp_path, "made_up", "Why?", "c", entries, plan)
    assert results_of(tmp_path).unadjusted == told
