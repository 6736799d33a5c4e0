"""Measure a finished training: its validated weights against the stock network."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.nn.tasks import BaseModel, load_checkpoint

from yolo26_attention.compat.ultralytics import fuse_grafts
from yolo26_attention.config.schema import LatencyConfig, TrainerConfig
from yolo26_attention.data.datasets import Dataset
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.atomic import atomic
from yolo26_attention.files.latency import Latency
from yolo26_attention.latency.backends import EXPORTED
from yolo26_attention.latency.end_to_end import validation_images
from yolo26_attention.latency.measure import measure
from yolo26_attention.latency.parity import validate_deployed

if TYPE_CHECKING:
    from yolo26_attention.plan.checks import Plan


def load_best(checkpoint: Path, device: torch.device) -> BaseModel:
    """Load the network of a checkpoint, in evaluation mode and not fused."""
    model, _ = load_checkpoint(checkpoint, device=device)
    loaded: BaseModel = model.eval()
    return loaded


def fused(model: BaseModel) -> nn.Module:
    """A fused copy of a network, as deployed: batch norms and the constants of the graft are folded."""
    fuse_grafts()
    copied: nn.Module = copy.deepcopy(model).fuse(verbose=False)
    return copied


def measurement_options(latency: LatencyConfig, trainer: TrainerConfig) -> LatencyConfig:
    """The `latency` group, with the training's CPU threads if it gives none."""
    return replace(latency, threads=latency.threads or trainer.threads)


def measure_run(plan: Plan, trained: BaseModel, imgsz: int, samples: str) -> Latency:
    """Measure a trained network and write all times to the run's folder.

    Args:
        plan: plan of the run.
        trained: the network of best.pt, not fused.
        imgsz: side of the image, in pixels.
        samples: name of the file with the times.

    Raises:
        ParityError: if an export does not match PyTorch.
    """
    channels, options = plan.dataset.channels, measurement_options(plan.config.latency, plan.config.trainer)
    stock = build_stock(plan.config.model.source, len(plan.dataset.names), channels).eval()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(
            trained,
            stock,
            options,
            images=validation_images(plan.dataset.yaml, channels),
            imgsz=imgsz,
            device=plan.latency_device,
            validate=validation(
                plan.dataset,
                options,
                imgsz=imgsz,
                trained_imgsz=plan.arguments["imgsz"],
                single_cls=plan.arguments["single_cls"],
                folder=folder,
            ),
        )
    write_samples(plan.folder / samples, measured.samples)
    return measured.latency


def validation(
    dataset: Dataset, options: LatencyConfig, *, imgsz: int, trained_imgsz: int, single_cls: bool, folder: str
) -> Callable[[AutoBackend], float]:
    """What computes mAP50-95 of a deployed network on the validation images of its data set.

    Args:
        dataset: of the training.
        options: the `latency` group.
        imgsz: side of the image at which the network is timed; an exported network takes no other.
        trained_imgsz: that of the training, at which any other network is validated.
        single_cls: whether all classes are one.
        folder: for the validator's files.
    """
    size = imgsz if options.backend.value in EXPORTED else trained_imgsz
    batch = max([options.batch, *options.throughput_batches])
    return lambda network: validate_deployed(network, str(dataset.yaml), size, batch, folder, single_cls)


def write_samples(path: Path, samples: dict[str, np.ndarray]) -> None:
    """Write arrays to one compressed file, atomically."""
    with atomic(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **samples)  # type: ignore[arg-type]  # takes each for allow_pickle
