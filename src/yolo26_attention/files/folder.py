"""Paths of everything that the program writes, each named once."""

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
    def test_detections(self) -> Path:
        """Those on the test images."""
        return self.path / "matches_test.npz"

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
        """The checkpoint of the best epoch, with trainer.select=last of the last one."""
        return self.train / "weights" / "best.pt"


@dataclass(frozen=True)
class OutputFolder:
    """The folder of all output, `output_dir`.

    Attributes:
        path: path of the folder.
    """

    path: Path

    @property
    def runs(self) -> Path:
        """Folder of the runs' folders."""
        return self.path / "runs"

    def run(self, name: str) -> RunFolder:
        """The folder of one run, by its name; it need not exist."""
        return RunFolder(self.runs / name)

    def recorded(self) -> list[Path]:
        """Folders of all runs that have a record, by name."""
        return sorted(folder for folder in self.runs.glob("*") if RunFolder(folder).record.is_file())

    @property
    def studies(self) -> Path:
        """Folder of the studies' folders, each with its study.json."""
        return self.path / "studies"

    def timings(self, study: str) -> Path:
        """What the variants of a study cost, timed together: `files.timings`."""
        return self.studies / study / "timings.json"

    def windows(self, study: str) -> Path:
        """How far the attention of a study's networks spreads, when a report looked into them: `files.windows`."""
        return self.studies / study / "windows.json"

    @property
    def searches(self) -> Path:
        """Folder of the searches' folders, each with its search.json."""
        return self.path / "searches"

    @property
    def replaced(self) -> Path:
        """Where runs are moved that force=true trains anew."""
        return self.path / "replaced"

    @property
    def locks(self) -> Path:
        """Locks of runs in progress."""
        return self.path / "locks"

    @property
    def data(self) -> Path:
        """The embedded data set, and what was seen of other sets."""
        return self.path / "data"

    @property
    def batches(self) -> Path:
        """Batch sizes found for a share of a GPU's memory."""
        return self.path / "batches"
