"""A study that is killed with SIGKILL again and again ends as one that nobody touched."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import beside

ROOT = Path(__file__).parent.parent
KILLS = 20
STUDY = (
    "-m",
    "attention=baseline,acmix,cbam,se",
    "seed=0,1",
    "placement=p3",
    "trainer.epochs=4",
    "trainer.close_mosaic=2",
    "trainer.nbs=12",
    "tracking=offline",
    "study=chaos",
)


def start(folder):
    small = beside(STUDY)
    return subprocess.Popen(
        [sys.executable, "-m", "src.train", *STUDY, *small, f"output_dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def runs(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/record.json"))}


def numbers(folder):
    """Of every run: its metrics, the values of its epochs, and the weights it leaves."""
    found = {}
    for name, record in runs(folder).items():
        lines = (folder / "runs" / name / "journal.jsonl").read_text().splitlines()
        epochs = [entry for entry in map(json.loads, lines) if entry["event"] == "epoch"]
        best = torch.load(folder / "runs" / name / "train" / "weights" / "best.pt", weights_only=False)
        found[name] = {
            "metrics": record["metrics"],
            "epochs": [(entry["epoch"], entry["values"], entry["scalars"]) for entry in epochs],
            "weights": {
                key: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
                for key, tensor in best["model"].state_dict().items()
            },
        }
    return found


def undisturbed(folder):
    """The study's seconds up to its first run, and in all."""
    began = time.monotonic()
    process = start(folder)
    while not runs(folder):
        assert process.poll() is None
        time.sleep(0.05)
    first = time.monotonic() - began
    assert process.wait() == 0
    return first, time.monotonic() - began


@pytest.mark.chaos
def test_killed_at_random_moments_the_study_ends_the_same(tmp_path):
    calm, chaos = tmp_path / "calm", tmp_path / "chaos"
    first, whole = undisturbed(calm)
    print(f"\nundisturbed: {whole:.0f} s, {first:.0f} s of them before the first run")
    moments, kills = random.Random(0), 0
    while kills < KILLS:
        process = start(chaos)
        try:
            process.wait(moments.uniform(0.9 * first, 1.2 * first + (whole - first) / 8))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
            states = [record["status"] for record in runs(chaos).values()]
            print(f"kill {kills}: {states.count('finished')} finished, {states.count('running')} cut off")
        process.wait()
    last = start(chaos)
    assert last.wait() == 0

    records = runs(chaos)
    assert len(records) == 8
    assert {record["status"] for record in records.values()} == {"finished"}
    attempts = [record["attempts"] for record in records.values()]
    resumed = [event["epoch"] for record in records.values() for event in record["events"]]
    print(f"attempts {attempts}; went on in epochs {resumed}")
    assert max(attempts) > 1
    assert resumed
    assert not (chaos / "replaced").exists()
    assert [path for path in chaos.rglob("*") if path.suffix == ".partial" or path.name.startswith("state.")] == []
    assert len(list(chaos.glob("wandb/offline-run-*"))) == 8
    assert numbers(chaos) == numbers(calm)
