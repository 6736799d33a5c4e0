"""A job that a launcher hands to another process, for launchers whose library does not do that itself."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write


@dataclass(frozen=True)
class Shared:
    """What all jobs of a batch have in common. `singletons` is the state of Hydra's stores and plugins."""

    context: HydraContext
    task: TaskFunction
    singletons: dict[Any, Any]


def job_configs(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[DictConfig]:
    """Compose the configuration of each job, numbered from `first`.

    Raises:
        hydra.errors.HydraException: for an override that does not fit.
    """
    configs = []
    for number, overrides in enumerate(job_overrides, first):
        composed = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id, composed.hydra.job.num = f"job_id_for_{number}", number
        configs.append(composed)
    return configs


def task_config(config: DictConfig) -> DictConfig:
    """Return the configuration as the task gets it, without Hydra's own group."""
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def run_shared(shared: Shared, config: DictConfig) -> JobReturn:
    """Run one job in a process that has nothing of Hydra's state yet; its configuration is not sent back."""
    Singleton.set_state(shared.singletons)
    setup_globals()
    returned = run_job(
        hydra_context=shared.context,
        task_function=shared.task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    # Hydra loads plugins twice, so that pickle takes classes of their options for impostors.
    return replace(returned, cfg=None, hydra_cfg=None)
