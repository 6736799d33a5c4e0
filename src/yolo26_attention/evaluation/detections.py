"""Detections of a run's best.pt on every image of a split, and which were correct.

RUN/matches.npz has those of the validation images, `RunFolder.test_detections` those of the test images.

They allow mAP to be recomputed without the network: on resampled images, by object size, by class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from yolo26_attention.files.atomic import atomic
from yolo26_attention.statistics import Matches, average_precision

WHOLE = ("shapes", "image", "cls", "object_image", "object_cls")  # stored in the narrowest type that holds their values
THRESHOLDS = 10  # Ultralytics' IoU thresholds, 0.50 to 0.95


@dataclass(frozen=True, eq=False)
class Detections:
    """N detections and M objects on the images of a split; boxes are x1, y1, x2, y2 in pixels of the original image.

    Detections are in descending order of confidence, ties in Ultralytics' order.

    Attributes:
        images: names relative to the data set's folder, ascending.
        shapes: (images, 2) height and width.
        image: (N,) index into `images` of each detection.
        cls: (N,)
        conf: (N,)
        boxes: (N, 4)
        tp: (N, 10) bool, whether Ultralytics matched it to an object at IoU thresholds from 0.50 to 0.95.
        object_image: (M,) index into `images` of each object.
        object_cls: (M,)
        object_boxes: (M, 4)
    """

    images: NDArray[np.str_]
    shapes: NDArray[np.integer]
    image: NDArray[np.integer]
    cls: NDArray[np.integer]
    conf: NDArray[np.floating]
    boxes: NDArray[np.float32]
    tp: NDArray[np.bool_]
    object_image: NDArray[np.integer]
    object_cls: NDArray[np.integer]
    object_boxes: NDArray[np.float32]

    @cached_property
    def matches(self) -> Matches:
        """The arrays that mAP needs."""
        return Matches(self.images, self.image, self.cls, self.tp, self.object_image, self.object_cls)

    def ap_by_class(self, names: Mapping[int, str]) -> dict[str, float]:
        """AP50-95 of each class that has an object, computed as in Ultralytics."""
        precision = average_precision(self.matches).mean(axis=1)
        return {names[int(number)]: float(ap) for number, ap in zip(self.matches.classes, precision, strict=True)}

    def write(self, path: Path) -> None:
        """Write a compressed file atomically: about 15 bytes per detection."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays["tp"] = np.packbits(self.tp, axis=1)
        for name in WHOLE:
            arrays[name] = arrays[name].astype(np.min_scalar_type(int(arrays[name].max(initial=0))))
        with atomic(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)


def read_matches(path: Path) -> Detections:
    """Read a run's matches.npz.

    Raises:
        FileNotFoundError: if the run has none.
        ValueError: if the file is not valid.
    """
    try:
        with np.load(path) as content:
            arrays = {field.name: content[field.name] for field in fields(Detections)}
    except (BadZipFile, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} does not hold a run's matches ({error}); force=true trains the run anew") from error
    for name in WHOLE:  # 8-bit indices would wrap around after 256 images
        arrays[name] = arrays[name].astype(np.int64)
    arrays["tp"] = np.unpackbits(arrays["tp"], axis=1, count=THRESHOLDS).astype(bool)
    return Detections(**arrays)
