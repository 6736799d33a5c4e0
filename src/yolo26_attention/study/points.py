"""The points of studies as options of a Hydra group: `point=kernel_att/acmix-kernel_att-3` is one point of a study.

A Weights & Biases agent passes scalars under the same keys for every run; with this group one key is enough, whatever
options the variants of a study have.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from yolo26_attention.config.schema import SCHEMAS
from yolo26_attention.study.definition import Study, load_study, slug


def point_options(study: Study) -> list[str]:
    """The values that `point=` takes for a study."""
    return [f"{study.name}/{slug(label)}" for label, _, _ in study.cells()]


def register_points(arguments: Sequence[str]) -> None:
    """Put the points of a study that the arguments name with `point=STUDY/...` into Hydra's ConfigStore.

    Raises:
        ConfigError: if `sweeps/` has no such study.
    """
    named = {argument.removeprefix("point=").partition("/")[0] for argument in arguments if argument[:6] == "point="}
    for study in map(load_study, named):
        for label, options, _ in study.cells():
            ConfigStore.instance().store(
                group=f"point/{study.name}", name=slug(label), node=_node(options), package="_global_"
            )


def _node(options: dict[str, Any]) -> dict[str, Any]:
    """A Hydra config that chooses options of the groups and sets the other values."""
    values = OmegaConf.create({})
    for key, value in options.items():
        if key not in SCHEMAS:
            OmegaConf.update(values, key, value)
    picked = [{f"override /{key}": str(value)} for key, value in options.items() if key in SCHEMAS]
    return {"defaults": picked, **OmegaConf.to_container(values)}  # type: ignore[dict-item]
