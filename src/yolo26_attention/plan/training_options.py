"""Refuse training options that have no effect on this device or these data; `values` has those that are never valid.

Read from ultralytics/engine/trainer.py, cfg/__init__.py and data/dataset.py (8.4.190).
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.config.schema import OptimizerConfig, TrainerConfig, TunedOptimizerConfig
from yolo26_attention.data.splits import has_polygons
from yolo26_attention.plan.values import value_of

MIXES = ("mosaic", "mixup", "cutmix")


def check_training_options(config: RunConfig, device: str, data: Path) -> None:
    """Refuse values of the trainer's and the optimizer's options that do not fit the device or the data.

    Args:
        config: the resolved configuration.
        device: type of the training device: cpu, cuda, ...
        data: YAML of the data set.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    trainer = config.trainer
    if config.pause is not None and "," in str(trainer.device):
        raise ConfigError(f"pause={config.pause} is not possible on several GPUs (trainer.device={trainer.device})")
    _check_batch(trainer, device)
    if trainer.amp == "bf16" and not _trains_in_bf16(device):
        where = "this GPU cannot compute in bfloat16" if device == "cuda" else f"on {device} there is no such training"
        raise ConfigError(f"trainer.amp={trainer.amp} is not possible: {where}; leave it out")
    for key, reason in _without_effect(config, device, data):
        raise ConfigError(f"{key}={as_override(value_of(config, key))} has no effect {reason}")


def _trains_in_bf16(device: str) -> bool:
    """Whether Ultralytics does, which refuses a GPU that only emulates it; any if no GPU is here to be asked."""
    if device != "cuda":
        return False
    return not torch.cuda.is_available() or bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _check_batch(trainer: TrainerConfig, device: str) -> None:
    batch, gpus = trainer.batch, str(trainer.device).count(",") + 1
    key = f"trainer.batch={batch}"
    if batch != -1 and not 0 < batch < 1 and not (isinstance(batch, int) and batch >= 1):
        raise ConfigError(
            f"{key} is not a batch size; give a whole number from 1, a share of the GPU's memory such as "
            "0.7, or -1 for 0.6"
        )
    if batch < 1 and (device != "cuda" or gpus > 1):
        where = f"{gpus} GPUs" if gpus > 1 else device
        raise ConfigError(f"{key} finds a batch for the memory of one GPU, but this run is on {where}; give a number")
    if batch % gpus and batch >= 1:
        raise ConfigError(f"{key} cannot be divided among {gpus} GPUs; try {max(batch // gpus, 1) * gpus}")


def _without_effect(config: RunConfig, device: str, data: Path) -> Iterator[tuple[str, str]]:
    """Yield the changed options that Ultralytics ignores or overrides in this training, each with the reason."""
    trainer, optimizer = config.trainer, config.optimizer
    if trainer.rect:
        if str(trainer.device).count(","):
            yield "trainer.rect", "on several GPUs; leave it out"
        for mix in MIXES:
            if getattr(trainer, mix) > 0:
                yield f"trainer.{mix}", f"with trainer.rect=true; give trainer.{mix}=0, or leave trainer.rect out"
    if trainer.channels_last and device != "cuda":
        yield "trainer.channels_last", f"on {device}; leave it out"
    if trainer.amp == "fp16" and device == "cpu":
        yield "trainer.amp", "on cpu, which trains in 32 bits; leave it out"
    if not trainer.cls_remap and config.model.weights is None:
        yield "trainer.cls_remap", "without model.weights; leave it out"
    if not trainer.val and trainer.patience != TrainerConfig.patience:
        yield "trainer.patience", "with trainer.val=false; leave one of them out"
    if trainer.copy_paste > 0 and not has_polygons(data, trainer.fraction):
        yield "trainer.copy_paste", "on labels that are boxes, as it copies polygons; leave it out"
    if trainer.copy_paste == 0 and trainer.copy_paste_mode != TrainerConfig.copy_paste_mode:
        yield "trainer.copy_paste_mode", "with trainer.copy_paste=0; leave one of them out"
    if optimizer.warmup_momentum != OptimizerConfig.warmup_momentum:
        if trainer.warmup_epochs == 0:
            yield "optimizer.warmup_momentum", "with trainer.warmup_epochs=0; leave one of them out"
        if optimizer.name == "AdamW":
            yield "optimizer.warmup_momentum", "on optimizer.name=AdamW, whose beta stays; leave it out"
    if isinstance(optimizer, TunedOptimizerConfig) and trainer.warmup_epochs == 0:
        if optimizer.warmup_bias_lr != TunedOptimizerConfig.warmup_bias_lr:
            yield "optimizer.warmup_bias_lr", "with trainer.warmup_epochs=0; leave one of them out"
