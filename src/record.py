"""A run's identity, its folder and its record: the contract with everything that reads a run later.

outputs/runs/NAME-HASH/
    record.json     status, configuration, metrics, cost, environment, events; written atomically
    config.yaml     the resolved configuration
    latency.npz     every time that was taken, in milliseconds
    journal.jsonl   a line an epoch, and one for every event that changed the experiment
    matches.npz     what best.pt found on each validation image, and which of it was right
    train/          what Ultralytics writes: weights/best.pt, results.csv, curves, sample predictions
"""

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from src.files import write_atomically

# What does not define the experiment: where it runs, where it writes, who watches, how it is timed.
NOT_IDENTITY = ("tracking", "latency", "study", "output_dir", "force", "retry", "trust", "objectives")
LOCK_ATTEMPTS = 5
NOT_IDENTITY_TRAINER = ("device", "workers", "threads", "cache", "plots", "save_period")
# What a search may look for, and where the record has it.
OBJECTIVES = {
    "map50_95": ("metrics", "map50_95"),
    "map50": ("metrics", "map50"),
    "precision": ("metrics", "precision"),
    "recall": ("metrics", "recall"),
    "latency_ratio": ("latency", "ratio_to_stock"),
    "parameters": ("model", "parameters"),
    "gflops": ("model", "gflops"),
}


class RunSkippedError(RuntimeError):
    """A run that is left alone: another process is at it, or it failed and nobody asked for another try."""


class ObjectiveError(RuntimeError):
    """A finished run that does not have the number that a search asks for."""


@dataclass
class Record:
    """Content of record.json.

    `metrics` are those of best.pt on the validation images (fractions of 1), `ap_by_size` and `ap_by_class` AP50-95 of
    the same detections (None where there is no object of the size), `latency` is in milliseconds (or has only
    `error`, why it could not be measured, and `options`), `measurements` are those with other options, `seconds` is the
    wall-clock time of the process that finished the run.
    """

    run_id: str
    name: str
    study: str
    seed: int
    config: dict[str, Any]
    status: str = "running"  # running, finished, failed, interrupted
    attempts: int = 1
    metrics: dict[str, float] = field(default_factory=dict)
    ap_by_size: dict[str, float | None] = field(default_factory=dict)
    ap_by_class: dict[str, float] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: list[dict[str, Any]] = field(default_factory=list)
    latency: dict[str, Any] = field(default_factory=dict)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # identity and counts of the data set: Dataset.counts
    events: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    tracking: str | None = None  # folder of the Weights & Biases run
    tracking_id: str | None = None  # its id, the same however often the run is continued
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Replace `folder`/record.json in one step, so that no reader ever sees half of it."""
        write_atomically(folder / "record.json", json.dumps(asdict(self), indent=2) + "\n")

    def objective(self, name: str) -> float:
        """A value of OBJECTIVES.

        Raises:
            ObjectiveError: if the record does not have it.
        """
        part, key = OBJECTIVES[name]
        values = getattr(self, part)
        if values.get(key) is None:
            why = values.get("error") or "; ".join(values.get("not_counted", [])) or "it was not measured"
            raise ObjectiveError(f"objectives: {self.name} has no {name} ({why}); mend that and start it again")
        return float(values[key])

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """The record of a folder; None where there is none.

        Raises:
            ValueError: if record.json is there but is not a record.
        """
        path = folder / "record.json"
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a record ({error}); move {folder} away to run it anew") from error


def without_passwords(text: str) -> str:
    """A text whose addresses have no user and password any more, such as an error about a download."""
    return re.sub(r"://[^/\s@]+@", "://***@", text)


def defining(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a resolved configuration defines the experiment, without what has no effect on its result."""
    content = {key: value for key, value in config.items() if key not in NOT_IDENTITY}
    content["trainer"] = {key: value for key, value in config["trainer"].items() if key not in NOT_IDENTITY_TRAINER}
    if config["attention"]["name"] != "placebo":
        del content["placebo"]  # it says what the placebo stands for
    if config["attention"]["name"] == "baseline":
        # They have no effect there: one baseline serves every placement and every treatment of the graft.
        del content["placement"]
        content["optimizer"] = {k: v for k, v in config["optimizer"].items() if k != "attention"}
    return content


def identity(config: Mapping[str, Any], data: str, weights: str | None) -> str:
    """Twelve hexadecimal digits that name an experiment.

    Args:
        config: the resolved configuration as plain values.
        data: fingerprint of the data set, in place of its path.
        weights: fingerprint of the starting checkpoint, in place of its path; None for a random start.
    """
    content = defining(config)
    content["data"] = data
    content["model"] = {"name": config["model"]["name"], "weights": weights}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def readable_name(config: Mapping[str, Any]) -> str:
    """What a person wants to read off a folder: attention, sites, mode and gate if unusual, model, data set, seed."""
    attention, placement = config["attention"]["name"], config["placement"]
    if attention == "placebo":
        attention = f"placebo_of_{config['placebo']['matches']}"
    where = []
    if attention != "baseline":
        where = ["+".join(placement["sites"])]
        where += [placement["mode"]] if placement["mode"] != "append" else []
        where += [f"gate_{placement['gate']}"] if placement["gate"] != "none" else []
    return "-".join([attention, *where, config["model"]["name"], config["data"]["name"], f"s{config['seed']}"])


def lock_file(output_dir: Path, run: str) -> Path:
    """Where the lock of a run lies, by the name of the run's folder."""
    return output_dir / "locks" / f"{run}.lock"


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Keep a second process off a run; the lock goes with the process, however it ends.

    Raises:
        RunSkippedError: if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for attempt in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == LOCK_ATTEMPTS - 1:
                    raise RunSkippedError(
                        f"another process holds {path}: it is at this very run; wait for it, or change a setting"
                    ) from error
                time.sleep(0.02)  # `is_locked` holds it for an instant, too
        yield


def is_locked(path: Path) -> bool:
    """Whether a process is at the run of this lock."""
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def set_aside(folder: Path, output_dir: Path) -> Path:
    """Move a finished run's folder to `output_dir`/replaced, where reports do not look; nothing is deleted."""
    place = output_dir / "replaced"
    place.mkdir(parents=True, exist_ok=True)
    number = 1
    while (target := place / f"{folder.name}-{number}").exists():
        number += 1
    os.replace(folder, target)
    return target
