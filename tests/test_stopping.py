"""A study that declares looks trains what they need and no more; killed and continued it decides the same."""

import json

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus

from src import sweep as entry
from src.report import Options, report
from tests.conftest import CONF, TINY
from tests.fabricate import config_of
from yolo26_attention.config.registration import register_configs
from yolo26_attention.files.record import Record
from yolo26_attention.study.request import parse
from yolo26_attention.study.runs import read_study

COMMON = dict(option.split("=", 1) for option in TINY if not option.startswith("output_dir")) | {"placement": "p3"}
STUDY = {
    "question": "Which one?",
    "margin": 0.01,
    "looks": [2, 3, 5],
    "stop": True,
    "variants": {
        "baseline": {"attention": "baseline"},
        "worse": {"attention": "simam"},
        "open": {"attention": "eca"},
    },
    "common": COMMON,
}
NOISE = (0.001, -0.002, 0.0015, -0.0005, 0.002)
SHIFTS = {"baseline": 0.0, "worse": -0.1, "open": 0.011}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Starts the study; runs are not trained, but have the score that `SHIFTS` says. Returns what was trained."""
    register_configs()
    GlobalHydra.instance().clear()
    file, outputs = tmp_path / "which.yaml", tmp_path / "outputs"
    file.write_text(yaml.safe_dump(STUDY))
    trained = []

    def start(*arguments, dies_after=None):
        def launch(task, base, jobs):
            entries = {tuple(run.overrides): run for run in read_study(outputs, "which").runs}
            for job in jobs:
                if len(trained) == dies_after:
                    raise KeyboardInterrupt
                run = entries[tuple(job[: job.index("study=which")])]
                row = list(SHIFTS).index(run.variant)
                score = 0.5 + SHIFTS[run.variant] + NOISE[(run.seed + row) % 5] * (1 + row)
                name = {"worse": "simam", "open": "eca"}.get(run.variant, "baseline")
                config = config_of({"name": name}, run.seed)
                record = Record(run.run, run.run, "which", run.seed, config, status="finished")
                record.metrics = {"map50_95": score}
                (outputs / "runs" / run.run).mkdir(parents=True)
                record.write(outputs / "runs" / run.run)
                trained.append((run.variant, run.seed))
            return [JobReturn(status=JobStatus.COMPLETED, _return_value=0.0) for _ in jobs]

        monkeypatch.setattr(entry, "launch", launch)
        with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
            status = entry.sweep(parse([str(file), f"output_dir={outputs}", *arguments]))
        return status, trained

    start.trained = trained
    yield start
    HydraConfig.instance().cfg = None


def test_what_a_look_decides_is_trained_no_further(study, tmp_path, capsys):
    status, trained = study()
    assert status == 0
    assert [seed for variant, seed in trained if variant == "worse"] == [0, 1]
    assert [seed for variant, seed in trained if variant == "open"] == [0, 1, 2, 3, 4][: trained.count(("open", 4)) + 4]
    assert len(trained) < 15
    shown = capsys.readouterr().out
    assert "worse: worse" in shown
    assert "stopped" in shown


def test_interrupted_and_continued_it_decides_the_same(study, tmp_path):
    assert study(dies_after=4)[0] == 130
    plan = read_study(tmp_path / "outputs", "which").declared
    status, trained = study()
    assert status == 0
    assert [seed for variant, seed in trained if variant == "worse"] == [0, 1]
    assert read_study(tmp_path / "outputs", "which").declared == plan
    assert len(set(trained)) == len(trained)
    assert study()[1] == trained  # nothing is left to do


def test_a_run_that_a_decision_made_needless_keeps_no_study_unfinished(study, tmp_path, capsys):
    study()
    runs = read_study(tmp_path / "outputs", "which").runs
    run = next(run for run in runs if (run.variant, run.seed) == ("worse", 3))
    folder = tmp_path / "outputs" / "runs" / run.run
    folder.mkdir(parents=True)
    record = Record(run.run, run.run, "which", 3, config_of({"name": "simam"}, 3), status="interrupted")
    record.write(folder)
    trained = len(study()[1])
    assert study() == (0, study()[1])
    assert len(study()[1]) == trained
    assert "15 runs: 12 finished, 3 stopped" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "times"), [((), 1), (("pilot=3",), 0)])
def test_a_study_is_timed_at_its_end_and_not_after_a_pilot(arguments, times, study, monkeypatch):
    timed = []
    monkeypatch.setattr(entry.Request, "timed_by_itself", False)
    monkeypatch.setattr(entry, "time_at_the_end", lambda *given: timed.append(given) or False)
    assert study(*arguments)[0] == 0
    assert len(timed) == times


def test_a_pilot_trains_the_baseline_alone_and_says_what_can_be_found(study, capsys):
    status, trained = study("pilot=3")
    assert (status, trained) == (0, [("baseline", 0), ("baseline", 1), ("baseline", 2)])
    told = capsys.readouterr().out
    assert "with 5 seeds and looks at 2, 3, 5, a difference of " in told
    assert "mAP50-95 is found with a probability of 80 %" in told


def test_the_report_says_what_was_declared_and_at_which_look_it_was_decided(study, tmp_path):
    study()
    text = report(Options("which", str(tmp_path / "outputs"), looks=False, resamples=0))
    digest = read_study(tmp_path / "outputs", "which").declared.hash
    assert (
        f"declared before the first result (plan {digest}): 5 seeds, a margin of 0.01, looks at 2, 3, 5 seeds" in text
    )
    row = next(line for line in text.splitlines() if line.startswith("worse"))
    assert "worse (look 1 of 3)" in row
    assert "margin=" not in (tmp_path / "outputs/studies/which/report/index.html").read_text().split("</head>")[0]


@pytest.mark.parametrize(
    ("pilot", "message"),
    [
        ("1", "pilot=1 is below 2"),
        ("x", "pilot=x is not a whole number"),
        ("9", "pilot=9: give a number of the baseline's seeds, from 2 to 5"),
    ],
)
def test_a_pilot_of_no_number_is_refused(pilot, message, study):
    with pytest.raises(entry.ConfigError, match=message):
        study(f"pilot={pilot}")


def test_looks_and_other_seeds_do_not_go_together(study):
    with pytest.raises(entry.ConfigError, match=r"seeds=0,1,2: which declares looks at \[2, 3, 5\] seeds"):
        study("seeds=0..2")


def test_study_json_keeps_the_declaration(study, tmp_path):
    study("pilot=2")
    content = json.loads((tmp_path / "outputs/studies/which/study.json").read_text())
    assert content["declared"]["looks"] == [2, 3, 5]
    assert content["declared"]["known"] == 0


def test_a_metric_that_no_run_has_ends_the_study_at_its_first_run(study, tmp_path):
    file = tmp_path / "which.yaml"
    file.write_text(yaml.safe_dump({**STUDY, "metric": "ap_large"}))
    with pytest.raises(entry.ConfigError, match=r"metric=ap_large: baseline, seed 0 has finished and has no AP of"):
        study()
    assert study.trained == [("baseline", 0)]
