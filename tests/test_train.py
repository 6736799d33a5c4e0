"""Whole runs through the command line, as a user starts them."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from src.train import train_one
from tests.conftest import TINY, beside
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.run.inputs import DataChangedError
from yolo26_attention.statistics import mean_average_precision
from yolo26_attention.study.runs import write_study

ROOT = Path(__file__).parent.parent
SMALL = tuple(option for option in TINY if option not in {"tracking=disabled", "latency=disabled"})


def command(folder, *overrides):
    """A tiny run; an override takes the place of the tiny run's own value."""
    small = beside(overrides, base=SMALL)
    return [sys.executable, "-m", "src.train", *overrides, *small, f"output_dir={folder}", "latency.seconds=0.5"]


def train(folder, *overrides, check=True):
    result = subprocess.run(command(folder, *overrides), cwd=ROOT, capture_output=True, text=True)
    assert not check or result.returncode == 0, result.stderr
    return result


def start(folder, *overrides):
    return subprocess.Popen(command(folder, *overrides), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def records(folder):
    return {path.parent: json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/record.json"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One ACmix run of two epochs with everything switched on: its folder, its record, and what it printed."""
    output_dir = tmp_path_factory.mktemp("run")
    result = train(output_dir, "attention=acmix", "trainer.epochs=2", "trainer.plots=true")
    ((folder, record),) = records(output_dir).items()
    return folder, record, result.stdout


def test_record_is_complete(finished):
    folder, record, _ = finished
    assert record["status"] == "finished"
    assert folder.name == f"acmix-p3+p4+p5-yolo26n-digits-s0-{record['run_id']}"
    assert set(record["metrics"]) == {"map50_95", "map50", "precision", "recall"}
    assert record["model"]["parameters"] > 2_000_000
    assert (record["model"]["stock_tensors_loaded"], record["model"]["stock_tensors_total"]) == (0, 708)
    latency = record["latency"]
    keys = {"p50_ms", "p95_ms", "p99_ms", "stock_p50_ms", "ratio_to_stock", "ratio_low", "ratio_high", "pairs"}
    assert keys | {"busy", "throttled", "backend", "precision", "batch", "imgsz", "memory"} <= set(latency)
    assert keys <= set(latency["end_to_end"])
    assert (latency["ratio_to_stock"] > 0, latency["backend"], latency["imgsz"]) == (True, "eager", 64)
    assert record["environment"]["packages"]["ultralytics"] == "8.4.190"
    assert record["events"] == []
    assert record["seconds"] > 0
    assert record["config"]["attention"]["kernel_att"] == 7


def test_folder_holds_what_the_readme_lists(finished):
    folder, record, _ = finished
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "journal.jsonl",
        "latency.npz",
        "matches.npz",
        "record.json",
        "resolved.yaml",
        "train",
    }
    assert (folder / "train" / "weights" / "best.pt").exists()
    assert (folder / "train" / "results.csv").exists()
    with np.load(folder / "latency.npz") as samples:
        assert len(samples["model_ms"]) == record["latency"]["pairs"]
    assert not list(folder.rglob("*.partial"))


def test_matches_give_the_recorded_map(finished):
    folder, record, _ = finished
    kept = read_matches(folder / "matches.npz")
    maps = record["metrics"]["map50_95"], record["metrics"]["map50"]
    assert mean_average_precision(kept.matches) == pytest.approx(maps, abs=1e-9)
    assert len(kept.images) == 8
    assert set(record["ap_by_size"]) == {"small", "medium", "large"}
    assert np.mean(list(record["ap_by_class"].values())) == pytest.approx(maps[0])


def test_table_shows_the_record(finished):
    _, record, printed = finished
    assert re.search(rf"mAP50-95 +{record['metrics']['map50_95']:.4f}", printed)
    assert f"{record['latency']['ratio_to_stock']:.3f}" in printed
    assert "wandb leet" in printed
    assert "wandb sync" in printed


def test_wandb_run_of_the_run(finished):
    folder, record, _ = finished
    wandb = str(Path(sys.executable).with_name("wandb"))
    output = subprocess.run(
        [wandb, "leet", "inspect", "--json", record["tracking"]], capture_output=True, text=True, check=True
    ).stdout
    for expected in (
        "attention/p5/rate2",
        "train/box_loss",
        "lr/pg0",
        "plots/PR curve",
        "plots/validation predictions",
        "latency/model_ms",
        "latency/end_to_end_stock_ms",
    ):
        assert expected in output
    summary = json.loads(
        subprocess.run(
            [wandb, "leet", "inspect", "--summary", "--json", record["tracking"]],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert summary["state"] == "finished"
    assert summary["summary"]["map50_95"] == record["metrics"]["map50_95"]
    assert summary["summary"]["latency_p50_ms"] == record["latency"]["p50_ms"]
    assert Path(record["tracking"]).parent == folder.parent.parent / "wandb"


def test_checkpoint_reloads_in_a_fresh_process(finished):
    folder, _, _ = finished
    program = (
        "import sys; from ultralytics import YOLO\n"
        "model = YOLO(sys.argv[1])\n"
        "print(type(model.model.model[16].attention).__name__)\n"
        "model.predict(__import__('numpy').zeros((64, 96, 3), 'uint8'), verbose=False)"
    )
    best = str(folder / "train" / "weights" / "best.pt")
    result = subprocess.run([sys.executable, "-c", program, best], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "ACmix" in result.stdout


def test_asked_again_it_trains_nothing(finished):
    folder, record, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    result = train(folder.parent.parent, "attention=acmix", "trainer.epochs=2", "trainer.plots=true")
    assert "finished before; nothing was trained" in result.stdout
    assert f"{record['metrics']['map50_95']:.4f}" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_forced_again_every_metric_is_equal_to_the_last_digit(finished):
    folder, record, _ = finished
    train(folder.parent.parent, "attention=acmix", "trainer.epochs=2", "trainer.plots=true", "force=true")
    again = json.loads((folder / "record.json").read_text())
    assert again["metrics"] == record["metrics"]
    first = (folder.parent.parent / "replaced" / f"{folder.name}-1" / "journal.jsonl").read_text()
    values = [
        [json.loads(line).get("values") for line in text.splitlines()]
        for text in (first, (folder / "journal.jsonl").read_text())
    ]
    assert values[0] == values[1]


@pytest.mark.slow
def test_killed_after_its_last_epoch_it_is_not_trained_again(finished, tmp_path):
    _, expected, _ = finished
    overrides = ("attention=acmix", "trainer.epochs=2", "trainer.plots=true")
    process = start(tmp_path, *overrides)
    wait_for(lambda: journal_events(tmp_path).count("epoch") == 2, process)
    process.kill()
    process.wait()
    train(tmp_path, *overrides)
    ((folder, record),) = records(tmp_path).items()
    assert record["metrics"] == expected["metrics"]
    assert record["events"][-1]["event"] == "resume"
    assert [entry["epoch"] for entry in journal(folder) if entry["event"] == "epoch"] == [1, 2]
    assert len(read_matches(folder / "matches.npz").images)


@pytest.mark.slow
def test_sweep_runs_each_once(tmp_path):
    sweep = ("-m", "attention=baseline,acmix", "seed=0,1")
    train(tmp_path, *sweep)
    first = records(tmp_path)
    assert sorted((r["config"]["attention"]["name"], r["seed"]) for r in first.values()) == [
        ("acmix", 0),
        ("acmix", 1),
        ("baseline", 0),
        ("baseline", 1),
    ]
    assert {r["status"] for r in first.values()} == {"finished"}
    assert len({r["tracking"] for r in first.values()}) == 4
    again = train(tmp_path, *sweep)
    assert again.stdout.count("nothing was trained") == 4
    assert records(tmp_path) == first


def test_killed_run_continues(tmp_path):
    overrides = ("attention=acmix", "trainer.epochs=3", "data.train_images=64", "trainer.fraction=1.0")
    process = start(tmp_path, *overrides)
    wait_for(lambda: "epoch" in journal_events(tmp_path), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ((_, killed),) = records(tmp_path).items()
    assert killed["status"] == "running"

    train(tmp_path, *overrides)
    ((folder, record),) = records(tmp_path).items()
    assert record["status"] == "finished"
    assert record["attempts"] == 2
    assert [event["event"] for event in record["events"]] == ["resume"]
    epochs = [entry["epoch"] for entry in journal(folder) if entry["event"] == "epoch"]
    assert epochs == [1, 2, 3]
    rows = (folder / "train" / "results.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0].strip() for row in rows] == ["1", "2", "3"]
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    assert str(folder) == record["tracking"]
    assert logged_epochs(folder) == [1, 2, 3]


def logged_epochs(folder):
    """Epochs in a W&B run, read back with its own command."""
    wandb = str(Path(sys.executable).with_name("wandb"))
    output = subprocess.run([wandb, "leet", "inspect", "--json", folder], capture_output=True, text=True, check=True)
    entries = [json.loads(line) for line in output.stdout.splitlines()]
    items = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    return [item["epoch"] for item in items if "epoch" in item]


@pytest.mark.slow
def test_terminated_run_is_interrupted_and_continues(tmp_path):
    overrides = ("attention=baseline", "trainer.epochs=3", "data.train_images=64", "trainer.fraction=1.0")
    process = start(tmp_path, *overrides)
    wait_for(lambda: "epoch" in journal_events(tmp_path), process)
    process.terminate()
    assert process.wait() != 0
    ((_, record),) = records(tmp_path).items()
    assert record["status"] == "interrupted"
    train(tmp_path, *overrides)
    ((_, record),) = records(tmp_path).items()
    assert record["status"] == "finished"


def test_bad_configuration_ends_in_one_line(tmp_path):
    result = train(tmp_path, "attention.heads=5", check=False)
    assert result.returncode == 1
    assert re.search(r"^error: attention at site p3: heads=5 does not divide", result.stderr, re.MULTILINE)
    assert "Traceback" not in result.stderr
    assert records(tmp_path) == {}


def test_bad_point_of_a_sweep_fails_it_and_the_others_run(tmp_path):
    result = train(tmp_path, "-m", "attention=acmix", "attention.heads=5,4", check=False)
    assert result.returncode == 1
    assert "heads=5 does not divide" in result.stdout + result.stderr
    assert [record["status"] for record in records(tmp_path).values()] == ["finished"]


def journal(folder):
    path = folder / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def journal_events(output_dir):
    """Events of the one run, once its first checkpoint is there."""
    folders = [path for path in output_dir.glob("runs/*") if (path / "train/weights/last.pt").exists()]
    return [entry["event"] for folder in folders for entry in journal(folder)]


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < end, f"nothing happened in {seconds} s"
        time.sleep(0.02)


def test_returned_value_is_the_metric_for_sweepers(tmp_path):
    program = (
        "import sys, json; from hydra.core.hydra_config import HydraConfig; import src.train as t\n"
        "from yolo26_attention.config.registration import register_configs\n"
        "register_configs()\n"
        "inner = t.train.__wrapped__\n"
        "import hydra\n"
        "@hydra.main(config_path=sys.argv.pop(1), config_name='config', version_base='1.3')\n"
        "def main(config): print('VALUE', inner(config))\n"
        "main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "conf"), *command(tmp_path)[3:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    ((_, record),) = records(tmp_path).items()
    assert f"VALUE {record['metrics']['map50_95']}" in result.stdout


def test_garbage_waits_while_a_run_is_checked(monkeypatch):
    seen = []

    def refused(config):
        seen.append(gc.isenabled())
        raise ConfigError("not this one")

    monkeypatch.setattr("src.train._to_its_end", refused)
    with pytest.raises(ConfigError):
        train_one(OmegaConf.create())
    assert seen == [False]
    assert gc.isenabled()


def test_a_run_outside_the_list_of_its_study_and_a_reused_one_are_said(tmp_path):
    write_study(tmp_path, "listed", "What?", "python -m src.sweep listed", [])
    result = train(tmp_path, "attention=baseline", "study=listed", "latency=disabled")
    ((folder, _),) = records(tmp_path).items()
    assert result.stdout.count(f"study=listed does not list {folder.name} in ") == 1
    assert "was trained by study" not in result.stdout
    result = train(tmp_path, "attention=baseline", "study=other", "latency=disabled")
    assert result.stdout.count(f"study=other: {folder.name} was trained by study listed and stays its run") == 1
    assert "does not list" not in result.stdout


def test_an_output_dir_that_the_locale_cannot_encode_is_refused_in_words(tmp_path):
    wanted = tmp_path / "实验"
    result = subprocess.run(
        [sys.executable, "-m", "src.train", *TINY, f"output_dir='{wanted}'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: output_dir=")
    assert "set PYTHONUTF8=1, or a UTF-8 locale" in result.stderr
    assert not wanted.exists()


def test_data_that_is_edited_during_a_run_ends_it_in_one_line(monkeypatch):
    def changed(*_):
        raise DataChangedError("data=x changed")

    monkeypatch.setattr("yolo26_attention.run.runner.run", changed)
    monkeypatch.setattr(
        "yolo26_attention.plan.checks.check",
        lambda _: SimpleNamespace(folder=Path("a"), dataset=SimpleNamespace(notes=[])),
    )
    monkeypatch.setattr("yolo26_attention.study.expectation.expectation", lambda _: None)
    monkeypatch.setattr("src.train.job_config", lambda config, convert: config)
    monkeypatch.setattr("src.train.check_values", lambda _: None)
    monkeypatch.setattr("src.train.HydraConfig.get", lambda: SimpleNamespace(mode=RunMode.RUN))
    with pytest.raises(SystemExit, match="error: data=x changed"):
        train_one(OmegaConf.create({"output_dir": "nowhere", "study": "s"}))
