"""Sends the journal and the results of a run to its W&B run."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from yolo26_attention.files.journal import Entry, epochs
from yolo26_attention.files.latency import NoLatency
from yolo26_attention.files.metrics import tracked
from yolo26_attention.files.record import Record
from yolo26_attention.files.typed import plain
from yolo26_attention.run.wandb_names import artifact_name, sync_command

log = logging.getLogger(__name__)
# Ultralytics' plots to log.
PLOTS = {
    "BoxPR_curve.png": "PR curve",
    "confusion_matrix_normalized.png": "confusion matrix",
    "val_batch0_labels.jpg": "validation labels",
    "val_batch0_pred.jpg": "validation predictions",
}


class Tracker:
    """Sends a run's journal and record to Weights & Biases; does nothing without a W&B run (tracking=disabled).

    Attributes:
        lost: why W&B failed before the end, or None. The training continues without it.
    """

    def __init__(self, run: Any = None, lost: str | None = None) -> None:
        self.lost = lost
        self._run = run
        self._epochs_sent = 0

    @property
    def folder(self) -> Path | None:
        """W&B's folder of this run on disk."""
        return None if self._run is None else Path(self._run.dir).parent

    @property
    def address(self) -> str | None:
        """Address of the W&B run on its server; None offline."""
        return None if self._run is None or self._run.offline else str(self._run.url)

    @property
    def run_id(self) -> str | None:
        """ID of the W&B run. It is not the one asked for if an agent of a W&B sweep started this process."""
        return None if self._run is None else str(self._run.id)

    def follow(self, journal: Sequence[Entry]) -> None:
        """Log the epochs of the journal that are not logged yet."""
        completed = epochs(journal)
        for each in completed[self._epochs_sent :]:
            values = {tracked(name): value for name, value in each.values.items()}
            scalars = {f"attention/{name}": value for name, value in each.scalars.items()}
            if self._run is not None and each.epoch >= self._run.starting_step:  # the server may already have it
                with self._dispensable():  # without `commit`, W&B sends an epoch when the next one is logged
                    self._run.log({**values, **scalars, "epoch": each.epoch}, step=each.epoch, commit=True)
        self._epochs_sent = len(completed)

    def finish(self, record: Record, plots: Path, samples: Path | None = None) -> None:
        """Write the results as plain numbers into the summary, and log plots and distributions.

        Args:
            record: record of the run.
            plots: folder of Ultralytics' plots, if any.
            samples: file of arrays, each of which becomes a histogram; it may be missing.
        """
        if self._run is not None:
            with self._dispensable():
                self._finish(record, plots, samples)

    def _finish(self, record: Record, plots: Path, samples: Path | None) -> None:
        import wandb

        numbers: dict[str, Any] = {**record.metrics, **(plain(record.model) or {})}
        if record.test is not None:
            numbers |= _numbers(record.test.metrics, "test")
        if record.timed is not None:  # without its options, which the configuration has
            numbers |= _numbers(plain(replace(record.timed, options=None)), "latency")
        self._run.summary.update({k: v for k, v in numbers.items() if isinstance(v, int | float)})
        self._run.summary.update({"run_id": record.run_id, "seconds": record.seconds})
        words = {
            "latency_error": record.latency.error if isinstance(record.latency, NoLatency) else None,
            "not_counted": "" if record.model is None else "; ".join(record.model.not_counted),
        }
        self._run.summary.update({key: text for key, text in words.items() if text})
        if samples is not None and samples.exists():
            with np.load(samples) as arrays:
                self._run.log({f"latency/{name}": wandb.Histogram(arrays[name]) for name in arrays.files})
        images = {
            f"plots/{title}": wandb.Image(str(plots / name)) for name, title in PLOTS.items() if (plots / name).exists()
        }
        if images:
            self._run.log(images)

    def log(self, points: Iterable[Mapping[str, float]]) -> None:
        """Log each mapping of numbers as one step."""
        for point in points:
            if self._run is not None:
                with self._dispensable():
                    self._run.log(dict(point))

    def upload(self, path: Path, name: str, kind: str = "model") -> None:
        """Log a checkpoint or folder as an artifact of the run; its name has ASCII letters, digits, _ . and - only.

        W&B copies the files of a folder, which may change before they are uploaded. A checkpoint is read in place.
        """
        if self._run is not None:
            with self._dispensable():
                self._run.log_artifact(_artifact(path, artifact_name(name), kind))

    def close(self, failed: bool = False) -> None:
        """Upload what is left and end the W&B run, as failed or not.

        If the server does not answer for `tracking.FINISH_SECONDS`, the rest stays in the run's folder, and `lost` says
        so.
        """
        if self._run is not None:
            with self._dispensable():
                try:
                    self._run.finish(exit_code=int(failed))  # as a context manager, it would print a traceback
                except TimeoutError:
                    self.lost = f"the server did not answer; {sync_command(str(self.folder))} uploads the rest"
                    log.warning("Weights & Biases: %s", self.lost)

    @contextmanager
    def _dispensable(self) -> Iterator[None]:
        """Continue without W&B if it fails, so that a W&B failure never ends a training."""
        import wandb

        try:
            yield
        except Exception as error:
            self.lost, self._run = f"{type(error).__name__}: {error}", None
            log.warning("Weights & Biases failed; the run continues without it", exc_info=True)
            with suppress(Exception, SystemExit):  # SystemExit: carries the status of W&B's process
                wandb.teardown(exit_code=1)
            os.environ.pop("WANDB_SERVICE", None)  # otherwise the next run would look for the dead process


def _artifact(path: Path, name: str, kind: str) -> Any:
    """An artifact of a file or a folder."""
    import wandb

    artifact = wandb.Artifact(name, type=kind)
    if path.is_dir():
        artifact.add_dir(str(path))
    else:
        artifact.add_file(str(path), policy="immutable", skip_cache=True)
    return artifact


def _numbers(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Flatten nested mappings, with names joined by underscores."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _numbers(value, f"{prefix}_{name}") if isinstance(value, Mapping) else {f"{prefix}_{name}": value}
    return flat
