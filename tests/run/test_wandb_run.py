"""What W&B really wrote, read back with its own command."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.fabricate import latency_of, model_of
from yolo26_attention.config.schema import TrackingConfig, TrackingMode
from yolo26_attention.files.journal import Entry, Kind
from yolo26_attention.files.latency import PeakMemory, Throughput
from yolo26_attention.files.record import Record
from yolo26_attention.run.wandb_journal import Tracker
from yolo26_attention.run.wandb_run import open_tracker

OPTIONS = TrackingConfig(mode=TrackingMode.offline, project="tests", tags=["mine"])
EPOCHS = [
    Entry(
        Kind.EPOCH,
        details={
            "epoch": epoch,
            "values": {"train/box_loss": 1.0 / epoch, "metrics/mAP50-95(B)": 0.1 * epoch},
            "scalars": {"p3/rate1": 0.5 + 0.01 * epoch},
        },
    )
    for epoch in (1, 2)
]


def leet(*arguments):
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def track(folder, body):
    with open_tracker(
        OPTIONS,
        run_id="abc-1",
        name="acmix-p3",
        group="study-1",
        tags=["acmix"],
        config={"attention": {"kernel_att": 7}, "seed": 3},
        folder=folder,
    ) as tracker:
        path = tracker.folder
        body(tracker)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    record = Record(
        run_id="abc",
        name="acmix-p3",
        study="study-1",
        seed=3,
        config={},
        metrics={"map50_95": 0.25},
        model=model_of(parameters=12, gflops=0.5),
        latency=latency_of(
            1.25,
            p50_ms=3.0,
            memory=PeakMemory(9.5, 9.0, 9.5 / 9.0, "bytes"),
            throughput={"8": Throughput(80.0, 100.0, 0.8, 7)},
            options={"batch": 1},
        ),
        seconds=7.0,
    )

    def body(tracker):
        tracker.follow(EPOCHS[:1])
        tracker.follow(EPOCHS)
        samples = tmp_path_factory.mktemp("run") / "latency.npz"
        np.savez(samples, model_ms=np.array([1.0, 1.0, 2.0]))
        tracker.finish(record, Path("/nowhere"), samples)

    return track(tmp_path_factory.mktemp("wandb"), body)


def test_summary_holds_plain_numbers(finished):
    run = json.loads(leet("--summary", str(finished)))
    assert (run["name"], run["state"], run["exit_code"]) == ("acmix-p3", "finished", 0)
    assert run["tags"] == ["acmix", "mine"]
    assert run["config"]["attention"] == {"kernel_att": 7}
    expected = {"map50_95": 0.25, "parameters": 12, "gflops": 0.5, "latency_p50_ms": 3.0}
    expected |= {"latency_memory_peak_mb": 9.5, "latency_throughput_8_images_per_second": 80.0, "latency_busy": False}
    expected |= {"latency_ratio_to_stock": 1.25, "seconds": 7.0, "run_id": "abc"}
    assert {key: run["summary"][key] for key in expected} == expected


def test_every_epoch_is_logged_once_with_the_rates(finished):
    records = [json.loads(line) for line in leet(str(finished)).splitlines()]
    history = [entry for entry in records if entry["type"] == "history"]
    text = json.dumps(history)
    assert [entry["history"]["item"].get("epoch") for entry in history] == [1, 2, None], "the last one is the histogram"
    assert "attention/p3/rate1" in text
    assert "metrics/mAP50-95" in text
    assert "(B)" not in text


def test_latencies_are_a_histogram(finished):
    assert '"latency/model_ms._type":"histogram"' in leet(str(finished))


def test_missing_samples_are_no_histogram(tmp_path):
    record = Record(run_id="abc", name="a", study="s", seed=3, config={})
    path = track(tmp_path, lambda tracker: tracker.finish(record, tmp_path, tmp_path / "none.npz"))
    assert '_type":"histogram"' not in leet(str(path))


def test_plots_that_are_there_are_images(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "BoxPR_curve.png")
    record = Record(run_id="abc", name="a", study="s", seed=3, config={})
    text = leet(str(track(tmp_path, lambda tracker: tracker.finish(record, tmp_path))))
    assert "plots/PR curve" in text
    assert "plots/confusion matrix" not in text


def test_group_is_the_study(finished):
    assert '"study-1"' in leet(str(finished))


def test_failure_is_marked(tmp_path):
    paths = []

    def body(tracker):
        paths.append(tracker.folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        track(tmp_path, body)
    run = json.loads(leet("--summary", str(paths[0])))
    assert (run["state"], run["exit_code"]) == ("failed", 1)


def test_continued_it_is_one_run_with_every_epoch(tmp_path):
    def cut_off(tracker):
        tracker.follow(EPOCHS[:1])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track(tmp_path, cut_off)
    other = tmp_path / "wandb" / "offline-run-20260101_000000-other"
    other.mkdir()
    path = track(tmp_path, lambda tracker: tracker.follow(EPOCHS))
    assert set(tmp_path.glob("wandb/offline-run-*")) == {path, other}
    run = json.loads(leet("--summary", str(path)))
    assert (run["run_id"], run["state"]) == ("abc-1", "finished")
    records = [json.loads(line) for line in leet(str(path)).splitlines()]
    assert [entry["history"]["item"]["epoch"] for entry in records if entry["type"] == "history"] == [1, 2]


def test_continued_online_it_logs_what_the_server_lacks():
    logged = []
    run = SimpleNamespace(starting_step=2, log=lambda values, step, commit: logged.append(step))
    Tracker(run).follow(EPOCHS)
    assert logged == [2]


def test_an_epoch_that_was_logged_is_not_logged_again():
    logged = []
    run = SimpleNamespace(starting_step=0, log=lambda values, step, commit: logged.append((step, values["epoch"])))
    tracker = Tracker(run)
    for epochs in (EPOCHS[:1], EPOCHS, EPOCHS):
        tracker.follow(epochs)
    assert logged == [(1, 1), (2, 2)]


def test_a_wandb_that_fails_is_given_up_and_the_next_run_has_one_of_its_own(monkeypatch):
    closed = []
    monkeypatch.setattr("wandb.teardown", lambda exit_code: closed.append(exit_code))
    monkeypatch.setenv("WANDB_SERVICE", "of a process that is gone")

    def full(*arguments, **options):
        raise OSError("no space left on device")

    tracker = Tracker(SimpleNamespace(starting_step=0, log=full))
    tracker.follow(EPOCHS)
    assert tracker.lost == "OSError: no space left on device"
    assert (closed, tracker.folder, "WANDB_SERVICE" in os.environ) == ([1], None, False)
    tracker.follow(EPOCHS)
    tracker.close()


def test_disabled_needs_no_wandb(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with open_tracker(
        replace(OPTIONS, mode=TrackingMode.disabled),
        run_id="a",
        name="a",
        group="g",
        tags=[],
        config={},
        folder=tmp_path,
    ) as tracker:
        tracker.follow(EPOCHS)
        assert tracker.folder is None
    assert list(tmp_path.iterdir()) == []


def test_tracker_without_run_keeps_quiet():
    Tracker().upload(Path("best.pt"), "name")
