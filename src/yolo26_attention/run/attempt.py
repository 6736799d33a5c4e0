"""One attempt at a run: train, measure, track, and record how it ended."""

import dataclasses
import errno
import gc
import logging
import shutil
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from yolo26_attention.compat.ultralytics_log import without_repetition
from yolo26_attention.evaluation.coco import ap_by_size
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.files.journal import Entry, Kind, Trait, append_entry, read_journal, training_seconds
from yolo26_attention.files.metrics import ULTRALYTICS
from yolo26_attention.files.record import (
    Record,
    without_passwords,
)
from yolo26_attention.files.start import TrainingStart
from yolo26_attention.plan.checks import Plan
from yolo26_attention.plan.identity import readable_name
from yolo26_attention.run.inputs import DataChangedError, check_data
from yolo26_attention.run.measuring import measure_best
from yolo26_attention.run.scoring import score_test
from yolo26_attention.run.wandb_journal import Tracker
from yolo26_attention.run.wandb_run import TrackingUnavailableError, open_tracker
from yolo26_attention.training.finite import NotFiniteError
from yolo26_attention.training.state import remove_previous, remove_state
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.training.validator import validate

log = logging.getLogger(__name__)
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The kernel makes a failing disk read-only, or the disk returns errors.
UNWRITABLE = NO_ROOM | {errno.EROFS, errno.EIO}


class DiskFullError(RuntimeError):
    """The disk is full or no longer writable; files written before are intact."""


class PausedError(RuntimeError):
    """The run ended after the number of epochs that `pause` asked for; the same command continues it."""

    def __init__(self, done: int, epochs: int | None, pause: int) -> None:
        of = "" if epochs is None else f" of {epochs}"
        super().__init__(f"paused after epoch {done}{of}; the same command without pause={pause} continues it")


def attempt(plan: Plan, record: Record, tracking_id: str, tags: Sequence[str]) -> None:
    """Train, measure and track; the record reflects every outcome.

    Args:
        plan: plan of the run.
        record: its record, which says running.
        tracking_id: ID of the W&B run.
        tags: tags of its study.

    Raises:
        DataChangedError: if the data set changed during the training.
        DiskFullError: if the disk is full.
        PausedError: after the epoch that `pause` names.
        Exception: any other error.
    """
    files = RunFolder(plan.folder)
    earlier = training_seconds(_journal(plan)) if files.state.exists() else 0.0
    start = time.monotonic() - earlier  # the record's seconds are those of all processes
    try:
        with open_tracker(
            plan.config.tracking,
            run_id=tracking_id,
            name=readable_name(plan.config),
            group=record.study,
            tags=[
                plan.config.attention["name"],
                plan.config.model.name,
                plan.config.data.name,
                *tags,
            ],
            config={
                **record.config,
                "run_id": plan.run_id,
                "attempt": record.attempts,
                "git": record.environment["git"],
            },
            folder=Path(plan.config.output_dir).absolute(),
        ) as tracker:
            record.tracking = None if tracker.folder is None else str(tracker.folder)
            record.tracking_id = tracker.run_id or tracking_id
            with without_repetition():
                metrics = _train(plan, tracker)
            now = check_data(plan, record)
            record.metrics = {name: float(metrics[key]) for name, key in ULTRALYTICS.items()}
            record.test = score_test(plan, now.held_out, _start(files).decided)
            record.data["test"] = dataclasses.asdict(now.held_out)
            _measure(plan, record)
            record.seconds = time.monotonic() - start
            tracker.finish(record, files.train, files.samples)
            if plan.config.tracking.upload_weights:
                tracker.upload(files.best, plan.folder.name)
        if tracker.lost is not None:
            append_entry(files.journal, Kind.TRACKING_LOST, problem=tracker.lost)
        _close(record, plan, "finished", start)
    except BaseException as error:
        stuck = error if isinstance(error, OSError) and error.errno in UNWRITABLE else None
        record.error = without_passwords(traceback.format_exc())
        if isinstance(error, NotFiniteError | DataChangedError):
            remove_state(files.state)  # resuming from it would fail alike, or go on from what saw other data
        resumes = stuck or isinstance(error, KeyboardInterrupt | PausedError | TrackingUnavailableError)
        try:
            _close(record, plan, "interrupted" if resumes else "failed", start)
            if not resumes:
                remove_previous(files.state)  # 40 MB; many failed runs stay as they are
        except OSError as unwritten:
            log.error("the record still says running, because it cannot be written (%s)", unwritten)
        if stuck is not None:
            what, way_out = "is no longer writable", "check that disk"
            if stuck.errno in NO_ROOM:
                what, way_out = "has no space left", "free some space"
            free = shutil.disk_usage(plan.folder).free / 1e6
            raise DiskFullError(
                f"{plan.folder} {what} ({stuck.strerror}; {free:.0f} MB are free); {way_out} and run the same "
                "command again: it resumes after the last saved epoch"
            ) from error
        raise


