"""The life of one run: found finished, continued, or trained; measured; recorded."""

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
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import append_entry, read_journal
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.files.record import (
    Record,
    RunSkippedError,
    set_aside,
    without_passwords,
)
from yolo26_attention.plan.checks import Plan
from yolo26_attention.plan.identity import readable_name
from yolo26_attention.run.environment import environment
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.run.measuring import measure_again, measure_costs
from yolo26_attention.run.tracking import Tracker, open_tracker
from yolo26_attention.training.finite import NotFiniteError
from yolo26_attention.training.state import damage, remove_state, settle
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.training.validator import validate

log = logging.getLogger(__name__)
# What every run notes, so that it is no event that sets a run apart.
NOT_EVENTS = {"epoch", "weights", "graft", "optimizer", "training"}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# A disk that fails is made read-only by the kernel, or gives errors.
UNWRITABLE = NO_ROOM | {errno.EROFS, errno.EIO}
METRICS = {
    "map50_95": "metrics/mAP50-95(B)",
    "map50": "metrics/mAP50(B)",
    "precision": "metrics/precision(B)",
    "recall": "metrics/recall(B)",
}


class DiskFullError(RuntimeError):
    """There is no room for what a run writes, or it can no longer be written; what it wrote before is whole."""


def run(plan: Plan, config_yaml: str, tags: Sequence[str] = ()) -> tuple[Record, bool]:
    """Bring a planned run to its end.

    Args:
        plan: a checked configuration.
        config_yaml: the configuration as it was given, as text, kept in the run's folder.
        tags: of its study, for Weights & Biases.

    Returns:
        The run's record, with the latency that was asked for, and whether this call trained (False: it had been
        finished before; latency options that it was not measured with yet are measured now).

    Raises:
        RunSkippedError: if another process is at this run, it failed before and retry=false, or its record is damaged.
        DiskFullError: if there is no room for what the run writes; started again it goes on behind its last epoch.
        Exception: whatever else stopped the training; the record then says failed or interrupted.
    """
    output_dir, files = Path(plan.config["output_dir"]), RunFolder(plan.folder)
    if plan.remark is not None:
        log.info("%s: %s", plan.folder.name, plan.remark)
    with run_lock(lock_file(output_dir, plan.folder.name)):
        try:
            previous = Record.read(plan.folder)
        except ValueError as error:
            raise RunSkippedError(str(error)) from error
        if previous is not None and previous.status == "finished":
            if not plan.config["force"]:
                remove_state(files.state)  # it is still there if the last process was killed in its last moment
                remove_partial(plan.folder)
                if problem := damage(files.best):
                    log.warning("%s; force=true trains the run anew, and keeps what is here in replaced/", problem)
                return measure_again(plan, previous), False
            log.info("force=true: the finished run is kept in %s", set_aside(plan.folder, output_dir))
            previous = None
        if plan.replaces is not None and plan.replaces.exists():
            log.info("force=true: the finished run is kept in %s", set_aside(plan.replaces, output_dir))
        if previous is not None and previous.status == "failed" and not plan.config["retry"]:
            raise RunSkippedError(f"it failed before, see error in {files.record}; retry=true tries again")
        kept_id = None if previous is None else previous.tracking_id
        tracking_id = kept_id or f"{plan.run_id}-{int(time.time())}"
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(files.config, config_yaml)
        write_atomically(files.resolved, yaml.safe_dump(plan.config, sort_keys=False, allow_unicode=True))
        record = Record(
            run_id=plan.run_id,
            name=plan.folder.name,
            study=plan.config["study"],
            seed=plan.config["seed"],
            config=plan.config,
            given=plan.given,
            identity_version=plan.identity_version,
            attempts=1 if previous is None else previous.attempts + 1,
            environment=environment(plan.device),
            data=plan.dataset.counts,
            tracking_id=tracking_id,
        )
        record.write(plan.folder)
        with interruptible():
            _recorded(plan, record, tracking_id, tags)
        remove_state(files.state)
        return record, True


def _recorded(plan: Plan, record: Record, tracking_id: str, tags: Sequence[str]) -> None:
    """Train, measure and track; whatever happens, the record says so."""
    start, files = time.monotonic(), RunFolder(plan.folder)
    try:
        with open_tracker(
            plan.config["tracking"],
            run_id=tracking_id,
            name=readable_name(plan.config),
            group=record.study,
            tags=[
                plan.config["attention"]["name"],
                plan.config["model"]["name"],
                plan.config["data"]["name"],
                *tags,
            ],
            config={**plan.config, "run_id": plan.run_id, "attempt": record.attempts, "git": record.environment["git"]},
            folder=Path(plan.config["output_dir"]).absolute(),
        ) as tracker:
            record.tracking = None if tracker.folder is None else str(tracker.folder)
            metrics = _train(plan, tracker)
            record.metrics = {name: float(metrics[key]) for name, key in METRICS.items()}
            _measure(plan, record)
            record.seconds = time.monotonic() - start
            tracker.finish(record, files.train, files.samples)
            if plan.config["tracking"]["upload_weights"]:
                tracker.upload(files.best, plan.folder.name)
        if tracker.lost is not None:
            append_entry(files.journal, "tracking_lost", problem=tracker.lost)
        _close(record, plan, "finished", start)
    except BaseException as error:
        stuck = error if isinstance(error, OSError) and error.errno in UNWRITABLE else None
        record.error = without_passwords(traceback.format_exc())
        if isinstance(error, NotFiniteError):
            remove_state(files.state)  # going on from it would end alike
        try:
            _close(record, plan, "interrupted" if stuck or isinstance(error, KeyboardInterrupt) else "failed", start)
        except OSError as unwritten:
            log.error("the record still says running, as it cannot be written (%s)", unwritten)
        if stuck is not None:
            what, way_out = "cannot be written any more", "see to that disk"
            if stuck.errno in NO_ROOM:
                what, way_out = "has no room for what the run writes", "make room there"
            free = shutil.disk_usage(plan.folder).free / 1e6
            raise DiskFullError(
                f"{plan.folder} {what} ({stuck.strerror}; {free:.0f} MB are free); {way_out} and start the same "
                "command again: it goes on behind the last epoch that was saved"
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
    """Train to the end from wherever the folder stands; Ultralytics' metrics of best.pt on the validation images."""
    files = RunFolder(plan.folder)
    journal, state = files.journal, files.state
    damaged = settle(state, files.best)
    if not state.exists():
        shutil.rmtree(files.train, ignore_errors=True)
        journal.unlink(missing_ok=True)
    for problem in damaged:
        log.warning("%s; the run goes on from %s", problem, "the epoch before" if state.exists() else "its start")
        append_entry(journal, "checkpoint_damaged", problem=problem)
    options = plan.config["trainer"]
    trainer = GraftTrainer.configured(
        plan.graft,
        journal,
        options["threads"],
        plan.graft_options,
        options["steps"],
        state,
        plan.trust,
        Path(plan.config["output_dir"]) / "batches",
    )(overrides=dict(plan.arguments))
    if not trainer.ddp:  # callbacks travel to the workers of a multi-GPU run, an open W&B run cannot
        trainer.add_callback("on_train_start", lambda _: gc.enable())  # src/train.py stops it
        trainer.add_callback("on_fit_epoch_end", lambda _: tracker.follow(_journal(plan)))
    trainer.train()
    tracker.follow(_journal(plan))
    return validate(files.best, plan.arguments) if trainer.ddp else trainer.metrics


def _measure(plan: Plan, record: Record) -> None:
    """AP by size and by class; what became of the stock tensors; what best.pt costs."""
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
