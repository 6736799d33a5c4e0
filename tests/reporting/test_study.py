"""Which runs belong to a study, what they are called, and why one does not count."""

import json

import pytest

from tests.fabricate import config_of, declare, write_run
from yolo26_attention.files.locks import run_lock
from yolo26_attention.files.record import Record
from yolo26_attention.reporting.study import StudyError, read_study

ACMIX = {"name": "acmix", "kernel_att": 7}
BASELINE = {"name": "baseline"}
ERROR = "Traceback (most recent call last):\n  somewhere\nOSError: full\n"


def only_run(output_dir, name="made_up"):
    (run,) = read_study(name, output_dir).runs
    return run


@pytest.mark.parametrize(
    ("value", "fields", "status", "problem"),
    [
        pytest.param(0.5, {}, "finished", None, id="finished"),
        pytest.param(None, {"status": "failed", "error": ERROR}, "failed", "OSError: full", id="failed"),
        pytest.param(None, {"status": "interrupted"}, "interrupted", "is interrupted", id="interrupted"),
        pytest.param(None, {"status": "running"}, "interrupted", "was killed before it could say why", id="killed"),
        pytest.param(float("nan"), {}, "not a number", "finished with mAP50-95 nan", id="nan"),
        pytest.param(None, {}, "not a number", "finished with mAP50-95 None", id="no_metric"),
    ],
)  # fmt: skip
def test_why_a_run_does_not_count(value, fields, status, problem, tmp_path):
    write_run(tmp_path, config_of(ACMIX, 0), value, **fields)
    run = only_run(tmp_path)
    assert (run.status, run.problem, run.counts) == (status, problem, problem is None)


def test_a_run_whose_process_lives_is_running(tmp_path):
    folder = write_run(tmp_path, config_of(ACMIX, 0), None, status="running")
    with run_lock(tmp_path / "locks" / f"{folder.name}.lock"):
        assert (only_run(tmp_path).status, only_run(tmp_path).problem) == ("running", "is running")


def test_declared_runs_that_are_not_there_are_pending_and_broken_ones_unreadable(tmp_path):
    broken = write_run(tmp_path, config_of(ACMIX, 1))
    (broken / "record.json").write_text("{")
    runs = [{"run": name, "variant": "acmix", "seed": seed} for seed, name in enumerate(("absent", broken.name))]
    declare(tmp_path, "made_up", runs, question="Does it help?")
    study = read_study("made_up", tmp_path)
    assert [run.status for run in study.runs] == ["pending", "unreadable"]
    assert not any(run.counts for run in study.runs)
    assert study.question == "Does it help?"
    assert any(broken.name in note for note in study.notes)


def test_records_that_study_json_does_not_list_are_noted(tmp_path):
    listed = write_run(tmp_path, config_of(ACMIX, 0))
    extra = write_run(tmp_path, config_of(ACMIX, 1))
    declare(tmp_path, "made_up", [{"run": listed.name, "variant": "acmix", "seed": 0}])
    study = read_study("made_up", tmp_path)
    assert [run.name for run in study.runs] == [listed.name]
    assert any(extra.name in note for note in study.notes)


def test_declared_runs_may_have_been_trained_for_another_study(tmp_path):
    folder = write_run(tmp_path, config_of(BASELINE, 0, study="earlier"), 0.5)
    declare(tmp_path, "later", [{"run": folder.name, "variant": "baseline", "seed": 0, "baseline": "baseline"}])
    assert only_run(tmp_path, "later").counts


def test_two_runs_of_one_seed_count_neither(tmp_path):
    first = write_run(tmp_path, config_of(ACMIX, 0))
    second = write_run(tmp_path, config_of(ACMIX, 0, trainer__epochs=24))
    declare(tmp_path, "made_up", [{"run": run.name, "variant": "a", "seed": 0} for run in (first, second)])
    assert [run.status for run in read_study("made_up", tmp_path).runs] == ["duplicate", "duplicate"]


def test_undeclared_variants_are_named_by_what_differs(tmp_path):
    for attention in (BASELINE, {"name": "placebo"}, ACMIX, {**ACMIX, "kernel_att": 3}):
        for seed in (0, 1):
            write_run(tmp_path, config_of(attention, seed))
    write_run(tmp_path, config_of(ACMIX, 0, study="other", trainer__epochs=1))
    study = read_study("made_up", tmp_path)
    assert {run.variant for run in study.runs} == {
        "baseline",
        "placebo of acmix",
        "acmix kernel_att=7",
        "acmix kernel_att=3",
    }
    assert {run.swept.get("attention.kernel_att") for run in study.runs} == {None, 7, 3}
    assert not study.declared


def test_where_a_run_was_trained_makes_no_variant(tmp_path):
    write_run(tmp_path, config_of(ACMIX, 0, trainer__device="cpu", placement__mode="append"))
    write_run(tmp_path, config_of(ACMIX, 1, trainer__device="0", tracking__mode="online"))
    write_run(tmp_path, config_of(BASELINE, 0, placement__sites=["p3"]))
    write_run(tmp_path, config_of(BASELINE, 1, placement__sites=["p4"]))
    assert {run.variant for run in read_study("made_up", tmp_path).runs} == {"acmix", "baseline"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("made_upp", "did you mean made_up", id="misspelt"),
        pytest.param("zzz", "there are made_up", id="unknown"),
    ],
)
def test_unknown_study_says_what_is_there(name, message, tmp_path):
    write_run(tmp_path, config_of(ACMIX, 0))
    with pytest.raises(StudyError, match=message):
        read_study(name, tmp_path)


def test_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(StudyError, match="output_dir=FOLDER, or train first"):
        read_study("any", tmp_path)


@pytest.mark.parametrize("content", ["{", '{"runs": [{"run": "a"}]}', "[]"])
def test_broken_study_json_is_said(content, tmp_path):
    declare(tmp_path, "made_up", [])
    (tmp_path / "studies" / "made_up" / "study.json").write_text(content)
    with pytest.raises(StudyError, match=r"study.json is no study"):
        read_study("made_up", tmp_path)


def test_fabricated_records_are_records(tmp_path):
    folder = write_run(tmp_path, config_of(ACMIX, 0))
    assert json.loads((folder / "record.json").read_text())["study"] == "made_up"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.5])
def test_a_score_that_is_none_does_not_count(value, tmp_path):
    metrics = {"map50_95": value, "map50": 0.8, "precision": 0.7, "recall": 0.6}
    write_run(tmp_path, config_of({"name": "acmix"}, 0), 0.5, metrics=metrics)
    (run,) = read_study("made_up", tmp_path).runs
    assert (run.status, run.problem) == ("not a number", f"finished with mAP50-95 {value}")


@pytest.mark.parametrize("value", [None, "high", [0.5]])
def test_a_record_whose_score_is_no_number_is_noted(value, tmp_path):
    folder = write_run(tmp_path, config_of({"name": "acmix"}, 0), 0.5)
    write_run(tmp_path, config_of({"name": "baseline"}, 0), 0.5)
    content = json.loads((folder / "record.json").read_text())
    content["metrics"]["map50_95"] = value
    (folder / "record.json").write_text(json.dumps(content))
    assert any("not readable, whatever the study: 1 record, " in note for note in read_study("made_up", tmp_path).notes)
    with pytest.raises(ValueError, match=r"record.json is not a record \(metrics.map50_95 is .*move .* away"):
        Record.read(folder)
