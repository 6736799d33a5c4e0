"""The typed configuration of a run, converted from OmegaConf and to the form of records in one place each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeVar, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from yolo26_attention.config.schema import (
    Config,
    DigitsConfig,
    LatencyConfig,
    ModelConfig,
    OptimizerConfig,
    PlaceboConfig,
    PlacementConfig,
    PublicDataConfig,
    TrackingConfig,
    TrainerConfig,
    TunedOptimizerConfig,
    VocDataConfig,
)

Group = TypeVar("Group")


@dataclass
class OwnPlaceboConfig(PlaceboConfig):
    """A placebo that matches a user's class, after the checks: with the fingerprint of the class's code."""

    source: str | None = None


@dataclass
class OwnModelConfig(ModelConfig):
    """A network of the user's own, after the checks: with the fingerprint of its YAML."""

    digest: str = MISSING


@dataclass
class RunConfig(Config):
    """The configuration of one run. Treat it as immutable: change a copy from `dataclasses.replace`.

    `attention` is a mapping, because a user's class brings its own options. Besides these it has `name`, `_target_`
    (except the baseline) and, after the checks of a user's class, `source`: the fingerprint of its code.
    """

    attention: Mapping[str, Any]
    placement: PlacementConfig
    model: ModelConfig
    data: DigitsConfig | PublicDataConfig | VocDataConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    tracking: TrackingConfig
    latency: LatencyConfig

    @classmethod
    def from_omegaconf(cls, config: DictConfig) -> "RunConfig":
        """Convert a composed configuration.

        Records of earlier versions lack the newest options. A group without a schema, such as a user's YAML without
        `defaults`, gets the defaults of the options that it lacks.

        Raises:
            OmegaConfBaseException: if a value is missing, or does not fit the schema.
        """
        optimizer, data, placebo = config.optimizer, config.data, config.placebo
        return cls(
            attention=_values(config.attention),
            placement=_typed(config.placement, PlacementConfig),
            model=_typed(config.model, OwnModelConfig if "digest" in config.model else ModelConfig),
            data=_data(data),
            optimizer=_typed(optimizer, TunedOptimizerConfig if "lr0" in optimizer else OptimizerConfig),
            trainer=_typed(config.trainer, TrainerConfig),
            tracking=_typed(config.tracking, TrackingConfig),
            latency=_typed(config.latency, LatencyConfig),
            placebo=_typed(placebo, OwnPlaceboConfig if "source" in placebo else PlaceboConfig),
            seed=config.seed,
            repeat=config.repeat if "repeat" in config.keys() else 0,
            study=config.study,
            output_dir=config.output_dir,
            force=config.force,
            retry=config.retry,
            pause=config.pause if "pause" in config.keys() else None,
            trust=config.trust,
            objectives=list(config.objectives),
        )

    def plain(self) -> dict[str, Any]:
        """Plain values in the order of the schema: the form of records, of identities and of W&B."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _data(node: DictConfig) -> DigitsConfig | PublicDataConfig | VocDataConfig:
    if "train_images" in node:
        return _typed(node, DigitsConfig)
    return _typed(node, VocDataConfig) if "source" in node else _typed(node, PublicDataConfig)


def _typed(node: DictConfig, kind: type[Group]) -> Group:
    known = OmegaConf.get_type(node)
    if isinstance(known, type) and issubclass(known, kind):
        return cast(Group, OmegaConf.to_object(node))
    return typed_group(_values(node), kind)


def _values(node: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, throw_on_missing=True, enum_to_str=True))


def typed_group(values: Mapping[str, Any], kind: type[Group]) -> Group:
    """One group of a configuration from plain values, such as those of a record; options that they lack get defaults.

    Raises:
        OmegaConfBaseException: if a value does not fit the schema.
    """
    return cast(Group, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values)))


def plain_group(group: Any) -> dict[str, Any]:
    """Plain values of one group of a configuration."""
    return {field.name: _plain(getattr(group, field.name)) for field in fields(group)}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return plain_group(value) if hasattr(value, "__dataclass_fields__") else value
