"""On which images a study is compared, and what the choice of the epoch added."""

import dataclasses

import pytest

from tests.fabricate import config_of, write_matches, write_run
from yolo26_attention.files.record import Record, TestScore
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.detections import kept_matches
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import markdown, terminal
from yolo26_attention.study.progress import RunState, compared_scores
from yolo26_attention.study.runs import StudyEntry


def write(output_dir, name, pairs, **trainer):
    """Runs with scores on validation and test images; None for a run without a test split."""
    for seed, (validation, test) in enumerate(pairs):
        config = config_of({"name": name}, seed)
        config["trainer"] |= trainer
        score = None if test is None else TestScore(
            {"map50_95": test, "map50": 0.7, "precision": 0.6, "recall": 0.5}, {"small": 0.2}, {"zero": 0.3}, 40, "test"
        )  # fmt: skip
        write_run(output_dir, config, validation, test=score, data={"test": {"problem": "" if test else "no test"}})


def read(output_dir):
    return compare(read_study("made_up", output_dir), margin=0.005)


PAIRS = {"baseline": [(0.50, 0.46), (0.51, 0.47), (0.52, 0.47)], "acmix": [(0.60, 0.50), (0.61, 0.52), (0.60, 0.51)]}


@pytest.fixture
def results(tmp_path):
    for name, pairs in PAIRS.items():
        write(tmp_path, name, pairs)
    return read(tmp_path)


def test_test_images_are_the_headline_and_validation_stays_beside_it(results):
    acmix = results.variant("acmix")
    assert list(acmix.scores.values()) == [0.50, 0.52, 0.51]
    assert acmix.numbers["metrics.map50"] == pytest.approx(0.7)
    said = answer(results)
    assert "mAP50-95 on the test images is 0.510 instead of 0.467" in said.effect
    assert "acmix scores +0.093 against the test images, baseline +0.043" in " ".join(said.remarks)
    shown = terminal(results, said, [])
    assert "flattered by" in shown
    assert "0.0933 ±" in shown
    assert "note: scored on the 40 images of the test split, on which nothing was chosen" in shown


def test_matches_are_those_of_the_images_that_count(results):
    run = results.variant("acmix").counted[0]
    write_matches(run.folder, 0, 0.5)
    assert kept_matches(run) is None
    (run.folder / "matches.npz").rename(run.folder / "matches_test.npz")
    assert kept_matches(run) is not None


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        pytest.param({"test": None}, "1 of 6 runs have no score on the test images", id="missing"),
        pytest.param({"identity": "other"}, "the test images are not the same in all runs", id="other"),
    ],
)
def test_runs_that_cannot_be_compared_on_test_images_are_compared_on_validation(changes, note, results, tmp_path):
    folder = results.variant("acmix").counted[0].folder
    record = Record.read(folder)
    record.test = None if "test" in changes else dataclasses.replace(record.test, **changes)
    record.write(folder)
    found = read(tmp_path)
    assert list(found.variant("acmix").scores.values()) == [0.60, 0.61, 0.60]
    assert any(note in each for each in found.notes)
    assert "flattered by" not in terminal(found, answer(found), [])


def test_without_test_images_the_report_says_that_something_was_chosen(tmp_path):
    for name, pairs in PAIRS.items():
        write(tmp_path, name, [(validation, None) for validation, _ in pairs])
    assert any("on which each run's best epoch was chosen, too: no test" in note for note in read(tmp_path).notes)


def test_where_the_last_epoch_is_scored_nothing_was_chosen(tmp_path):
    for name, pairs in PAIRS.items():
        write(tmp_path, name, [(validation, None) for validation, _ in pairs], select="last")
    assert any("nothing was chosen: trainer.select=last" in note for note in read(tmp_path).notes)


@pytest.mark.parametrize(
    ("select", "meaning"),
    [("best", "validation images, where each run's best epoch was chosen"), ("last", "validation images")],
)
def test_the_column_says_whether_something_was_chosen_on_the_validation_images(select, meaning, tmp_path):
    for name, pairs in PAIRS.items():
        write(tmp_path, name, pairs, select=select)
    found = read(tmp_path)
    assert f"- validation: mAP50-95 on the {meaning}\n" in markdown(found, answer(found), [])


def test_looks_judge_by_what_the_report_compares(results):
    runs = [run for variant in results.variants for run in variant.counted]
    states = [RunState(StudyEntry(r.name, r.variant, r.seed), "finished", Record.read(r.folder)) for r in runs]
    assert sorted(compared_scores(states, "map50_95")) == sorted(test for pairs in PAIRS.values() for _, test in pairs)
    states[0].record.test = None
    assert sorted(compared_scores(states, "map50_95")) == sorted(
        validation for pairs in PAIRS.values() for validation, _ in pairs
    )
