"""Run one experiment: find it finished, or begin an attempt that resumes or trains it."""

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from yolo26_attention.files.atomic import remove_partial, write_atomically
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import Kind, append_entry, epochs, read_journal
from yolo26_attention.files.locks import lock_file, run_lock
from yolo26_attention.files.record import (
    Record,
    RunSkippedError,
    replaced_best,
    set_aside,
)
from yolo26_attention.plan.checks import Plan
from yolo26_attention.run.attempt import PausedError, attempt
from yolo26_attention.run.environment import environment
from yolo26_attention.run.first_screen import first_lines
from yolo26_attention.run.inputs import data_at_start, starting_checkpoint
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.run.measuring import measure_again
from yolo26_attention.run.ownership import foreign_record
from yolo26_attention.run.scoring import score_again
from yolo26_attention.run.summary import missing_results
from yolo26_attention.training.state import ForeignStateError, damage, remove_state, settle

log = logging.getLogger(__name__)


def run(plan: Plan, config_yaml: str, tags: Sequence[str] = ()) -> tuple[Record, bool]:
    """Complete a planned run.

    Args:
        plan: a checked configuration.
        config_yaml: text of the configuration as given, stored in the run's folder.
        tags: tags of its study, for Weights & Biases.

    Returns:
        The run's record, with the requested latency, and whether this call trained (False: it had finished before;
        latency options without a measurement are measured, and a new test split is scored, now).

    Raises:
        RunSkippedError: if another process holds this run, it failed before and retry=false, its record is damaged, or
            its folder has the record or the state of another run.
        DataChangedError: if the data set changed during the training.
        DiskFullError: if the disk is full; a restart resumes after the last completed epoch.
        PausedError: after the epoch that `pause` names; the same command continues the run.
        TrackingUnavailableError: with tracking=online, if the server is unreachable or refuses; the same command tries
            again.
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
                return _finished(plan, previous), False
            log.info("force=true: the finished run was moved to %s", set_aside(plan.folder, output_dir))
            previous = None
        if plan.replaces is not None and plan.replaces.exists():
            log.info("force=true: the finished run was moved to %s", set_aside(plan.replaces, output_dir))
        if previous is not None and previous.status == "failed" and not plan.config.retry:
            raise RunSkippedError(f"it failed before, see error in {files.record}; retry=true tries again")
        plan.folder.mkdir(parents=True, exist_ok=True)
        tracked = bool(epochs(read_journal(files.journal)))
        try:
            _settle(files)
        except ForeignStateError as error:
            raise RunSkippedError(str(error)) from error
        done = max((each.epoch for each in epochs(read_journal(files.journal))), default=0)
        if plan.config.pause is not None and plan.config.pause <= done and files.state.exists():
            trainer = plan.config.trainer
            budgeted = trainer.steps is not None or trainer.time is not None  # how many epochs that is, is not known
            raise PausedError(done, None if budgeted else trainer.epochs, plan.config.pause)
        write_atomically(files.config, config_yaml)
        write_atomically(files.resolved, yaml.safe_dump(plan.config.plain(), sort_keys=False, allow_unicode=True))
        tracking_id = None if previous is None else previous.tracking_id
        # The server keeps the epochs of an attempt that cannot be resumed: the next one is another run there.
        if tracking_id is None or (tracked and not files.state.exists() and plan.config.tracking.mode == "online"):
            tracking_id = f"{plan.run_id}-{int(time.time())}"
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
        log.info("%s", first_lines(plan, files.state.exists()))
        with interruptible():
            attempt(plan, record, tracking_id, tags)
        _remove_unfinished(files)
        return record, True


def _finished(plan: Plan, record: Record) -> Record:
    """Tidy up after a run that finished before, and measure its latency if other options are asked for.

    Raises:
        RunSkippedError: if the record lacks results.
    """
    files = RunFolder(plan.folder)
    if gaps := missing_results(record):
        raise RunSkippedError(
            f"{files.record} says finished, but is damaged: it has no {', '.join(gaps)}; move "
            f"{plan.folder} away to run it anew, or use force=true, which moves it to replaced/"
        )
    _remove_unfinished(files)  # they exist if the last process was killed just before removing them
    remove_partial(plan.folder)
    if problem := damage(files.best) or replaced_best(record, plan.folder):
        log.warning("%s; force=true trains the run anew and moves the old files to replaced/", problem)
    return measure_again(plan, score_again(plan, record))


def _remove_unfinished(files: RunFolder) -> None:
    """Remove what only an unfinished run needs."""
    remove_state(files.state)
    files.start.unlink(missing_ok=True)


def _settle(files: RunFolder) -> None:
    """Keep what the training resumes from, or remove what an earlier attempt left; note damaged files."""
    damaged = settle(files.state, files.best)
    if not files.state.exists():
        shutil.rmtree(files.train, ignore_errors=True)
        files.journal.unlink(missing_ok=True)
        files.start.unlink(missing_ok=True)
    for problem in damaged:
        log.warning("%s; the run resumes from %s", problem, "the epoch before" if files.state.exists() else "its start")
        append_entry(files.journal, Kind.CHECKPOINT_DAMAGED, problem=problem)
