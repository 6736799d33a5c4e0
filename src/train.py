"""Entry: compose the configuration, check it, run it, return the metric to whoever sweeps.

    python -m src.train attention=acmix
    python -m src.train -m attention=baseline,acmix seed=0,1,2

torch and ultralytics are imported only when a run starts, so that `--help`, `--cfg` and completion are quick.
"""

import logging
import signal
import sys
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.config import ConfigError, plain_values, register_configs

log = logging.getLogger(__name__)


@hydra.main(config_path="../conf", config_name="config", version_base="1.3")
def train(config: DictConfig) -> float:
    """Bring one run to its end; its mAP50-95 on the validation images."""
    from src.checks import check
    from src.runner import run, table

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        plan = check(plain_values(config))
        record, trained = run(plan, OmegaConf.to_yaml(config, resolve=True))
    except ConfigError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # the launcher goes on with the other runs and reports this one
        sys.exit(f"error: {error}")
    if not trained:
        log.info("\nfinished before; nothing was trained (force=true trains it again)")
    log.info("\n%s", table(record, plan.folder))
    return record.metrics["map50_95"]


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def main() -> None:
    """Register the schemas and hand over to Hydra."""
    register_configs()
    train()


if __name__ == "__main__":
    main()
