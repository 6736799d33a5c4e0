"""Whole trainings on a GPU: killed and continued, begun on a CPU, two of one seed; and a run with its record."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_day_notes import DRY, WORK, Notes
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import epochs, read_journal

DEVICE = "cpu" if DRY else "0"
EPOCHS, SIDE = (2, 64) if DRY else (3, 320)
# Small enough that four of them at a time end within a minute and a half, imports included.
OPTIONS = [
    *("attention=acmix", "placement=p3", "trainer=debug", "trainer.fraction=1.0", "trainer.workers=8"),
    *("trainer.plots=false", "tracking=disabled", f"trainer.epochs={EPOCHS}"),
    *(f"trainer.batch={4 if DRY else 16}", f"trainer.imgsz={SIDE}", f"data.imgsz={SIDE}"),
    *(f"data.train_images={16 if DRY else 256}", f"data.val_images={8 if DRY else 32}"),
]


def command(folder: Path, *options: str) -> list[str]:
    """A training whose outputs go to a folder, by the command that users type."""
    keys = {option.split("=")[0] for option in options}
    kept = [option for option in OPTIONS if option.split("=")[0] not in keys]
    return [sys.executable, "-m", "src.train", *kept, *options, f"output_dir={folder}"]


def begin(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a training in a process group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    log = (folder / "log.txt").open("a")
    return subprocess.Popen(command(folder, *options), stdout=log, stderr=subprocess.STDOUT, text=True, process_group=0)


def run_of(folder: Path) -> RunFolder:
    """The only run in an output folder."""
    (run,) = (path for path in (folder / "runs").glob("*") if path.is_dir())
    return RunFolder(run)


def kill_after_first_epoch(process: subprocess.Popen[str], folder: Path) -> None:
    """Kill a training once its first epoch is in its journal and its state is written."""
    while process.poll() is None:
        found = list((folder / "runs").glob("*/state.pt"))
        if found and epochs(read_journal(RunFolder(found[0].parent).journal)):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.05)
    raise RuntimeError(f"the training ended before it could be killed: {tail(folder)}")


def tail(folder: Path) -> str:
    """The end of a training's output."""
    return " / ".join((folder / "log.txt").read_text(errors="replace").strip().splitlines()[-4:])


def finish(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """Wait for a training and read its record."""
    if process.wait() != 0:
        raise RuntimeError(f"the training failed: {tail(folder)}")
    record: dict[str, Any] = json.loads(run_of(folder).record.read_text(encoding="utf-8"))
    return record


def difference(one: Path, other: Path) -> float:
    """Largest difference of the weights of two trainings' last.pt, relative to the largest weight; 0 if bit for bit."""
    states = [
        torch.load(run_of(folder).train / "weights" / "last.pt", map_location="cpu", weights_only=False)["model"]
        for folder in (one, other)
    ]
    first, second = (model.float().state_dict() for model in states)
    if all(torch.equal(value, second[name]) for name, value in first.items()):
        return 0.0
    return max(
        float((value - second[name]).abs().max() / value.abs().max().clamp(min=1e-9))
        for name, value in first.items()
        if value.numel() and value.is_floating_point()
    )


def trainings(notes: Notes) -> None:
    """Undisturbed, again with the same seed, killed and continued, begun on a CPU: all at the same time."""
    base = WORK / "runs"
    folders = {name: base / name for name in ("undisturbed", "again", "killed", "from_cpu")}
    quiet = "latency=disabled"
    processes = {
        name: begin(folders[name], quiet, f"trainer.device={DEVICE}") for name in ("undisturbed", "again", "killed")
    }
    processes["from_cpu"] = begin(folders["from_cpu"], quiet, "trainer.device=cpu")
    for name in ("killed", "from_cpu"):
        with notes.kept(f"kill {name}"):
            kill_after_first_epoch(processes[name], folders[name])
            processes[name] = begin(folders[name], quiet, f"trainer.device={DEVICE}")
    records = {}
    for name, process in processes.items():
        with notes.kept(name):
            record = finish(process, folders[name])
            records[name] = record
            ran = record["training"]
            cells = {"mAP50-95": record["metrics"]["map50_95"], "seconds": record["seconds"]}
            cells |= {"precision": ran.get("precision"), "workers": ran.get("workers")}
            notes.row("trainings", training=name, **cells, events=[event["event"] for event in record["events"]])
    for name, question in (
        ("again", "two runs of one seed: largest relative difference of weights"),
        ("killed", "killed and continued, against undisturbed"),
    ):
        with notes.kept(question):
            found = difference(folders["undisturbed"], folders[name])
            notes.verdict(question, found, "0, bit for bit", found == 0)
    events = [event["event"] for event in records.get("from_cpu", {}).get("events", [])]
    met = "from_cpu" in records and (DRY or "hardware_changed" in events)
    notes.verdict("begun on the CPU, continued on the GPU", events or "failed", "finished, and says so", met)


def run(notes: Notes) -> None:
    """A debug run end to end with its latency; does the record hold what the machine did?"""
    folder = WORK / "runs" / "measured"
    options = ["latency.seconds=2", "latency.throughput_batches=[8]", f"trainer.device={DEVICE}", "trainer.epochs=1"]
    record = finish(begin(folder, *options), folder)
    latency = record["latency"]
    if "error" in latency:
        notes.verdict("a run's latency is measured", latency["error"], "measured", False)
        return
    seen = latency["machine"].get("gpu") or {}
    facts = {
        "precision": latency["precision"],
        "implementations": latency["implementations"],
        "latency / stock": latency["ratio_to_stock"],
        "throttled": latency["throttled"],
        "busy": latency["busy"],
        "joules per image": latency["throughput"].get("8", {}).get("joules_per_image"),
        **{
            key: seen.get(key) for key in ("sm_clock_mhz", "watts", "celsius", "throttle_reasons", "processes", "error")
        },
        **{key: record["environment"].get(key) for key in ("device", "compute_capability", "cuda", "cudnn", "driver")},
    }
    for what, value in facts.items():
        notes.row("record", what=what, value=value)
    needed = ("throttled", "joules per image", "sm_clock_mhz", "watts", "throttle_reasons")
    absent = [] if DRY else [what for what in needed if facts[what] is None]
    notes.verdict(
        "the record has clocks, power, joules, throttling", f"without {absent}" if absent else "all", "all", not absent
    )
    finite = math.isfinite(latency["ratio_to_stock"])
    notes.verdict("a run's latency is measured", latency["ratio_to_stock"], "measured", finite)