def _close(record: Record, plan: Plan, status: str, start: float) -> None:
    record.status = status
    record.events = [entry for entry in _journal(plan) if not entry.has(Trait.EXPECTED)]
    record.seconds = time.monotonic() - start
    record.write(plan.folder)


def _journal(plan: Plan) -> list[Entry]:
    return read_journal(RunFolder(plan.folder).journal)


def _train(plan: Plan, tracker: Tracker) -> dict[str, float]:
    """Train, or resume, to the end; returns Ultralytics' metrics of best.pt on the validation images."""
    files = RunFolder(plan.folder)
    journal, state = files.journal, files.state
    options = plan.config.trainer
    trainer = GraftTrainer.configured(
        plan.grafts,
        journal,
        options.threads,
        plan.config.optimizer.attention,
        options.steps,
        state,
        plan.trust,
        OutputFolder(Path(plan.config.output_dir)).batches,
        options.select,
    )(overrides=dict(plan.arguments))
    if not trainer.ddp:  # callbacks are pickled for the workers of a multi-GPU run, and an open W&B run cannot be
        trainer.add_callback("on_train_start", lambda _: gc.enable())  # src/train.py disables it
        trainer.add_callback("on_fit_epoch_end", lambda _: tracker.follow(_journal(plan)))
        trainer.add_callback("on_fit_epoch_end", partial(_pause, plan.config.pause))
    trainer.train()
    tracker.follow(_journal(plan))
    if not trainer.ddp:
        metrics: dict[str, float] = trainer.metrics
        return metrics
    return validate(files.best, plan.arguments, _start(files).decided, files.detections)


def _pause(after: int | None, trainer: GraftTrainer) -> None:
    """End the process once the state of that epoch is stored, unless the training has ended anyway.

    Raises:
        PausedError: always, then.
    """
    done = trainer.epoch + 1
    if after is not None and done >= after and done < trainer.epochs and not trainer.stop:
        raise PausedError(done, trainer.epochs, after)


def _start(files: RunFolder) -> TrainingStart:
    """What the training began with.

    Raises:
        ValueError: if the trainer left no training.json.
    """
    start = TrainingStart.read(files.start)
    if start is None:
        raise ValueError(f"{files.start} is gone; retry=true trains the last epoch's steps again")
    return start


def _measure(plan: Plan, record: Record) -> None:
    """Record AP by size and by class, what the training began with, and the digest and the cost of best.pt.

    Raises:
        ValueError: if the trainer left no training.json.
    """
    start = _start(RunFolder(plan.folder))
    record.checkpoints["best"] = file_digest(RunFolder(plan.folder).best)
    kept = read_matches(RunFolder(plan.folder).detections)
    record.ap_by_size, record.ap_by_class = ap_by_size(kept), kept.ap_by_class(plan.dataset.names)
    record.optimizer, record.training = start.optimizer, start.decided
    record.model, record.latency = measure_best(plan, start)
