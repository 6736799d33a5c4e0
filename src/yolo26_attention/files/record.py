"""A run's folder and its record: the format that all readers of runs rely on.

outputs/runs/NAME-HASH/
    record.json     status, configuration, metrics, cost, environment, events
    config.yaml     the configuration as given, composed from conf/ and the command line
    resolved.yaml   the configuration as resolved and trained (`config` in the record)
    latency.npz     every measured time, in milliseconds
    journal.jsonl   a line per epoch, and one for every event that changed the experiment
    matches.npz     detections of best.pt on each validation image, and which were correct
    train/          Ultralytics' files: weights/best.pt, results.csv, curves, sample predictions
"""

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_origin

from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import RunFolder

# The objectives of a search, and their place in the record.
OBJECTIVES = {
    "map50_95": ("metrics", "map50_95"),
    "map50": ("metrics", "map50"),
    "precision": ("metrics", "precision"),
    "recall": ("metrics", "recall"),
    "latency_ratio": ("latency", "ratio_to_stock"),
    "parameters": ("model", "parameters"),
    "gflops": ("model", "gflops"),
}


# Format of record.json. It increases when the meaning of a field changes, so that an earlier program would misread it.
# A new field needs a default and does not increase it.
FORMAT = 1


class RunSkippedError(RuntimeError):
    """The run is skipped: another process holds it, or it failed before and retry=false."""


class ObjectiveError(RuntimeError):
    """A finished run lacks the value of an objective."""


class NewerFormatError(ValueError):
    """A later version of the program wrote the file; the message says what to do."""


@dataclass
class Record:
    """Content of record.json.

    `metrics` are those of best.pt on the validation images (fractions of 1). `ap_by_size` and `ap_by_class` are AP50-95
    of the same detections (None if no object has the size). `latency` is in milliseconds, or has only `error`, the
    reason of the failure, and `options`. `measurements` are those with other options. `seconds` is the wall-clock time
    of the process that finished the run. `given` is the configuration as composed, `config` as resolved by the checks.
    `checkpoints` has SHA-256 digests: `weights` of the starting checkpoint, `best` of best.pt as trained. Records
    without a format, without `given`, without `checkpoints` and with identity 0 are from earlier versions.
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
    training: dict[str, Any] = field(
        default_factory=dict
    )  # decided by Ultralytics: src/yolo26_attention/training/decided.py
    latency: dict[str, Any] = field(default_factory=dict)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # Dataset.counts, and changed_at when the training began
    events: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    tracking: str | None = None  # folder of the Weights & Biases run
    tracking_id: str | None = None  # its ID, which does not change when the run resumes
    seconds: float = 0.0
    given: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    identity_version: int = 0
    checkpoints: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Replace `folder`/record.json atomically, so that readers never see a part of it."""
        self.format = FORMAT
        write_atomically(RunFolder(folder).record, json.dumps(asdict(self), indent=2) + "\n")

    @property
    def score(self) -> float | None:
        """Its mAP50-95; None if the run is not finished, or if the value is missing or invalid."""
        value = self.metrics.get("map50_95")
        whole = self.status == "finished" and isinstance(value, int | float) and 0 <= value <= 1
        return value if whole else None

    def _check_kinds(self) -> None:
        for each in fields(self):
            kind = get_origin(each.type) or each.type
            value = getattr(self, each.name)
            whole_seconds = kind is float and isinstance(value, int)
            if isinstance(kind, type) and kind is not UnionType and not (isinstance(value, kind) or whole_seconds):
                raise ValueError(f"{each.name} is {value!r}")

    def objective(self, name: str) -> float:
        """Return the value of one of OBJECTIVES.

        Raises:
            ObjectiveError: if the record does not have it.
        """
        part, key = OBJECTIVES[name]
        values = getattr(self, part)
        if values.get(key) is None:
            why = values.get("error") or "; ".join(values.get("not_counted", [])) or "it was not measured"
            raise ObjectiveError(f"objectives: {self.name} has no {name} ({why}); fix that and run it again")
        return float(values[key])

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """Read the record of a folder; None if it does not exist.

        Raises:
            NewerFormatError: if a later version of the program wrote it.
            ValueError: if record.json is not a record.
        """
        path = RunFolder(folder).record
        if not path.exists():
            return None
        try:
            content = read_json(path, FORMAT)
            known = {field.name for field in fields(cls)}
            record = cls(**{"format": 0, **{key: value for key, value in content.items() if key in known}})
            record._check_kinds()
            return record
        except NewerFormatError:
            raise
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a record ({error}); move {folder} away to run it anew") from error


def read_json(path: Path, newest: int) -> dict[str, Any]:
    """Read the JSON object in a file of this program, with any fields.

    Args:
        path: path of the file.
        newest: the newest format that this version of the program reads.

    Raises:
        NewerFormatError: if a later version of the program wrote it.
        ValueError: if it is not valid JSON, or not an object.
    """
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not fields")
    found = content.get("format", 0)
    if not isinstance(found, int):
        raise ValueError(f"its format is {found!r}, not a number")
    if found > newest:
        raise NewerFormatError(
            f"{path} has format {found}, but this version of the program reads formats up to {newest}; upgrade the "
            "program, or choose another output_dir"
        )
    return content


def replaced_best(record: Record, folder: Path) -> str | None:
    """Describe a best.pt that is not the one that the run trained; None if it is, is gone, or no digest is recorded.

    Args:
        record: record of the run.
        folder: folder of the run.
    """
    best, trained = RunFolder(folder).best, record.checkpoints.get("best")
    if trained is None or not best.is_file() or (found := file_digest(best)) == trained:
        return None
    return f"{best} is not the checkpoint that this run trained (SHA-256 {found[:12]}, recorded {trained[:12]})"


def without_passwords(text: str) -> str:
    """Remove user names and passwords from the URLs in a text, such as an error about a download."""
    return re.sub(r"://[^/\s@]+@", "://***@", text)


def set_aside(folder: Path, output_dir: Path) -> Path:
    """Move a finished run's folder to `output_dir`/replaced, which reports ignore; nothing is deleted."""
    place = output_dir / "replaced"
    place.mkdir(parents=True, exist_ok=True)
    number = 1
    while (target := place / f"{folder.name}-{number}").exists():
        number += 1
    os.replace(folder, target)
    return target
