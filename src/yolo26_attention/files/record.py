"""A run's folder and its record: the contract with everything that reads a run later.

outputs/runs/NAME-HASH/
    record.json     status, configuration, metrics, cost, environment, events
    config.yaml     the configuration as it was given, composed from conf/ and the command line
    resolved.yaml   the one that was trained, with everything that was looked up (`config` in the record)
    latency.npz     every time that was taken, in milliseconds
    journal.jsonl   a line an epoch, and one for every event that changed the experiment
    matches.npz     what best.pt found on each validation image, and which of it was right
    train/          what Ultralytics writes: weights/best.pt, results.csv, curves, sample predictions
"""

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_origin

from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.folder import RunFolder

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


# Of record.json. It goes up when what a field means changes, so that an earlier program would misread it; a field that
# is added needs a default and leaves it as it is.
FORMAT = 1


class RunSkippedError(RuntimeError):
    """A run that is left alone: another process is at it, or it failed and nobody asked for another try."""


class ObjectiveError(RuntimeError):
    """A finished run that does not have the number that a search asks for."""


class NewerFormatError(ValueError):
    """A file that a later version of the program wrote; the message says so and what to do."""


@dataclass
class Record:
    """Content of record.json.

    `metrics` are those of best.pt on the validation images (fractions of 1), `ap_by_size` and `ap_by_class` AP50-95 of
    the same detections (None where there is no object of the size), `latency` is in milliseconds (or has only
    `error`, why it could not be measured, and `options`), `measurements` are those with other options, `seconds` is the
    wall-clock time of the process that finished the run. `given` is the configuration as composed, `config` as resolved
    by the checks. Records without a format, without `given` and with identity 0 are of earlier versions.
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
    )  # what Ultralytics decided: src/yolo26_attention/training/decided.py
    latency: dict[str, Any] = field(default_factory=dict)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # identity and counts of the data set: Dataset.counts
    events: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    tracking: str | None = None  # folder of the Weights & Biases run
    tracking_id: str | None = None  # its id, the same however often the run is continued
    seconds: float = 0.0
    given: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    identity_version: int = 0

    def write(self, folder: Path) -> None:
        """Replace `folder`/record.json in one step, so that no reader ever sees half of it."""
        self.format = FORMAT
        write_atomically(RunFolder(folder).record, json.dumps(asdict(self), indent=2) + "\n")

    @property
    def score(self) -> float | None:
        """Its mAP50-95; None if it is not finished, or finished without one that can be."""
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
            NewerFormatError: if a later version of the program wrote it.
            ValueError: if record.json is there but is not a record.
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
    """The object in a file of ours, whatever fields it has.

    Args:
        path: of the file.
        newest: format up to which this version of the program reads it.

    Raises:
        NewerFormatError: if a later version of the program wrote it.
        ValueError: if it holds no object, or is no JSON.
    """
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not fields")
    found = content.get("format", 0)
    if not isinstance(found, int):
        raise ValueError(f"its format is {found!r}, not a number")
    if found > newest:
        raise NewerFormatError(
            f"{path} has format {found}, and this version of the program reads formats up to {newest}; upgrade the "
            "program, or write elsewhere with output_dir=FOLDER"
        )
    return content


def without_passwords(text: str) -> str:
    """A text whose addresses have no user and password any more, such as an error about a download."""
    return re.sub(r"://[^/\s@]+@", "://***@", text)


def set_aside(folder: Path, output_dir: Path) -> Path:
    """Move a finished run's folder to `output_dir`/replaced, where reports do not look; nothing is deleted."""
    place = output_dir / "replaced"
    place.mkdir(parents=True, exist_ok=True)
    number = 1
    while (target := place / f"{folder.name}-{number}").exists():
        number += 1
    os.replace(folder, target)
    return target
