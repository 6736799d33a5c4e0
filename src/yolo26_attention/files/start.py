"""training.json: what a training decided and found before its first epoch, handed from the trainer to its run.

The trainer of a multi-GPU training is in another process, so this goes through a file, for every training alike. The
record takes it over, and the file goes when the run is finished.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.journal import Entry, Kind
from yolo26_attention.files.model import LoadedTensors, ParameterGroup, PlaceboMatch
from yolo26_attention.files.typed import parse, plain


@dataclass(frozen=True)
class TrainingStart:
    """What a training decided and found before its first epoch.

    Attributes:
        weights: what came from the starting checkpoint.
        placebo: the match of each placebo, by place.
        optimizer: the optimizer's groups.
        decided: what Ultralytics decided: `training.decided`.
    """

    weights: LoadedTensors
    placebo: dict[str, PlaceboMatch]
    optimizer: list[ParameterGroup]
    decided: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write training.json completely or not at all."""
        write_atomically(path, json.dumps(plain(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "TrainingStart | None":
        """Read training.json; None if it does not exist.

        Raises:
            ValueError: if it is damaged.
        """
        if not path.exists():
            return None
        try:
            return parse(cls, path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); remove the run's folder to train it anew") from error

    @classmethod
    def from_journal(cls, entries: Sequence[Entry]) -> "TrainingStart":
        """What the journal of a run says that began before there was a training.json.

        Raises:
            ValueError: if it does not say so.
        """
        latest = {entry.event: dict(entry.details) for entry in entries}
        try:
            content = {
                "weights": latest[Kind.WEIGHTS],
                "placebo": latest[Kind.GRAFT]["placebo"],
                "optimizer": latest[Kind.OPTIMIZER]["groups"],
                "decided": latest[Kind.TRAINING]["decided"] if Kind.TRAINING in latest else {},
            }
        except KeyError as error:
            raise ValueError(
                f"the journal has no entry {error.args[0]}; remove the run's folder to train it anew"
            ) from error
        return parse(cls, json.dumps(content))
