"""From images as read from disk to boxes, as Ultralytics' predictor does it."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.nn.autobackend import AutoBackend

from yolo26_attention.data.splits import read_image, split_images

IMAGES = 32


def validation_images(yaml: Path, channels: int, count: int = IMAGES) -> list[np.ndarray]:
    """The first images of a data set's validation split, (H, W, C) in BGR, found and read as the training does.

    Raises:
        FileNotFoundError: if they do not exist.
    """
    return [read_image(path, channels) for path in split_images(yaml, "val")[:count]]


class EndToEnd:
    """Processes a list of images to boxes with the functions of Ultralytics' predictor.

    Images are fitted into the full square, so that each costs the network the same.

    Args:
        network: deployed network.
        imgsz: side of the square, in pixels.
        device: device of the network.
    """

    def __init__(self, network: AutoBackend, imgsz: int, device: torch.device):
        import_module("torchvision")  # once imported, as by Ultralytics' own predictor, it does the suppression
        predictor: Any = DetectionPredictor(overrides={"imgsz": imgsz, "rect": False, "verbose": False})
        predictor.model, predictor.device = network, device
        predictor.imgsz = [imgsz, imgsz]
        self.predictor = predictor

    def prepare(self, images: Sequence[np.ndarray]) -> Tensor:
        """Letterbox, move to the device and scale to [0, 1]: (B, C, H, W)."""
        prepared: Tensor = self.predictor.preprocess(list(images))
        return prepared

    def __call__(self, images: Sequence[np.ndarray]) -> Any:
        prepared = self.prepare(images)
        self.predictor.batch = [""] * len(images), images, [""] * len(images)
        return self.predictor.postprocess(self.predictor.model(prepared), prepared, list(images))


def batches(images: Sequence[np.ndarray], size: int) -> list[list[np.ndarray]]:
    """Batches that cycle through the images: as many as there are full ones, and at least one."""
    count = max(len(images) // size, 1)
    return [[images[(start * size + i) % len(images)] for i in range(size)] for start in range(count)]
