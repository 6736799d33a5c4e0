"""Whole runs, a sweep with its agent, a report and a workspace on a stand-in for W&B's server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from src.dashboard import Options, dashboard
from tests.conftest import TINY
from tests.fabricate import write_study
from yolo26_attention.config.schema import TrackingConfig, TrackingMode
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.run.wandb_study import log_report
from yolo26_attention.training.resuming import Resuming

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
ONLINE = [option for option in TINY if not option.startswith("tracking=")]


def said(*command, folder=ROOT):
    """What a command prints, and its exit status; W&B's own commands write a log into their working directory."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout, done.returncode


def train(folder, *overrides):
    options = ["attention=baseline", "tracking=online", *ONLINE, f"output_dir={folder}"]
    return said(sys.executable, "-m", "src.train", *options, *overrides)


def only_record(folder):
    (path,) = folder.glob("runs/*/record.json")
    return Record.read(path.parent)


@pytest.mark.slow
def test_a_whole_run_is_on_the_server(server, tmp_path):
    printed, status = train(tmp_path, "trainer.epochs=2", "tracking.upload_weights=true")
    assert status == 0, printed
    record, kept = only_record(tmp_path), server.kept.run
    assert f"Weights & Biases: {server.address}/somebody/yolo26-attention/runs/{kept.id}" in printed
    assert "upload it" not in printed
    assert (kept.epochs, kept.rewritten, kept.exit_code) == ([1, 2], [], 0)
    assert kept.id == record.tracking_id
    assert kept.summary["map50_95"] == record.metrics["map50_95"]
    assert kept.summary["parameters"] == record.model.parameters
    assert kept.config["trainer"]["epochs"] == 2
    (weights,) = server.kept.artifacts.values()
    best = next(tmp_path.glob("runs/*/train/weights/best.pt"))
    assert weights["state"] == "COMMITTED"
    assert weights["files"]["best.pt"] == best.read_bytes()


@pytest.mark.slow
def test_a_refused_run_is_no_failed_one_and_the_same_command_trains_it(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
    printed, status = train(tmp_path)
    assert (status, "Traceback" in printed) == (1, False)
    assert re.search(r"error: tracking.mode=online: .* the API key is refused: wandb login --relogin", printed)
    assert only_record(tmp_path).status == "interrupted"
    monkeypatch.setenv("WANDB_API_KEY", server.environment["WANDB_API_KEY"])
    printed, status = train(tmp_path)
    assert status == 0, printed
    assert server.kept.run.epochs == [1]


def fail_once_at(monkeypatch, epoch):
    begin = Resuming._begin_epoch

    def begun(self):
        begin(self)
        if self.epoch == epoch:
            monkeypatch.setattr(Resuming, "_begin_epoch", begin)
            raise RuntimeError("broken")

    monkeypatch.setattr(Resuming, "_begin_epoch", begun)


@pytest.mark.slow
@pytest.mark.parametrize("state_is_lost", [False, True])
def test_what_cannot_be_resumed_is_another_run_on_the_server(state_is_lost, server, composed, tmp_path, monkeypatch):
    plan = check(
        composed("attention=baseline", "tracking=online", *ONLINE, "trainer.epochs=3", f"output_dir={tmp_path}")
    )
    monkeypatch.setattr("yolo26_attention.run.runner.time.time", iter(range(1000)).__next__)
    fail_once_at(monkeypatch, 2)
    with pytest.raises(RuntimeError, match="broken"):
        run(plan, "")
    if state_is_lost:
        for state in plan.folder.glob("state*.pt"):
            state.unlink()
    record, _ = run(plan, "")
    kept = list(server.kept.runs.values())
    assert [(run.epochs, run.rewritten, run.exit_code) for run in kept] == (
        [([1, 2], [], 1), ([1, 2, 3], [], 0)] if state_is_lost else [([1, 2, 3], [], 0)]
    )
    assert record.tracking_id == kept[-1].id


@pytest.mark.slow
def test_a_study_is_created_as_a_sweep_and_an_agent_trains_its_points(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "agent"))  # otherwise the agent writes into the working directory
    (tmp_path / "agent").mkdir()
    options = ["seeds=0", *ONLINE, f"output_dir={tmp_path}"]
    printed, status = said(sys.executable, "-m", "src.sweep", "heads", "wandb=true", "tracking=online", *options)
    assert status == 0, printed
    (sweep,) = server.kept.sweeps.values()
    assert sweep["config"]["name"] == "heads"
    assert (sweep["given"]["projectName"], sweep["given"]["entityName"]) == ("yolo26-attention", None)
    path = re.search(r"wandb agent (\S+)", printed)[1]
    waiting = len(sweep["waiting"])
    printed, status = said(str(BIN / "wandb"), "agent", "--count", "1", path)
    assert status == 0, printed
    assert (sweep["agents"], len(sweep["waiting"])) == (1, waiting - 1)
    kept, record = server.kept.run, only_record(tmp_path)
    assert (kept.about["sweep"], kept.about["groupName"]) == ("sweep0", "heads")
    assert (kept.epochs, kept.exit_code, kept.summary["map50_95"]) == ([1], 0, record.metrics["map50_95"])
    assert record.config["attention"]["name"] == "baseline"
    assert record.tracking_id == kept.id == "swept0"


