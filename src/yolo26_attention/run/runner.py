"""Run one experiment: find it finished, resume it or train it; then measure and record it."""

import errno
import gc
import logging
import shutil
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from yolo26_attention.evaluation.coco import ap_by_size
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.files.atomic import remove_partial, write_atomically
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import append_entry, read_journal
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.files.record import (
    Record,
    RunSkippedError,
    replaced_best,
    set_aside,
    without_passwords,
)
from yolo26_attention.plan.checks import Plan
from yolo26_attention.plan.identity import readable_name
from yolo26_attention.run.environment import environment
from yolo26_attention.run.inputs import DataChangedError, check_data, data_at_start, starting_checkpoint
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.run.measuring import measure_again, measure_costs
from yolo26_attention.run.ownership import foreign_record
from yolo26_attention.run.summary import missing_results
from yolo26_attention.run.tracking import Tracker, open_tracker
from yolo26_attention.training.finite import NotFiniteError
from yolo26_attention.training.state import ForeignStateError, damage, remove_state, settle
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.training.validator import validate

log = logging.getLogger(__name__)
# Journal entries that every run has; the others are the record's events.
NOT_EVENTS = {"epoch", "weights", "graft", "optimizer", "training"}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The kernel makes a failing disk read-only, or the disk returns errors.
UNWRITABLE = NO_ROOM | {errno.EROFS, errno.EIO}
METRICS = {
    "map50_95": "metrics/mAP50-95(B)",
    "map50": "metrics/mAP50(B)",
    "precision": "metrics/precision(B)",
    "recall": "metrics/recall(B)",
}


class DiskFullError(RuntimeError):
    """The disk is full or no longer writable; files written before are intact."""


def run(plan: Plan, config_yaml: str, tags: Sequence[str] = ()) -> tuple[Record, bool]:
    """Complete a planned run.

    Args:
        plan: a checked configuration.
        config_yaml: text of the configuration as given, stored in the run's folder.
        tags: tags of its study, for Weights & Biases.

    Returns:
        The run's record, with the requested latency, and whether this call trained (False: it had finished before;
        latency options without a measurement are measured now).

    Raises:
        RunSkippedError: if another process holds this run, it failed before and retry=false, its record is damaged, or
            its folder has the record or the state of another run.
        DataChangedError: if the data set changed during the training.
        DiskFullError: if the disk is full; a restart resumes after the last completed epoch.
        Exception: any other error of the training; the record then says failed or interrupted.
    """
    output_dir, files = Path(plan.config.output_dir), RunFolder(plan.folder)
    if plan.remark is not None:
        log.info("%s: %s", plan.folder.name, plan.remark)
    with run_lock(lock_file(output_dir, plan.folder.name)):
        try:
            previous = Record.read(plan.folder)
        except ValueError as error:
            raise RunSkippedError(str(error)) from error
        if previous is not None and (problem := foreign_record(plan, previous)):
            raise RunSkippedError(problem)
        if previous is not None and previous.status == "finished":
            if not plan.config.force:
                if gaps := missing_results(previous):
                    raise RunSkippedError(
                        f"{files.record} says finished, but is damaged: it has no {', '.join(gaps)}; move "
                        f"{plan.folder} away to run it anew, or use force=true, which moves it to replaced/"
                    )
                remove_state(files.state)  # it exists if the last process was killed just before removing it
                remove_partial(plan.folder)
                if problem := damage(files.best) or replaced_best(previous, plan.folder):
                    log.warning("%s; force=true trains the run anew and moves the old files to replaced/", problem)
                return measure_again(plan, previous), False
            log.info("force=true: the finished run was moved to %s", set_aside(plan.folder, output_dir))
            previous = None
        if plan.replaces is not None and plan.replaces.exists():
            log.info("force=true: the finished run was moved to %s", set_aside(plan.replaces, output_dir))
        if previous is not None and previous.status == "failed" and not plan.config.retry:
            raise RunSkippedError(f"it failed before, see error in {files.record}; retry=true tries again")
        kept_id = None if previous is None else previous.tracking_id
        tracking_id = kept_id or f"{plan.run_id}-{int(time.time())}"
        plan.folder.mkdir(parents=True, exist_ok=True)
        try:
            _settle(files)
        except ForeignStateError as error:
            raise RunSkippedError(str(error)) from error
        write_atomically(files.config, config_yaml)
        write_atomically(files.resolved, yaml.safe_dump(plan.config.plain(), sort_keys=False, allow_unicode=True))
        record = Record(
            run_id=plan.run_id,
            name=plan.folder.name,
            study=plan.config.study,
            seed=plan.config.seed,
            config=plan.config.plain(),
            given=plan.given.plain(),
            identity_version=plan.identity_version,
            attempts=1 if previous is None else previous.attempts + 1,
            environment=environment(plan.device),
            data=data_at_start(plan, previous, files.state.exists()),
            tracking_id=tracking_id,
            checkpoints=starting_checkpoint(plan),
        )
        record.write(plan.folder)
        with interruptible():
            _recorded(plan, record, tracking_id, tags)
        remove_state(files.state)
        return record, True


