"""Where the files of a run lie, by name."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. Ultralytics writes below `train`, everything else is this program's.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def record(self) -> Path:
        """What the run was, and what came out: `files.record`."""
        return self.path / "record.json"

    @property
    def journal(self) -> Path:
        """What happened, one JSON object a line: `files.journal`."""
        return self.path / "journal.jsonl"

    @property
    def config(self) -> Path:
        """The configuration as it was given."""
        return self.path / "config.yaml"

    @property
    def resolved(self) -> Path:
        """The configuration with everything looked up."""
        return self.path / "resolved.yaml"

    @property
    def state(self) -> Path:
        """The exact state after the last completed epoch, while the run is not finished: `training.state`."""
        return self.path / "state.pt"

    @property
    def detections(self) -> Path:
        """What best.pt found on the validation images: `evaluation.detections`."""
        return self.path / "matches.npz"

    @property
    def samples(self) -> Path:
        """The times behind the latency in the record."""
        return self.path / "latency.npz"

    @property
    def train(self) -> Path:
        """Ultralytics' own folder."""
        return self.path / "train"

    @property
    def arguments(self) -> Path:
        """Ultralytics' arguments of the training."""
        return self.train / "args.yaml"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.train / "weights" / "best.pt"
