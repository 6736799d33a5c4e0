"""Paths of the files of a run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. Ultralytics writes below `train`, this program everything else.

    Attributes:
        path: path of the folder.
    """

    path: Path

    @property
    def record(self) -> Path:
        """Configuration and results of the run: `files.record`."""
        return self.path / "record.json"

    @property
    def journal(self) -> Path:
        """Epochs and events, one JSON object per line: `files.journal`."""
        return self.path / "journal.jsonl"

    @property
    def start(self) -> Path:
        """What an unfinished training decided before its first epoch: `files.start`."""
        return self.path / "training.json"

    @property
    def config(self) -> Path:
        """The configuration as given."""
        return self.path / "config.yaml"

    @property
    def resolved(self) -> Path:
        """The resolved configuration."""
        return self.path / "resolved.yaml"

    @property
    def state(self) -> Path:
        """The exact state after the last completed epoch of an unfinished run: `training.state`."""
        return self.path / "state.pt"

    @property
    def detections(self) -> Path:
        """Detections of best.pt on the validation images: `evaluation.detections`."""
        return self.path / "matches.npz"

    @property
    def samples(self) -> Path:
        """All times from which the record's latency was computed."""
        return self.path / "latency.npz"

    @property
    def train(self) -> Path:
        """Ultralytics' own folder."""
        return self.path / "train"

    @property
    def arguments(self) -> Path:
        """Ultralytics' training arguments."""
        return self.train / "args.yaml"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.train / "weights" / "best.pt"
