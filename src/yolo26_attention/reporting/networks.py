"""The networks of runs, and images as networks take them, for figures of what happens inside."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from ultralytics import YOLO
from ultralytics.data.augment import LetterBox

from yolo26_attention.data.splits import read_image
from yolo26_attention.detector.sites import channels_of, largest_stride
from yolo26_attention.detector.trust import Trust, known_classes_only
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.record import replaced_best
from yolo26_attention.reporting.study import StudyRun

log = logging.getLogger(__name__)


def load_network(run: StudyRun) -> nn.Module | None:
    """Load the network of a run's best.pt, in evaluation mode.

    Returns None, with a warning, if the file is damaged, was replaced since the training, or holds foreign code: runs
    may come from elsewhere.
    """
    best = RunFolder(run.folder).best
    if run.record is not None and (problem := replaced_best(run.record, run.folder)):
        log.warning("the report does not show what this network looks at: %s", problem)
        return None
    try:
        with known_classes_only("best.pt", best, Trust()):
            network: Any = YOLO(best)
            model: nn.Module = network.model.eval()
    except (ValueError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        log.warning("the report does not show what this network looks at: %s", error)
        return None
    return model


def network_input(model: nn.Module, path: Path, imgsz: int) -> NDArray[np.float32]:
    """An image as the network takes it: (H, W, C), 0 to 1, letterboxed as Ultralytics' predictor does."""
    pixels = read_image(path, channels_of(model))
    if pixels.shape[2] == 3:
        pixels = pixels[..., ::-1]  # RGB
    boxed = LetterBox(imgsz, auto=True, stride=largest_stride(model))(image=pixels)
    return np.ascontiguousarray(boxed, dtype=np.float32) / np.float32(255)


def visible(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image with three channels: the image itself, or its first channel three times."""
    return image if image.shape[2] == 3 else image[..., :1].repeat(3, axis=2)
