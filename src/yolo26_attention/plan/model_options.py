"""Check the model group: a network that Ultralytics knows, or one of the user's own."""

from collections.abc import Sequence
from pathlib import Path

from yolo26_attention.config.errors import ConfigError, as_config_error
from yolo26_attention.config.models import MODELS, unknown_model
from yolo26_attention.config.run_config import OwnModelConfig
from yolo26_attention.config.schema import ModelConfig
from yolo26_attention.detector.stock import network_digest

DEFAULT = "yolo26n"  # of conf/config.yaml


def resolve_model(model: ModelConfig, typed: Sequence[str] = ()) -> ModelConfig:
    """Check the name; `model.yaml=PATH` is a network of its own, named after its file and identified by its content.

    Args:
        model: group of the configuration.
        typed: overrides as the user gave them, which tell a name that was typed from the default.

    Raises:
        ConfigError: if there is no such network, if it is not for detection, or if a name is given beside a YAML.
    """
    if model.yaml is None:
        if model.name not in MODELS:
            raise ConfigError(unknown_model(model.name))
        return model
    path = Path(model.yaml).absolute()
    named = any(override.startswith(("model=", "model.name=")) for override in typed)
    if model.name != path.stem and (named or model.name != DEFAULT):
        raise ConfigError(f"model.name={model.name} has no effect on model.yaml={model.yaml}; give one of the two")
    with as_config_error():
        digest = network_digest(path)
    return OwnModelConfig(path.stem, model.weights, str(path), digest)
