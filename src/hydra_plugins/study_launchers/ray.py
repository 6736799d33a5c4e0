"""hydra/launcher=ray: run each job as a task of a Ray cluster, or of one machine with several GPUs."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, setup_globals
from omegaconf import open_dict

from yolo26_attention.run.batch import failed, tell_outcome

log = logging.getLogger(__name__)

# Hydra imports every plugin, even if Ray is not installed.
if find_spec("hydra_plugins.hydra_ray_launcher"):
    from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher

    class StudyRayLauncher(RayLauncher):
        """The plugin's launcher, but a lost run does not lose the results of others.

        Ray restarts a run whose worker or node died, up to `max_retries` times; it resumes after its last completed
        epoch.
        """

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            """Start all runs and wait for each; the return values of failed runs hold their errors."""
            import ray
            from hydra_plugins.hydra_ray_launcher._launcher_util import launch_job_on_ray, start_ray
            from ray.exceptions import RayError

            setup_globals()
            assert self.config is not None
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
            start_ray(self.ray_cfg.init)
            # A worker has another working directory.
            here = [f"output_dir={Path(self.config.output_dir).absolute()}"]
            tasks = []
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                chosen = [part for part in overrides if part.startswith("output_dir=")] or here
                config = self.hydra_context.config_loader.load_sweep_config(self.config, [*overrides, *chosen])
                with open_dict(config):
                    config.hydra.job.id, config.hydra.job.num = f"job_id_for_{number}", number
                tasks.append(
                    launch_job_on_ray(
                        self.hydra_context, self.ray_cfg.remote, config, self.task_function, Singleton.get_state()
                    )
                )
            log.info("Ray has %d runs", len(tasks))
            returns = []
            for task, overrides in zip(tasks, job_overrides, strict=True):
                try:
                    returns.append(ray.get(task))
                except RayError as error:  # its worker died too often, or its node is lost
                    returns.append(failed(overrides, error))
            tell_outcome(returns)
            return returns
