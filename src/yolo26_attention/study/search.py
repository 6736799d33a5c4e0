"""`hydra/sweeper=optuna`: a search for high mAP at low latency that is stored, and goes on when it is started again.

    python -m src.train -m hydra/sweeper=optuna attention=acmix 'attention.heads=choice(1,2,4,8)' study=search

It takes the place of the plugin's own preset, which has one direction and forgets its trials.
"""

from importlib.util import find_spec

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

OPTUNA = {
    "defaults": [{"sampler": "nsgaii"}],
    "_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
    "direction": ["maximize", "minimize"],  # of the objectives below, in their order
    "params": {"objectives": "[map50_95,latency_ratio]"},
    "storage": "sqlite:///${output_dir}/optuna.db",
    "study_name": "${study}",
    "n_trials": 20,  # of this call
    "n_jobs": 1,  # trials that the launcher gets at once
    "max_failure_rate": 1.0,  # a trial that cannot be run is stored as failed, and the search goes on
    "search_space": None,
    "custom_search_space": None,
}


def register_search() -> None:
    """Put the preset into Hydra's ConfigStore, if Optuna's sweeper is installed (pip install -e '.[optuna]')."""
    if find_spec("hydra_plugins") and find_spec("hydra_plugins.hydra_optuna_sweeper"):
        Plugins.instance()  # registers the plugin's own preset first, so that ours stays
        ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=OPTUNA, provider="yolo26-attention")
