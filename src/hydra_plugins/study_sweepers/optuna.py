"""hydra/sweeper=optuna: Optuna proposes the options of each run, and any launcher runs them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.run.batch import reason

log = logging.getLogger(__name__)


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials, launches them in batches, and tells it what came back. Options: conf/hydra/sweeper."""

    def __init__(
        self,
        *,
        sampler: str,
        n_trials: int,
        n_jobs: int,
        maximize: Sequence[str],
        minimize: Sequence[str],
        at_most: Mapping[str, float] | None,
        storage: str,
        study_name: str,
        seed: int,
    ) -> None:
        self.sampler, self.n_trials, self.n_jobs, self.seed = sampler, n_trials, n_jobs, seed
        self.maximize, self.minimize, self.at_most = maximize, minimize, at_most
        self.storage, self.study_name = storage, study_name

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher that runs the trials."""
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the search has `n_trials`, and log the best.

        Raises:
            ConfigError: for options that do not fit, before anything is trained, and if no trial has finished.
        """
        # They import NumPy, and Hydra imports this module for --help, too.
        from yolo26_attention.study.optuna_search import Goal, Search
        from yolo26_attention.study.optuna_space import search_space
        from yolo26_attention.study.optuna_storage import check_installed, search_lock

        assert self.config is not None
        assert self.launcher is not None
        check_installed()
        for key in ("n_trials", "n_jobs", "seed"):
            value, least = getattr(self, key), 0 if key == "seed" else 1
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"hydra.sweeper.{key}={value}: give a whole number from {least} on")
        for argument in arguments:
            if argument.startswith("objectives="):
                raise ConfigError(
                    f"{argument}: a search has hydra.sweeper.maximize=[...] and hydra.sweeper.minimize=[...]"
                )
        goal = Goal(tuple(self.maximize), tuple(self.minimize), dict(self.at_most or {}))
        space, fixed = search_space(arguments, self.context.config_loader)
        with search_lock(Path(self.config.output_dir), self.study_name):
            search = Search(self.storage, self.study_name, goal, space, fixed, self.sampler, self.seed)
            shared = [*fixed, f"objectives=[{','.join(goal.measured)}]"]
            while trials := search.batch(self.n_jobs, self.n_trials):
                jobs = [[*shared, *search.overrides(trial)] for trial in trials]
                returns = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
                for trial, job in zip(trials, returns, strict=True):
                    returned = job._return_value if job.status == JobStatus.COMPLETED else RuntimeError(reason(job))
                    problem = search.tell(trial, returned)
                    outcome = f"returned {returned}" if problem is None else f"failed: {problem}"
                    log.info("trial %d of %d %s", trial.number + 1, self.n_trials, outcome)
            log.info("search %s in %s: %s", self.study_name, self.storage, search.answer())
