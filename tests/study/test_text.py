"""What a person reads about a study."""

from tests.fabricate import config_of, declare, write_run
from tests.study.test_progress import entry, put
from yolo26_attention.files.locks import run_lock
from yolo26_attention.files.record import TestScore
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.runs import StudyEntry, write_study
from yolo26_attention.study.text import announcement, error_line, status, summary, tags

RUNS = [
    entry("base0", "baseline"),
    entry("acmix0", "acmix k=3"),
    entry("base1", "baseline", 1),
    entry("acmix1", "acmix k=3", 1),
]


def study(output_dir):
    """Two finished runs, one failed, one pending."""
    write_study(output_dir, "s", "What?", "python -m src.sweep s", RUNS)
    put(output_dir, "base0", "finished", seconds=60.0, tracking="wandb/offline-run-1")
    put(output_dir, "acmix0", "finished", seconds=120.0)
    put(output_dir, "base1", "failed", error='Traceback\n  File "a.py"\n    f()\nValueError: bad\nand more')


def test_line_over_a_run(tmp_path):
    study(tmp_path)
    line = announcement(tmp_path, "s", "acmix1")
    assert line.startswith("study s: run 4 of 4, acmix k=3, seed 1; time left about 2 min")
    assert "best so far mAP50-95 0.5000 (baseline, seed 0)" in line
    assert announcement(tmp_path, "s", "other") is None
    assert announcement(tmp_path, "nosuch", "base0") is None


def test_status(tmp_path):
    study(tmp_path)
    lines = status(tmp_path, "s").splitlines()
    assert lines[:2] == ["study s: What?", "4 runs: 2 finished, 1 failed, 1 pending"]
    assert [line.split() for line in lines[3:6]] == [
        ["mAP50-95", "seed", "0", "seed", "1"],
        ["baseline", "0.5000", "failed"],
        ["acmix", "k=3", "0.5000", "pending"],
    ]
    assert "failed: baseline, seed 1: ValueError: bad" in lines
    assert status(tmp_path, "nosuch") is None


def test_no_time_is_left_where_nothing_is_left_to_train(tmp_path):
    study(tmp_path)
    assert "time left" in status(tmp_path, "s")
    put(tmp_path, "acmix1", "finished", seconds=60.0)
    assert "time left" not in status(tmp_path, "s")
    assert "best so far" in status(tmp_path, "s")


def test_scores_are_those_of_the_declared_metric(tmp_path):
    declared = Declaration((0, 1), (0, 1), metric="map50")
    write_study(tmp_path, "s", "What?", "python -m src.sweep s", RUNS, declared)
    put(tmp_path, "base0", "finished", metrics={"map50_95": 0.7, "map50": 0.8})
    put(tmp_path, "acmix0", "finished", metrics={"map50_95": 0.6, "map50": 0.9})
    told = status(tmp_path, "s")
    assert told.splitlines()[3].split()[:2] == ["mAP50", "seed"]
    assert "0.8000" in told
    assert "0.7000" not in told
    for text in (told, announcement(tmp_path, "s", "acmix1")):
        assert "best so far mAP50 0.9000 (acmix k=3, seed 0)" in text


def test_summary_says_how_to_go_on(tmp_path):
    study(tmp_path)
    text = summary(tmp_path, "s", ["base1: locked"], ["python", "-m", "src.sweep", "s", "placement.sites=[p3]"])
    assert "skipped: base1: locked" in text
    assert "go on: python -m src.sweep s 'placement.sites=[p3]'" in text
    assert "'placement.sites=[p3]' retry=true" in text
    assert f"wandb sync {tmp_path}/wandb/offline-run-*" in text
    assert str(tmp_path / "runs" / "base1" / "record.json") in text


def test_what_other_processes_train_is_in_the_estimates_and_no_error(tmp_path):
    study(tmp_path)
    put(tmp_path, "acmix1", "running")
    with run_lock(tmp_path / "locks" / "acmix1.lock"):
        assert "time left about 2 min one run after the other" in status(tmp_path, "s")
        assert "trained by another process: acmix k=3, seed 1" in summary(tmp_path, "s", [], ["python"])
        write_study(tmp_path, "s", "What?", "python -m src.sweep s", [*RUNS, entry("acmix2", "acmix k=3", 2)])
        assert "time left about 2 min with 2 runs at a time" in announcement(tmp_path, "s", "acmix2")


def test_nothing_to_go_on_with(tmp_path):
    write_study(tmp_path, "s", "What?", "", RUNS[:1])
    put(tmp_path, "base0", "finished", seconds=60.0)
    text = summary(tmp_path, "s", [], ["python"])
    assert "go on" not in text
    assert "retry" not in text
    assert "wandb" not in text


def test_runs_of_a_server_are_not_to_be_uploaded(tmp_path):
    write_study(tmp_path, "s", "What?", "", RUNS[:1])
    put(tmp_path, "base0", "finished", seconds=60.0, tracking="wandb/run-1")
    assert "wandb" not in summary(tmp_path, "s", [], ["python"])


def test_error_line():
    assert error_line('Traceback\n  File "a.py"\n    f()\nValueError: bad\nmore') == "ValueError: bad"
    assert error_line("KeyboardInterrupt: SIGTERM") == "KeyboardInterrupt: SIGTERM"


def test_tags_are_variant_swept_values_and_seed():
    found = StudyEntry("a", "v" * 99, 2, swept={"attention.kernel_att": 5})
    assert tags(found) == ["v" * 99, "attention.kernel_att=5", "seed=2"]
    assert tags(None) == []


def test_the_table_has_the_scores_that_the_looks_use(tmp_path):
    test = {"metrics": {"map50_95": 0.25}, "ap_by_size": {}, "ap_by_class": {}, "images": 3, "identity": "x"}
    one, two = (
        write_run(tmp_path, config_of({"name": name}, 0), 0.5, test=TestScore(**test)).name
        for name in ("baseline", "se")
    )
    declare(tmp_path, "s", [{"run": run, "variant": run, "seed": 0} for run in (one, two)])
    text = status(tmp_path, "s")
    assert "mAP50-95, test images" in text
    assert "0.2500" in text
    assert "best so far mAP50-95 0.5000" in text
