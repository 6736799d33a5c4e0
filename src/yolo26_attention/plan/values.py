"""Refuse values of training options that are invalid whatever the device and the data. Free of torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import reduce
from typing import Any

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.config.schema import GraftOptimizerConfig, TrainerConfig

OPTIMIZERS = ("MuSGD", "SGD", "AdamW", "auto")
INFINITY = math.inf
# Lowest and highest value, both included, of options that Ultralytics does not check.
RANGES: dict[str, tuple[float, float]] = {
    "trainer.workers": (0, INFINITY),
    "trainer.close_mosaic": (0, INFINITY),
    "trainer.warmup_epochs": (0, INFINITY),
    "trainer.box": (0, INFINITY),
    "trainer.cls": (0, INFINITY),
    "trainer.dfl": (0, INFINITY),
    "trainer.degrees": (0, 180),
    "trainer.shear": (0, 90),
    "seed": (0, 2**31),
    "repeat": (0, INFINITY),
    "pause": (1, INFINITY),
    "optimizer.attention.weight_decay": (0, 1),
}
ABOVE_ZERO = ("trainer.time", "optimizer.attention.lr_factor")
CHOICES: dict[str, tuple[Any, ...]] = {
    "trainer.cache": (True, False, "ram", "disk"),
    "trainer.compile": (
        True,
        False,
        "default",
        "reduce-overhead",
        "max-autotune",
        "max-autotune-no-cudagraphs",
    ),
    "trainer.copy_paste_mode": ("flip", "mixup"),
}


def check_values(config: RunConfig) -> None:
    """Refuse values that no training can have, before torch is imported and data are read.

    Args:
        config: as composed or as resolved.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    for key, value in _numbers("", config.plain()):
        if not math.isfinite(value):
            raise ConfigError(f"{key}={as_override(value)} is not a finite number; give one, or leave {key} out")
    name = config.optimizer.name
    if name not in OPTIMIZERS:
        raise ConfigError(f"optimizer.name={name} is unknown; choose one of {', '.join(OPTIMIZERS)}")
    if config.trainer.epochs < 1:
        raise ConfigError(f"trainer.epochs={config.trainer.epochs} must be at least 1")
    if config.trainer.threads is not None and config.trainer.threads < 1:
        raise ConfigError(
            f"trainer.threads={config.trainer.threads} must be at least 1, or null for Ultralytics' choice"
        )
    _budget(config.trainer)
    _graft_options(config.optimizer.attention, name)
    for key, (lowest, highest) in RANGES.items():
        value = value_of(config, key)
        if value is not None and value < lowest:
            raise ConfigError(f"{key}={as_override(value)} must be a finite number of at least {lowest}")
        if value is not None and value > highest:
            raise ConfigError(
                f"{key}={as_override(value)} is above {highest}; choose a value from {lowest} to {highest}"
            )
    for key in ABOVE_ZERO:
        value = value_of(config, key)
        if value is not None and value <= 0:
            raise ConfigError(f"{key}={as_override(value)} must be a finite number above 0, or left out")
    for key, choices in CHOICES.items():
        if value_of(config, key) not in choices:
            known = ", ".join(as_override(choice) for choice in choices)
            raise ConfigError(f"{key}={as_override(value_of(config, key))} is unknown; choose one of {known}")
    trainer = config.trainer
    if trainer.save_period < 1 and trainer.save_period != -1:
        raise ConfigError(f"trainer.save_period={trainer.save_period} must be at least 1, or -1 for never")


def value_of(config: RunConfig, key: str) -> Any:
    """The value of a dotted key."""
    return reduce(getattr, key.split("."), config)


def _numbers(key: str, value: Any) -> Iterator[tuple[str, float]]:
    """Every floating-point number in plain values, with the dotted key of its option."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(key, inner)


def _budget(trainer: TrainerConfig) -> None:
    if trainer.steps is None:
        return
    if trainer.steps < 1:
        raise ConfigError(f"trainer.steps={trainer.steps} must be at least 1, or null for trainer.epochs")
    if trainer.time is not None:
        raise ConfigError(
            f"trainer.steps={trainer.steps} and trainer.time={trainer.time} both end the training; give one"
        )


def _graft_options(options: GraftOptimizerConfig, optimizer: str) -> None:
    """Refuse options that have no effect."""
    key = "optimizer.attention"
    if not options.muon and optimizer not in {"MuSGD", "auto"}:
        raise ConfigError(
            f"{key}.muon=false has no effect on optimizer.name={optimizer}, which has no Muon; leave it out"
        )
    names = [field.name for field in fields(options) if field.name != "frozen"]
    changed = [name for name in names if getattr(options, name) != getattr(GraftOptimizerConfig, name)]
    if options.frozen and changed:
        raise ConfigError(
            f"{key}.{changed[0]}={getattr(options, changed[0])} has no effect on {key}.frozen=true; leave one of them "
            "out"
        )
