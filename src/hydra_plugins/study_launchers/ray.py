"""hydra/launcher=ray: run each job as a task of a Ray cluster."""

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.study_launchers.job import Shared, job_configs, run_shared
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.run.batch import failed, tell_outcome

log = logging.getLogger(__name__)
GRACE_SECONDS = 60.0  # for the batch in progress and the record of an interrupted run


class RayLauncher(Launcher):
    """Hands every job to Ray, which restarts a run whose worker or node died, up to `max_retries` times.

    A restarted run resumes after its last completed epoch. A lost run does not lose the results of others.
    """

    def __init__(self, ray: Mapping[str, Mapping[str, Any]]) -> None:
        self.init, self.remote = ray["init"], ray["remote"]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands to every launcher."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Start all runs and wait for each; the return values of failed runs hold their errors.

        Raises:
            ConfigError: if Ray is not installed, or there is no cluster at the address.
            KeyboardInterrupt: after the runs have ended; each keeps its completed epochs.
        """
        if find_spec("ray") is None:
            raise ConfigError("hydra/launcher=ray needs Ray; install with: pip install -e '.[ray]'")
        import ray
        from ray.exceptions import RayError

        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if not ray.is_initialized():
            try:
                ray.init(**self.init)
            except ConnectionError as error:
                address = self.init.get("address")
                raise ConfigError(
                    f"hydra.launcher.ray.init.address={address}: there is no Ray cluster ({error}); start one with "
                    "ray start --head, or leave the address out to start Ray on this machine"
                ) from error
        # A worker has another working directory.
        here = [f"output_dir={Path(self.config.output_dir).absolute()}"]
        placed = [
            [*overrides, *([] if any(part.startswith("output_dir=") for part in overrides) else here)]
            for overrides in job_overrides
        ]
        configs = job_configs(self.context, self.config, placed, initial_job_idx)
        shared = ray.put(Shared(self.context, self.task, Singleton.get_state()))
        start = ray.remote(**self.remote)(run_shared).remote
        tasks = [start(shared, config) for config in configs]
        log.info("Ray has %d runs", len(tasks))
        returns = []
        try:
            for task, overrides in zip(tasks, job_overrides, strict=True):
                try:
                    returns.append(ray.get(task))
                except RayError as error:  # its worker died too often, or its node is lost
                    returns.append(failed(overrides, error))
        except KeyboardInterrupt:
            log.warning("ending the runs; each keeps its completed epochs")
            for task in tasks:
                ray.cancel(task)
            ray.wait(tasks, num_returns=len(tasks), timeout=GRACE_SECONDS, fetch_local=False)
            raise
        tell_outcome(returns)
        return returns
