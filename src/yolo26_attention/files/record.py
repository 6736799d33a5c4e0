"""A run's folder and its record: the format that all readers of runs rely on.

outputs/runs/NAME-HASH/
    record.json     status, configuration, metrics, cost, environment, events
    config.yaml     the configuration as given, composed from conf/ and the command line
    resolved.yaml   the configuration as resolved and trained (`config` in the record)
    latency.npz     every measured time, in milliseconds
    journal.jsonl   a line per epoch, and one for every event that changed the experiment
    training.json   until the run is finished, what its training decided before the first epoch: `files.start`
    matches.npz     detections of best.pt on each validation image, and which were correct
    matches_test.npz    the same on each test image, if the data set has any
    train/          Ultralytics' files: weights/best.pt, results.csv, curves, sample predictions
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import Entry
from yolo26_attention.files.latency import Latency, NoLatency
from yolo26_attention.files.metrics import MAP50_95, ULTRALYTICS, recorded
from yolo26_attention.files.model import ParameterGroup, TrainedModel
from yolo26_attention.files.typed import NewerFormatError, plain, read_file

Split = Literal["val", "test"]
LATENCY_RATIO = "latency_ratio"
# The objectives of a search.
OBJECTIVES = (*ULTRALYTICS, LATENCY_RATIO, "parameters", "gflops")

# Format of record.json. It increases when the meaning of a field changes, so that an earlier program would misread it.
# A new field needs a default and does not increase it.
FORMAT = 1


class RunSkippedError(RuntimeError):
    """The run is skipped: it failed before and retry=false, or it cannot be locked."""


class RunHeldError(RunSkippedError):
    """Another process is training the run.

    Args:
        holder: which one, in words; empty if it is not known.
        problem: what it holds, with a way out.
    """

    def __init__(self, holder: str, problem: str) -> None:
        super().__init__(holder, problem)  # an exception that is pickled is made again from these
        self.process = f"another process{f' ({holder})' if holder else ''}"
        self._problem = problem

    def __str__(self) -> str:
        return f"{self.process} {self._problem}"


class ObjectiveError(RuntimeError):
    """A finished run lacks the value of an objective."""


@dataclass(frozen=True)
class TestScore:
    """Scores of best.pt on the test images, on which nothing was chosen.

    Attributes:
        metrics, ap_by_size, ap_by_class: as in the record.
        images: number of images.
        identity: hash of names and bytes of the images and their labels.
    """

    __test__ = False  # for pytest

    metrics: dict[str, float]
    ap_by_size: dict[str, float | None]
    ap_by_class: dict[str, float]
    images: int
    identity: str


def _complete(value: Any) -> Any:
    """None for a model that an earlier version recorded before it was measured."""
    return None if isinstance(value, dict) and "parameters" not in value else value


def _entry(value: Any) -> Any:
    return Entry.of(value) if isinstance(value, dict) else value


@dataclass
class Record:
    """Content of record.json.

    `metrics` are those of best.pt on the validation images (fractions of 1). `ap_by_size` and `ap_by_class` are AP50-95
    of the same detections (None if no object has the size). `test` has the scores on the test images, None without any;
    nothing is chosen by them. `latency` is None if none was asked for. `measurements` are those with other options.
    `seconds` is the wall-clock time of the process that finished the run and of the epochs before it; in earlier
    versions, of that process alone. `given` is the configuration as composed, `config` as resolved by the checks.
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
    model: Annotated[TrainedModel | None, BeforeValidator(_complete)] = None
    optimizer: list[ParameterGroup] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # decided by Ultralytics: `training.decided`
    latency: Annotated[Latency | NoLatency | None, BeforeValidator(lambda value: None if value == {} else value)] = None
    measurements: list[Latency | NoLatency] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # Dataset.counts, and changed_at when the training began
    events: list[Annotated[Entry, BeforeValidator(_entry)]] = field(default_factory=list)
    error: str | None = None
    tracking: str | None = None  # folder of the Weights & Biases run
    tracking_id: str | None = None  # its ID, which does not change when the run resumes
    seconds: float = 0.0
    given: dict[str, Any] = field(default_factory=dict)
    format: int = 0
    identity_version: int = 0
    checkpoints: dict[str, str] = field(default_factory=dict)
    test: TestScore | None = None

    def write(self, folder: Path) -> None:
        """Replace `folder`/record.json atomically, so that readers never see a part of it."""
        self.format = FORMAT
        content = {each.name: plain(getattr(self, each.name)) for each in fields(self)}
        content |= {name: content[name] or {} for name in ("model", "latency")}
        content["events"] = [entry.plain for entry in self.events]
        write_atomically(RunFolder(folder).record, json.dumps(content, indent=2) + "\n")

    @property
    def score(self) -> float | None:
        """Its mAP50-95 on the validation images, by which runs are chosen; None if the run is not finished, or if the
        value is missing or invalid."""
        return self.score_on("val")

    @property
    def scores_last(self) -> bool:
        """Whether its score is that of its last epoch; otherwise that of its best one, as in earlier versions."""
        return bool(self.config["trainer"].get("select", "best") == "last")

    @property
    def timed(self) -> Latency | None:
        """Its latency; None if it was not measured, or if that failed."""
        return self.latency if isinstance(self.latency, Latency) else None

    def score_on(self, split: Split, metric: str = MAP50_95) -> float | None:
        """Its score on a split, by one of `files.metrics.COMPARED`; None as for `score`."""
        value = self.value_on(split, metric)
        return value if self.status == "finished" and value is not None and 0 <= value <= 1 else None

    def value_on(self, split: Split, metric: str) -> float | None:
        """The value of a metric on a split as it was recorded, valid or not; None if there is none."""
        scored = self if split == "val" else self.test
        if scored is None:
            return None
        field_name, key = recorded(metric)
        values: Mapping[str, float | None] = getattr(scored, field_name)
        return values.get(key)

    def objective(self, name: str) -> float:
        """Return the value of one of OBJECTIVES.

        Raises:
            ObjectiveError: if the record does not have it.
        """
        model, latency = self.model, self.latency
        values: Mapping[str, float | None] = {
            **self.metrics,
            LATENCY_RATIO: latency.ratio_to_stock if isinstance(latency, Latency) else None,
            "parameters": None if model is None else model.parameters,
            "gflops": None if model is None else model.gflops,
        }
        if (value := values.get(name)) is None:
            why = "it was not measured"
            if name == LATENCY_RATIO and isinstance(latency, NoLatency):
                why = latency.error
            if name == "gflops" and model is not None and model.not_counted:
                why = "; ".join(model.not_counted)
            raise ObjectiveError(f"objectives: {self.name} has no {name} ({why}); fix that and run it again")
        return float(value)

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
            return read_file(cls, path, FORMAT)
        except NewerFormatError:
            raise
        except ValueError as error:
            raise ValueError(f"{path} is not a record ({error}); move {folder} away to run it anew") from error


def common_split(records: Iterable[Record]) -> Split:
    """The split on which records are compared: test if all have a score on the same test images, else val."""
    identities = {None if record.test is None else record.test.identity for record in records}
    return "test" if len(identities) == 1 and None not in identities else "val"


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
    place = OutputFolder(output_dir).replaced
    place.mkdir(parents=True, exist_ok=True)
    number = 1
    while (target := place / f"{folder.name}-{number}").exists():
        number += 1
    os.replace(folder, target)
    return target
