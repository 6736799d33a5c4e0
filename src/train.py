"""Entry: compose the configuration, check it, run it, and return the metric to a sweeper.

    python -m src.train attention=acmix
    python -m src.train -m attention=baseline,acmix seed=0,1,2

Imports torch and ultralytics only when a run starts, so that `--help`, `--cfg` and completion are fast.
"""

import gc
import logging
import math
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from yolo26_attention.config.command_line import exit_with, hydra_command, tell_recipe
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.hydra_errors import job_config
from yolo26_attention.config.registration import run_config
from yolo26_attention.files.record import ObjectiveError, RunHeldError, RunSkippedError
from yolo26_attention.plan.values import check_values
from yolo26_attention.run.sweep_position import nothing_swept, position, took
from yolo26_attention.study.points import register_points

log = logging.getLogger(__name__)


def train_one(config: DictConfig) -> float | tuple[float, ...]:
    """Complete one run; returns the values of `objectives`, by default mAP50-95 on the validation images."""
    gc.collect()  # garbage of the previous run
    gc.disable()  # until training starts: repeated collections during imports take a fifth of the start-up time
    try:
        return _to_its_end(config)
    finally:
        gc.enable()


def _to_its_end(config: DictConfig) -> float | tuple[float, ...]:
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        typed = job_config(config, run_config)
        check_values(typed)  # before torch is imported
    except ConfigError as error:
        if sweeping:
            log.info("skipped: %s", error)
            raise  # the launcher continues with the other runs
        exit_with(error)
    from yolo26_attention.plan.checks import check
    from yolo26_attention.run.attempt import DiskFullError, PausedError
    from yolo26_attention.run.inputs import DataChangedError, DataUnreadableError
    from yolo26_attention.run.runner import run
    from yolo26_attention.run.summary import table
    from yolo26_attention.run.wandb_run import TrackingUnavailableError
    from yolo26_attention.study.expectation import expectation
    from yolo26_attention.study.runs import entry_of, not_listed, shared_by
    from yolo26_attention.study.text import announcement
    from yolo26_attention.study.text import tags as study_tags
    from yolo26_attention.training.out_of_memory import MemoryFullError

    failing = (DataChangedError, DataUnreadableError, MemoryFullError)
    try:
        plan = check(typed)
        tell_recipe()
        line = announcement(Path(config.output_dir), config.study, plan.folder.name)
        if line is None and sweeping:
            line = _only_run() or position(HydraConfig.get().job.num)
        if line := line or expectation(plan):
            log.info("\n%s", line)
        if warning := not_listed(Path(config.output_dir), config.study, plan.folder.name):
            log.warning(warning)
        for note in plan.dataset.notes:
            log.info(note)
        entry = entry_of(Path(config.output_dir), config.study, plan.folder.name)
        record, trained = run(plan, OmegaConf.to_yaml(config, resolve=True), study_tags(entry))
    except PausedError as paused:
        log.info("\n%s", paused)
        return _no_values(config)
    except RunHeldError as error:
        if not sweeping:
            exit_with(error)
        log.info("%s: trained by %s", plan.folder.name, error.process)
        return _no_values(config)
    except (ConfigError, RunSkippedError, DiskFullError, TrackingUnavailableError, *failing) as error:
        if sweeping:
            log.info("%s: %s", "failed" if isinstance(error, failing) else "skipped", error)
            raise  # the launcher continues with the other runs
        exit_with(error)
    except (Exception, SystemExit) as error:
        if sweeping:
            log.info("failed: %s: %s", type(error).__name__, error)
        if sweeping and isinstance(error, SystemExit):
            raise RuntimeError(f"code in the run called sys.exit({error.code!r})") from error
        raise
    if trained:
        took(record.seconds)
    else:
        log.info("\nfinished before; nothing was trained (force=true trains it again)")
        if line := shared_by(Path(config.output_dir), config.study, record):
            log.info(line)
    log.info("\n%s", table(record, plan.folder))
    try:
        found = tuple(record.objective(name) for name in config.objectives)
    except ObjectiveError as error:
        if sweeping:
            raise
        exit_with(error)
    return found[0] if len(found) == 1 else found


def _only_run() -> str | None:
    """A line for the run of `-m` without a list; None for any other run. A search proposes its runs one by one."""
    hydra = HydraConfig.get()
    basic = hydra.sweeper._target_.endswith(".BasicSweeper") and hydra.sweeper.max_batch_size is None
    if not basic or not nothing_swept(hydra.job.num):
        return None
    return "-m sweeps nothing here, because no option has several values: one run. Write some, such as seed=0,1,2"


def _no_values(config: DictConfig) -> float | tuple[float, ...]:
    """What a run returns that has not finished and has not failed either."""
    return math.nan if len(config.objectives) == 1 else (math.nan,) * len(config.objectives)


@hydra.main(config_path="../conf", config_name="config", version_base="1.3")
def train(config: DictConfig) -> float | tuple[float, ...]:
    """`train_one` with Hydra's command line."""
    return train_one(config)


def main() -> None:
    """Register the schemas and call Hydra."""
    with hydra_command("run the same command again to resume after the last completed epoch"):
        register_points(sys.argv[1:])
        train()


if __name__ == "__main__":
    main()
