"""Private API of Hydra 1.3. `tests/compat/` has a test for each use."""

from collections.abc import Callable, Sequence
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl

# The launcher that runs one job after the other.
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig

__all__ = ["BasicLauncher", "apply_overrides", "launch", "share_schemas"]


def share_schemas() -> None:
    """Make Hydra share its store of schemas instead of copying it.

    Hydra copies the store for each group that `--help` lists, and again for each file that it loads.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> None:
    """Apply command-line overrides to a composed configuration.

    Raises:
        hydra.errors.HydraException: if they do not fit.
    """
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(list(overrides)), config)


def launch(task: Callable[[DictConfig], Any], config: DictConfig, jobs: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
    """Launch all jobs in one batch with the launcher of a configuration, without a sweeper.

    Args:
        task: runs one job.
        config: composed configuration, with Hydra's own group.
        jobs: the overrides of each job.
    """
    context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks(config))
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
    return launcher.launch(jobs, initial_job_idx=0)
