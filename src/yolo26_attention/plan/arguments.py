"""Checks of the training and measurement options, made before either starts."""

import math
from pathlib import Path
from typing import Any

import torch

from yolo26_attention.config.errors import ConfigError, as_config_error
from yolo26_attention.config.run_config import RunConfig, plain_group
from yolo26_attention.config.schema import LatencyConfig, TrainerConfig
from yolo26_attention.data.datasets import Dataset
from yolo26_attention.data.survey import keeps_all
from yolo26_attention.files.record import LATENCY_RATIO, OBJECTIVES
from yolo26_attention.latency.backends import check_backend
from yolo26_attention.latency.precision import measured_precision
from yolo26_attention.training.trainer import check_arguments


def training_arguments(config: RunConfig, dataset: Dataset, weights: Path | None) -> dict[str, Any]:
    """Build the arguments of Ultralytics' trainer; check them by its rules and by those that it lacks.

    Args:
        config: the resolved configuration.
        dataset: training data set.
        weights: starting checkpoint; None for a random start.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    own = {"threads", "steps", "select"}  # not Ultralytics'
    trainer = {key: value for key, value in plain_group(config.trainer).items() if key not in own}
    optimizer = {key: value for key, value in plain_group(config.optimizer).items() if key not in {"name", "attention"}}
    arguments = {
        **trainer,
        **optimizer,
        "task": "detect",
        "mode": "train",
        "optimizer": config.optimizer.name,
        "model": config.model.yaml or f"{config.model.name}.yaml",
        "pretrained": False if weights is None else str(weights),
        "data": str(dataset.yaml),
        "seed": config.seed,
    }
    try:
        check_arguments(arguments)
    except ValueError as error:
        raise ConfigError(f"trainer or optimizer: {error}") from error
    return arguments


def lone_image(trainer: TrainerConfig, images: int) -> str:
    """Describe which batch has a single image; "" if none does, or if the batch size is chosen later.

    Args:
        trainer: options of the training.
        images: number of training images.
    """
    batch, processes = trainer.batch, str(trainer.device).count(",") + 1
    if not isinstance(batch, int) or batch < 1:
        return ""
    if max(batch // processes, 1) == 1:
        return f"trainer.batch={batch} makes batches of one image"
    if -(-images // processes) % (batch // processes) == 1 and not trainer.compile:
        part = "" if keeps_all(trainer.fraction) else trainer.fraction
        if images == 1:
            return f"trainer.fraction={part} leaves one training image" if part else "there is one training image only"
        kept = f" that trainer.fraction={part} keeps" if part else ""
        return f"trainer.batch={batch} leaves one of the {images} images{kept} for the last batch of an epoch"
    return ""


def check_lone_image(lone: str, trainer: TrainerConfig, stride: int) -> None:
    """Refuse a batch of one image if the network's coarsest map has a single pixel, because batch norm fails on it.

    Args:
        lone: description of that batch; "" for none.
        trainer: options of the training.
        stride: largest stride of the network, in pixels.

    Raises:
        ConfigError: if the training would fail.
    """
    smallest = max(stride, int(trainer.imgsz * (1 - trainer.multi_scale))) // stride * stride
    if lone and smallest < 2 * stride:
        raise ConfigError(
            f"{lone}, and at {smallest} px the coarsest map is one pixel, on which batch norm fails; choose "
            f"another trainer.batch, trainer.imgsz={2 * stride}, or more images (data.train_images of the digits)"
        )


def check_image_size(key: str, imgsz: int | None, model: str, stride: int) -> None:
    """Refuse an image size that does not fit the network.

    Args:
        key: configuration group of the option.
        imgsz: image size in pixels; None passes.
        model: name of the model.
        stride: largest stride of the network, in pixels.

    Raises:
        ConfigError: with the nearest valid sizes.
    """
    if imgsz is not None and (imgsz < stride or imgsz % stride):
        lower = max(imgsz // stride * stride, stride)
        raise ConfigError(
            f"{key}.imgsz={imgsz} is not a multiple of the largest stride of {model}, {stride}; "
            f"try {lower} or {lower + stride}"
        )


def check_objectives(config: RunConfig) -> None:
    """Refuse unknown objectives and those that this run does not measure.

    Raises:
        ConfigError: naming the objective.
    """
    for name in config.objectives:
        if name not in OBJECTIVES:
            raise ConfigError(f"objectives={config.objectives}: {name} is unknown; choose from {', '.join(OBJECTIVES)}")
        if name == LATENCY_RATIO and not config.latency.enabled:
            raise ConfigError(f"objectives: {name} needs latency.enabled=true")
    if not config.objectives:
        raise ConfigError(f"objectives=[]: name at least one of {', '.join(OBJECTIVES)}")


def check_latency(latency: LatencyConfig, device: torch.device) -> None:
    """Refuse latency options that cannot be measured, before anything is trained.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    if not latency.enabled:
        return
    sizes = [("batch", latency.batch), ("max_pairs", latency.max_pairs)]
    sizes += [("threads", latency.threads)] if latency.threads is not None else []
    sizes += [("throughput_batches", size) for size in latency.throughput_batches]
    for key, value in sizes:
        if value < 1:
            raise ConfigError(f"latency.{key}={value} must be at least 1")
    for key, number in (("seconds", latency.seconds), ("width", latency.width), ("patience", latency.patience or 0.0)):
        if not 0 <= number < math.inf:
            raise ConfigError(f"latency.{key}={number} must be a finite number of at least 0")
    if latency.threads is not None and device.type != "cpu":
        raise ConfigError(
            f"latency.threads={latency.threads} has no effect on {device.type}; leave it out, or use latency.device=cpu"
        )
    with as_config_error():
        check_backend(latency.backend, measured_precision(latency.precision, device.type == "cuda"), device)
