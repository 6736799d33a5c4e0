"""Weights & Biases: one W&B run for each of our runs, opened and closed by one `with`."""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from yolo26_attention.config.schema import TrackingConfig
from yolo26_attention.files.record import Record
from yolo26_attention.plan.tracking_options import INSTEAD, MOST_NAME, MOST_TAG

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

    def follow(self, journal: list[dict[str, Any]]) -> None:
        """Log the epochs of the journal that are not logged yet."""
        epochs = [entry for entry in journal if entry["event"] == "epoch"]
        for entry in epochs[self._epochs_sent :]:
            values = {name.replace("(B)", ""): value for name, value in entry["values"].items()}
            scalars = {f"attention/{name}": value for name, value in entry["scalars"].items()}
            if self._run is not None and entry["epoch"] >= self._run.starting_step:  # the server may already have it
                with self._dispensable():
                    self._run.log({**values, **scalars, "epoch": entry["epoch"]}, step=entry["epoch"])
        self._epochs_sent = len(epochs)

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

        numbers = {**record.metrics, **record.model}
        timed = {key: value for key, value in record.latency.items() if key != "options"}  # which the configuration has
        numbers.update(_numbers(timed, "latency"))
        self._run.summary.update({k: v for k, v in numbers.items() if isinstance(v, int | float)})
        self._run.summary.update({"run_id": record.run_id, "seconds": record.seconds})
        words = {
            "latency_error": record.latency.get("error"),
            "not_counted": "; ".join(record.model.get("not_counted", [])),
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
        """Log a checkpoint or folder as an artifact of the run; its name has ASCII letters, digits, _ . and - only."""
        if self._run is not None:
            with self._dispensable():
                self._run.log_artifact(str(path), name=shorten(_plain(name), MOST_NAME), type=kind)

    def close(self, *error: Any) -> None:
        """End the W&B run, as failed if an error (type, value, traceback) is given."""
        if self._run is not None:
            with self._dispensable():
                self._run.__exit__(*(error or (None, None, None)))

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


def shorten(text: str, most: int) -> str:
    """Shorten a text to `most` characters; a hash at the end keeps shortened texts distinct."""
    if len(text) <= most:
        return text
    return f"{text[: most - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _fitting_tag(tag: str) -> str:
    """Shorten a tag to W&B's limit."""
    short = shorten(tag, MOST_TAG)
    if short != tag:
        log.info("Weights & Biases takes tags of at most %d characters: %s is tagged %s", MOST_TAG, tag, short)
    return short


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def create_sweep(definition: Mapping[str, Any], project: str, entity: str | None) -> str:
    """Create a sweep on the server; returns its path for `wandb agent`."""
    import wandb

    sweep_id = wandb.sweep(dict(definition), project=project, entity=entity)
    return "/".join(part for part in (entity, project, sweep_id) if part)


def _numbers(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Flatten nested mappings, with names joined by underscores."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _numbers(value, f"{prefix}_{name}") if isinstance(value, Mapping) else {f"{prefix}_{name}": value}
    return flat


@contextmanager
def open_tracker(
    options: TrackingConfig,
    *,
    run_id: str,
    name: str,
    group: str,
    tags: list[str],
    config: Mapping[str, Any],
    folder: Path,
    job_type: str = "train",
) -> Iterator[Tracker]:
    """Open the W&B run of a run; an exception inside the block marks it as failed.

    Args:
        options: the `tracking` group.
        run_id: ID in W&B, the same for a resumed run. Offline runs cannot be resumed: the files of an earlier process
            under this ID are removed, and the caller must log the whole journal again.
        name: name in W&B's table.
        group: the study.
        tags: tags to filter by.
        config: the resolved configuration as plain values.
        folder: W&B writes to `folder`/wandb, the same for all runs, so that one `wandb sync` uploads them.
        job_type: purpose of the run: train or report.

    Raises:
        RuntimeError: if the server is unreachable or refuses (mode online). Offline, the run continues without W&B, and
            `lost` of the tracker gives the reason.
    """
    if options.mode == "disabled":
        yield Tracker()
        return
    import wandb

    for earlier in (folder / "wandb").glob(f"*run-*-{run_id}"):
        shutil.rmtree(earlier)
    if not os.environ.get("WANDB_SWEEP_ID"):
        for variable in INSTEAD:
            os.environ.pop(variable, None)  # `follow_environment` has logged that it is ignored
    try:
        tracker = Tracker(
            wandb.init(
                mode=options.mode.value,
                resume="allow" if options.mode == "online" else None,
                project=options.project,
                entity=options.entity,
                id=run_id,
                name=shorten(name, MOST_NAME),
                group=group,
                job_type=job_type,
                tags=list(dict.fromkeys([*map(_fitting_tag, tags), *options.tags])),
                config=dict(config),
                dir=str(folder),
                # The URL of a git remote may contain a token, and a patch anything; the record has the commit.
                settings=wandb.Settings(console="off", save_code=False, silent=True, disable_git=True),
            )
        )
    except Exception as error:
        if options.mode == "online":
            raise RuntimeError(
                f"tracking.mode=online: Weights & Biases could not begin the run ({error}); check login and network, "
                "or tracking=offline"
            ) from error
        log.warning("Weights & Biases could not begin the run, which continues without it", exc_info=True)
        tracker = Tracker(lost=f"{type(error).__name__}: {error}")
    try:
        yield tracker
    except BaseException as error:
        tracker.close(type(error), error, error.__traceback__)
        raise
    tracker.close()


def log_report(
    options: TrackingConfig, study: str, report: Path, folder: Path, points: Iterable[Mapping[str, float]] = ()
) -> str:
    """Log a study's report in the study's group: its folder as an artifact, and the swept values as a history.

    Args:
        options: the `tracking` group of the study's runs.
        study: name of the study.
        report: folder with the report's files.
        folder: as for `open_tracker`.
        points: numbers to log together, so that a plot can have one of them as its axis.

    Returns:
        The command that uploads it, or the artifact's name.
    """
    name = shorten(_plain(f"report-{study}"), MOST_NAME - 11)
    with open_tracker(
        options,
        run_id=f"{name}-{int(time.time())}",
        name=name,
        group=study,
        tags=["report"],
        config={"study": study},
        folder=folder,
        job_type="report",
    ) as tracker:
        tracker.log(points)
        tracker.upload(report, name, "report")
        place = tracker.folder
    if tracker.lost is not None:
        return f"nowhere ({tracker.lost})"
    return f"wandb sync {place}" if options.mode == "offline" else f"artifact {name}"


def save_workspace(workspace: Any) -> str:
    """Save a wandb_workspaces Workspace on the server; returns its address.

    Raises:
        RuntimeError: if the server is unreachable or refuses, with the reason and a way out.
    """
    import wandb

    try:
        address: str = workspace.save().url
    except (wandb.Error, ValueError) as error:
        raise RuntimeError(
            f"the dashboard could not be saved ({error}); is this machine logged in (wandb login)?"
        ) from error
    return address