@pytest.mark.slow
def test_a_sweep_that_was_written_offline_is_created_by_wandb_itself(server, tmp_path):
    _, status = said(sys.executable, "-m", "src.sweep", "heads", "wandb=true", "seeds=0..1", f"output_dir={tmp_path}")
    assert status == 0
    path = tmp_path / "studies" / "heads" / "wandb_sweep.yaml"
    printed, status = said(
        str(BIN / "wandb"), "sweep", "--project", "attention", "--entity", "team", str(path), folder=tmp_path
    )
    assert status == 0, printed
    assert "wandb agent team/attention/sweep0" in printed
    (sweep,) = server.kept.sweeps.values()
    assert {point["seed"] for point in sweep["waiting"]} == {0, 1}


def test_a_report_is_logged_with_what_its_lines_are_drawn_of(server, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_bytes(b"answer")
    options = TrackingConfig(mode=TrackingMode.online, project="tests", entity="team")
    points = [{"swept/k": 3.0, "swept/k/mean": 0.4}, {"swept/k": 5.0, "swept/k/mean": 0.5}]
    assert log_report(options, "window", tmp_path / "report", tmp_path, points) == "artifact report-window"
    kept = server.kept.run
    assert (kept.about["jobType"], kept.about["groupName"], kept.about["entity"]) == ("report", "window", "team")
    assert [(row["swept/k"], row["swept/k/mean"]) for row in kept.history] == [(3.0, 0.4), (5.0, 0.5)]
    (artifact,) = server.kept.artifacts.values()
    assert artifact["files"]["report.md"] == b"answer"


def test_a_workspace_is_saved_and_its_address_printed(server, tmp_path):
    pytest.importorskip("wandb_workspaces")
    write_study(tmp_path, {"b": ({"name": "baseline"}, 0.5), "k3": ({"name": "acmix", "kernel_att": 3}, 0.51)})
    text = dashboard(Options("made_up", str(tmp_path), entity="team", save=True))
    (workspace,) = server.kept.workspaces
    assert (workspace["entityName"], workspace["projectName"]) == ("team", "tests")
    assert workspace["displayName"] == "Study made_up"
    assert "map50_95" in workspace["spec"]
    name = workspace["name"].removeprefix("nw-").removesuffix("-v")
    assert text.endswith(f"saved: {server.address}/team/tests?nw={name}")


def test_a_workspace_that_is_refused_says_why(server, tmp_path, monkeypatch):
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
    write_study(tmp_path, {"b": ({"name": "baseline"}, 0.5), "k3": ({"name": "acmix", "kernel_att": 3}, 0.51)})
    with pytest.raises(RuntimeError, match=r"could not be saved \(.*not logged in\); is this machine logged in"):
        dashboard(Options("made_up", str(tmp_path), entity="team", save=True))