def _settle(files: RunFolder) -> None:
    """Keep what the training resumes from, or remove what an earlier attempt left; note damaged files."""
    damaged = settle(files.state, files.best)
    if not files.state.exists():
        shutil.rmtree(files.train, ignore_errors=True)
        files.journal.unlink(missing_ok=True)
    for problem in damaged:
        log.warning("%s; the run resumes from %s", problem, "the epoch before" if files.state.exists() else "its start")
        append_entry(files.journal, "checkpoint_damaged", problem=problem)


def _recorded(plan: Plan, record: Record, tracking_id: str, tags: Sequence[str]) -> None:
    """Train, measure and track; the record reflects every outcome."""
    start, files = time.monotonic(), RunFolder(plan.folder)
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
            metrics = _train(plan, tracker)
            check_data(plan, record)
            record.metrics = {name: float(metrics[key]) for name, key in METRICS.items()}
            _measure(plan, record)
            record.seconds = time.monotonic() - start
            tracker.finish(record, files.train, files.samples)
            if plan.config.tracking.upload_weights:
                tracker.upload(files.best, plan.folder.name)
        if tracker.lost is not None:
            append_entry(files.journal, "tracking_lost", problem=tracker.lost)
        _close(record, plan, "finished", start)
    except BaseException as error:
        stuck = error if isinstance(error, OSError) and error.errno in UNWRITABLE else None
        record.error = without_passwords(traceback.format_exc())
        if isinstance(error, NotFiniteError | DataChangedError):
            remove_state(files.state)  # resuming from it would fail alike, or go on from what saw other data
        try:
            _close(record, plan, "interrupted" if stuck or isinstance(error, KeyboardInterrupt) else "failed", start)
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
    record.events = [entry for entry in _journal(plan) if entry["event"] not in NOT_EVENTS]
    record.seconds = time.monotonic() - start
    record.write(plan.folder)


def _journal(plan: Plan) -> list[dict[str, Any]]:
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
        Path(plan.config.output_dir) / "batches",
    )(overrides=dict(plan.arguments))
    if not trainer.ddp:  # callbacks are pickled for the workers of a multi-GPU run, and an open W&B run cannot be
        trainer.add_callback("on_train_start", lambda _: gc.enable())  # src/train.py disables it
        trainer.add_callback("on_fit_epoch_end", lambda _: tracker.follow(_journal(plan)))
    trainer.train()
    tracker.follow(_journal(plan))
    return validate(files.best, plan.arguments) if trainer.ddp else trainer.metrics


def _measure(plan: Plan, record: Record) -> None:
    """Record AP by size and by class, the fate of the stock tensors, and the digest and the cost of best.pt."""
    record.checkpoints["best"] = file_digest(RunFolder(plan.folder).best)
    kept = read_matches(RunFolder(plan.folder).detections)
    record.ap_by_size, record.ap_by_class = ap_by_size(kept), kept.ap_by_class(plan.dataset.names)
    latest = {entry["event"]: entry for entry in _journal(plan)}
    record.model = {
        "stock_tensors_loaded": latest["weights"]["loaded"],
        "stock_tensors_total": latest["weights"]["total"],
        "stock_tensors_lost": latest["weights"]["lost"],
        "graft_tensors_loaded": latest["weights"]["graft_loaded"],
        "placebo": latest["graft"]["placebo"],
    }
    record.optimizer = latest["optimizer"]["groups"]
    record.training = latest["training"]["decided"] if "training" in latest else {}
    measure_costs(plan, record)
