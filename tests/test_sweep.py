"""Whole studies through the command line, as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from src.sweep import main
from tests.conftest import TINY
from yolo26_attention.files.locks import run_lock

ROOT = Path(__file__).parent.parent
SMALL = tuple(option for option in TINY if option != "tracking=disabled")
BREAKS = """
import torch

class Breaks(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        if self.training and len(x) > 2:  # more than the probe gives it
            raise FloatingPointError("broke in training")
        return self.rate * x

class Exits(Breaks):
    def forward(self, x):
        if self.training and len(x) > 2:  # more than the probe gives it
            raise SystemExit(0)
        return self.rate * x
"""
STUDY = """
question: Does a study survive a run that fails?
seeds: [0]
variants:
  baseline: {attention: baseline}
  breaks: {attention: breaks, placement: p3}
  exits: {attention: exits, placement: p3}
  simam: {attention: simam, placement: [p3, p4]}
"""


def command(folder, *arguments):
    return [sys.executable, "-m", "src.sweep", *arguments, *SMALL, f"output_dir={folder / 'outputs'}"]


def sweep(folder, *arguments):
    return subprocess.run(command(folder, *arguments), cwd=ROOT, capture_output=True, text=True)


def study(folder):
    """A study file and an attention of one's own that fails in training; the arguments that name both."""
    (folder / "attention").mkdir(parents=True)
    (folder / "attention" / "breaks.yaml").write_text("name: breaks\n_target_: breaks.Breaks\n")
    (folder / "attention" / "exits.yaml").write_text("name: exits\n_target_: breaks.Exits\n")
    (folder / "breaks.py").write_text(BREAKS)
    (folder / "survives.yaml").write_text(STUDY)
    return str(folder / "survives.yaml"), "-cd", str(folder)


def listed(folder, name="survives"):
    return json.loads((folder / "outputs" / "studies" / name / "study.json").read_text())


def records(folder):
    found = [json.loads(path.read_text()) for path in folder.glob("outputs/runs/*/record.json")]
    return {record["name"].rpartition("-")[0]: record for record in found}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A study of five runs in which two fail: its folder, its arguments, and what the command did."""
    folder = tmp_path_factory.mktemp("study")
    arguments = study(folder)
    return folder, arguments, sweep(folder, *arguments)


def test_a_failing_run_is_recorded_and_the_study_goes_on(started):
    folder, _, result = started
    assert result.returncode == 1, result.stderr
    found = records(folder)
    assert {name: record["status"] for name, record in found.items()} == {
        "baseline-yolo26n-digits-s0": "finished",
        "breaks-p3-yolo26n-digits-s0": "failed",
        "exits-p3-yolo26n-digits-s0": "failed",
        "simam-p3-yolo26n-digits-s0": "finished",
        "simam-p4-yolo26n-digits-s0": "finished",
    }
    assert "Traceback" in found["breaks-p3-yolo26n-digits-s0"]["error"]
    assert "SystemExit: 0" in found["exits-p3-yolo26n-digits-s0"]["error"]
    assert "FloatingPointError: broke in training" in found["breaks-p3-yolo26n-digits-s0"]["error"]


def test_study_json_lists_the_runs_of_the_study(started):
    folder, _, _ = started
    content = listed(folder)
    assert set(content) == {"format", "name", "question", "command", "declared", "runs", "components"}
    assert [(run["variant"], run["seed"], run["swept"]) for run in content["runs"]] == [
        ("baseline", 0, {}),
        ("breaks", 0, {}),
        ("exits", 0, {}),
        ("simam placement=p3", 0, {"placement": "p3"}),
        ("simam placement=p4", 0, {"placement": "p4"}),
    ]
    assert {run["run"] for run in content["runs"]} == {path.name for path in folder.glob("outputs/runs/*")}
    assert {record["study"] for record in records(folder).values()} == {"survives"}


def test_what_a_person_sees(started):
    folder, _, result = started
    assert "study survives: run 1 of 5, baseline, seed 0; time left unknown" in result.stdout
    assert "study survives: run 5 of 5, simam placement=p4, seed 0; time left about" in result.stdout
    assert "5 runs: 3 finished, 2 failed" in result.stdout
    assert "failed: breaks, seed 0: FloatingPointError: broke in training" in result.stdout
    assert "retry=true" in result.stdout
    assert f"wandb sync {folder}/outputs/wandb/offline-run-*" in result.stdout


def test_runs_can_be_filtered_by_variant_in_wandb(started):
    folder, _, _ = started
    record = records(folder)["simam-p4-yolo26n-digits-s0"]
    wandb = str(Path(sys.executable).with_name("wandb"))
    text = subprocess.run([wandb, "leet", "inspect", "--json", record["tracking"]], capture_output=True, text=True)
    (run,) = [line for line in map(json.loads, text.stdout.splitlines()) if line["type"] == "run"]
    assert '"survives"' in json.dumps(run)
    assert '"simam placement=p4"' in json.dumps(run)
    assert '"placement=p4"' in json.dumps(run)


def test_started_again_it_trains_nothing_and_leaves_the_failed_one(started):
    folder, arguments, _ = started
    before = records(folder)
    again = sweep(folder, *arguments)
    assert again.returncode == 1
    assert "5 runs: 3 finished, 2 failed" in again.stdout
    assert records(folder) == before


def test_status_needs_no_torch(started, monkeypatch, capsys):
    folder, arguments, _ = started
    program = "import sys; sys.modules['torch'] = None; from src.sweep import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, *command(folder, *arguments, "status=true")[3:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    assert "5 runs: 3 finished, 2 failed" in result.stdout


def call(monkeypatch, *arguments):
    """The entry in this process; its exit status or message."""
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_one_impossible_point_is_named_before_the_first_run_starts(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(
        "question: Heads?\nseeds: [0]\nvariants:\n  baseline: {attention: baseline}\n"
        "  acmix: {attention: acmix, attention.heads: [4, 5]}\n"
    )
    message = call(monkeypatch, *command(tmp_path, str(tmp_path / "mine.yaml"))[3:])
    assert "impossible: acmix heads=5" in message
    assert "nothing was started" in message
    assert not (tmp_path / "outputs" / "runs").exists()
    assert not (tmp_path / "outputs" / "studies").exists()


def test_plan_names_it_too(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yaml").write_text(
        "question: Heads?\nseeds: 0..1\nvariants:\n  baseline: {attention: baseline}\n"
        "  acmix: {attention: acmix, attention.heads: [4, 5]}\n"
    )
    assert call(monkeypatch, *command(tmp_path, str(tmp_path / "mine.yaml"), "plan=true")[3:]) == 1
    printed = capsys.readouterr().out
    assert "4 runs: 4 pending; 1 variant cannot be run" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("acmix heads")] == [
        ["acmix", "heads=4", "pending", "pending"],
        ["acmix", "heads=5", "impossible", "impossible"],
    ]
    assert "impossible: acmix heads=5: " in printed
    assert not (tmp_path / "outputs" / "studies").exists()


def test_wandb_writes_the_sweep(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, *command(tmp_path, "heads", "wandb=true", "seeds=0..4")[3:]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "outputs" / "studies" / "heads" / "wandb_sweep.yaml"
    assert f"wandb sweep --project yolo26-attention {path}" in printed
    definition = yaml.safe_load(path.read_text())
    assert definition["parameters"]["seed"] == {"values": [0, 1, 2, 3, 4]}
    assert definition["parameters"]["point"]["values"][0] == "heads/baseline"


def test_wandb_online_creates_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    created = []
    monkeypatch.setattr("wandb.sweep", lambda *args, **kwargs: created.append((args, kwargs)) or "abc123")
    arguments = ["heads", "wandb=true", "tracking=online", "tracking.entity=team"]
    assert call(monkeypatch, *command(tmp_path, *arguments)[3:]) == 0
    ((definition,), where) = created[0]
    assert (definition["name"], where) == ("heads", {"project": "yolo26-attention", "entity": "team"})
    assert "wandb agent team/yolo26-attention/abc123" in capsys.readouterr().out


def test_wandb_of_a_study_that_agents_cannot_find(tmp_path, monkeypatch):
    arguments = study(tmp_path)
    assert "put survives.yaml there" in call(monkeypatch, *command(tmp_path, *arguments, "wandb=true")[3:])


def test_status_of_a_study_that_was_never_started(tmp_path, monkeypatch):
    assert "was never started" in call(monkeypatch, *command(tmp_path, "heads", "status=true")[3:])


@pytest.mark.parametrize("arguments", [["--help"], []], ids=["help", "nothing"])
def test_help_lists_the_studies(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
    main()
    assert "kernel_att     How large should ACmix's attention window be?" in capsys.readouterr().out


@pytest.mark.slow
def test_failed_runs_are_tried_again_when_asked(tmp_path):
    arguments = study(tmp_path)
    sweep(tmp_path, *arguments)
    again = sweep(tmp_path, *arguments, "retry=true")
    assert again.returncode == 1
    assert {name: record["attempts"] for name, record in records(tmp_path).items()} == {
        "baseline-yolo26n-digits-s0": 1,
        "breaks-p3-yolo26n-digits-s0": 2,
        "exits-p3-yolo26n-digits-s0": 2,
        "simam-p3-yolo26n-digits-s0": 1,
        "simam-p4-yolo26n-digits-s0": 1,
    }


@pytest.mark.slow
def test_a_run_that_another_process_is_at_is_skipped(tmp_path):
    arguments = study(tmp_path)
    sweep(tmp_path, *arguments, "plan=true")
    first = sweep(tmp_path, *arguments)
    simam = next(run["run"] for run in listed(tmp_path)["runs"] if run["variant"] == "simam placement=p4")
    assert first.returncode == 1
    for path in (tmp_path / "outputs" / "runs").glob("simam-*/record.json"):
        path.unlink()
    with run_lock(tmp_path / "outputs" / "locks" / f"{simam}.lock"):
        second = sweep(tmp_path, *arguments)
        assert "trained by another process: simam placement=p4, seed 0" in second.stdout
    assert "skipped" not in second.stdout
    assert {name: record["status"] for name, record in records(tmp_path).items()} == {
        "baseline-yolo26n-digits-s0": "finished",
        "breaks-p3-yolo26n-digits-s0": "failed",
        "exits-p3-yolo26n-digits-s0": "failed",
        "simam-p3-yolo26n-digits-s0": "finished",
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_study_says_how_to_go_on_and_goes_on(number, tmp_path):
    arguments = study(tmp_path)
    process = subprocess.Popen(command(tmp_path, *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: list(tmp_path.glob("outputs/runs/simam-*/train/weights")), process)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"go on: python -m src.sweep {arguments[0]}" in printed
    assert "interrupted" in printed
    before = records(tmp_path)
    assert before["simam-p3-yolo26n-digits-s0"]["status"] == "interrupted"
    assert "simam-p4-yolo26n-digits-s0" not in before

    assert sweep(tmp_path, *arguments).returncode == 1  # two fail
    after = records(tmp_path)
    assert after["simam-p3-yolo26n-digits-s0"]["status"] == "finished"
    assert after["simam-p4-yolo26n-digits-s0"]["status"] == "finished"
    assert after["baseline-yolo26n-digits-s0"] == before["baseline-yolo26n-digits-s0"]


@pytest.mark.slow
def test_two_processes_share_one_study(tmp_path):
    arguments = study(tmp_path)
    sweep(tmp_path, *arguments, "plan=true")
    both = [subprocess.Popen(command(tmp_path, *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    for process in both:
        process.communicate(timeout=300)
    assert {name: (record["status"], record["attempts"]) for name, record in records(tmp_path).items()} == {
        "baseline-yolo26n-digits-s0": ("finished", 1),
        "breaks-p3-yolo26n-digits-s0": ("failed", 1),
        "exits-p3-yolo26n-digits-s0": ("failed", 1),
        "simam-p3-yolo26n-digits-s0": ("finished", 1),
        "simam-p4-yolo26n-digits-s0": ("finished", 1),
    }


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the study ended before it could be stopped"
        assert time.monotonic() < end, f"nothing happened in {seconds} s"
        time.sleep(0.02)


def test_study_is_timed_together_once_its_runs_have_finished_and_again_elsewhere(tmp_path):
    """One real measurement: both variants and the stock model in one process, and no run by itself."""
    file = tmp_path / "timed.yaml"
    file.write_text(
        "question: q\nseeds: [0]\nvariants:\n  baseline: {attention: baseline}\n  simam: {attention: simam}\n"
        "common: {latency.seconds: 0.2, latency.max_pairs: 5, latency.patience: 0}\n"
    )
    options = [option for option in SMALL if option != "latency=disabled"]
    options += ["tracking=disabled", "trainer.threads=1", "latency.throughput_batches=[]"]
    outputs = tmp_path / "outputs"

    def run(*arguments):
        line = [sys.executable, "-m", "src.sweep", *arguments]
        result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    said = run(str(file), *options, f"output_dir={outputs}")
    assert "study timed, timed:" in said
    assert "NOT MEASURED" not in said
    timings = outputs / "studies" / "timed" / "timings.json"
    (target,) = json.loads(timings.read_text())["targets"]
    assert set(target["variants"]) == {"baseline", "simam"}
    assert target["variants"]["simam"]["latency"]["pairs"] == 5
    assert target["options"]["throughput_batches"] == []
    assert all(record["latency"] == {} for record in records(tmp_path).values())
    assert "study timed, timed before" in run(str(file), *options, f"output_dir={outputs}")
    outputs.rename(tmp_path / "copied")
    said = run("timed", "timing=true", "latency.imgsz=96", f"output_dir={tmp_path / 'copied'}")
    assert "eager, fp32, batch 1, 96 px" in said
    copied = tmp_path / "copied" / "studies" / "timed" / "timings.json"
    assert len(json.loads(copied.read_text())["targets"]) == 2
