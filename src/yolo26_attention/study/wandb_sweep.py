"""A study as a Weights & Biases sweep: agents on any machine fetch its points and run `python -m src.train`."""

from collections.abc import Sequence
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.metrics import MAP50_95
from yolo26_attention.study.definition import Study
from yolo26_attention.study.points import point_options


def sweep_definition(study: Study, name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the definition of a grid over points and seeds.

    Args:
        study: a study in `sweeps/`, where agents find it.
        name: name of the group of the runs.
        overrides: added to the command line of every run.

    Raises:
        ConfigError: for an override that not every point can have, and for a study whose runs depend on its results or
            whose variants have other seeds than the baseline.
    """
    if special := [override for override in overrides if override.startswith("attention.")]:
        raise ConfigError(f"{special[0]}: the baseline has no such option; write it into a study file of your own")
    declared = study.declared
    if declared.stop or declared.repeats or declared.seeds != declared.baseline_seeds:
        raise ConfigError(
            f"wandb=true: agents train every point with every seed, and know no stop=true, no repeats and no further "
            f"seeds of the baseline; start {study.name} with python -m src.sweep"
        )
    return {
        "name": name,
        "description": study.question,
        "program": "src/train.py",  # asked for by W&B; the command does not use it
        "method": "grid",
        "metric": {"name": MAP50_95, "goal": "maximize"},
        "parameters": {
            "point": {"values": point_options(study)},
            "seed": {"values": list(declared.seeds)},
        },
        "command": [
            "${env}",
            "${interpreter}",
            "-m",
            "src.train",
            "${args_no_hyphens}",
            f"study={name}",
            "tracking=online",
            *overrides,
        ],
    }
