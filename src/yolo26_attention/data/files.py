"""Read one file of a data set and find faults for which Ultralytics would not use it completely.

Ultralytics skips or overwrites such a file, with only a warning.
"""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from ultralytics.data.utils import check_image
from ultralytics.utils.patches import imread

from yolo26_attention.data.splits import read_flag

JPEG_END = b"\xff\xd9"
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)  # known errors of decoders; Ultralytics skips the image on any error
TOLERANCE = 0.01  # by which Ultralytics allows coordinates to exceed the image


@dataclass(frozen=True)
class Labels:
    """Content of a label file.

    Attributes:
        fault: why it cannot be used, as words that follow its path; None if it can.
        objects: number of rows.
        repeated: number of the first line that Ultralytics drops as a duplicate; 0 for none.
    """

    fault: str | None
    objects: int = 0
    repeated: int = 0


def image_fault(path: Path, channels: int) -> str | None:
    """Describe why the training cannot use an image, as words that follow its path; None if it can.

    The image is decoded by the training's function and checked by the function that scans data sets.

    Args:
        path: path of an existing file.
        channels: required number of channels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about large images and metadata
            if _ends_early(path):
                return "is a truncated JPEG, which Ultralytics would overwrite with the part that it can read"
            check_image(str(path))
            image = imread(path, flags=read_flag(channels))
    except AssertionError as error:
        return f"is refused by Ultralytics: {error}"
    except ImportError:  # Ultralytics tries a HEIC decoder if Pillow knows none
        return "is not an intact image (unknown format)"
    except cv2.error as error:
        return f"cannot be decoded by OpenCV, which the training uses ({error.err})"
    except UNREADABLE as error:
        return f"is not an intact image ({error})"
    if image is None:
        return "is not an intact image (OpenCV, which the training uses, cannot decode it)"
    if image.shape[2] != channels:
        return f"has {image.shape[2]} channels as the training reads it, but channels: in the YAML is {channels}"
    if image.dtype != np.uint8:
        return f"is read as {image.dtype}; the training needs images of 8 or 16 bits per channel"
    return _other_array(path, image)


def _ends_early(path: Path) -> bool:
    """Whether it is a truncated JPEG, which Ultralytics' check would rewrite."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2, 0))
        end = file.read(2)
    if end == JPEG_END:
        return False
    with Image.open(path) as image:
        return image.format == "JPEG"


def _other_array(path: Path, image: np.ndarray) -> str | None:
    """Describe the fault if Ultralytics would load another image from the .npy beside this one."""
    array = path.with_suffix(".npy")
    try:
        if array.stat().st_mtime < path.stat().st_mtime:
            return None
        kept = np.load(array, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # it does not exist, or Ultralytics removes it
        return None
    if (kept.ndim >= 3 and kept.shape[-1] != image.shape[-1]) or kept.dtype == np.uint16:
        return None  # Ultralytics rewrites it
    if np.array_equal(kept.reshape(image.shape) if kept.size == image.size else kept, image):
        return None
    return f"is not used: Ultralytics would train on {array.name} beside it, which holds another image; remove that"


def read_labels(content: bytes, classes: int, keypoints: int = 0) -> Labels:
    """Read the rows of a label file by Ultralytics' rules.

    Args:
        content: content of the file.
        classes: number of valid classes; 0 for any.
        keypoints: number of columns that a row may have after its box.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return Labels(" is not text in UTF-8")
    polygons: set[bool] = set()
    rows: set[bytes] = set()
    repeated = 0
    for number, columns in _rows(lines, keypoints):
        polygons.add(len(columns) > 5)
        reason = _row_fault(columns) or _class_fault(columns[0], classes)
        if reason is None and len(polygons) > 1:
            reason = "is a box among polygons, or a polygon among boxes"
        if reason is not None:
            return Labels(f", line {number} {reason}")
        row = np.array(columns, np.float32).tobytes()
        if row in rows:
            repeated = repeated or number
        rows.add(row)
    return Labels(None, len(rows), repeated)


def _rows(lines: Sequence[str], keypoints: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns, without keypoints, of every non-blank line."""
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if keypoints and len(columns) == 5 + keypoints:
            columns = columns[:5]
        if columns:
            yield number, columns


def _row_fault(columns: Sequence[str]) -> str | None:
    """Describe why Ultralytics cannot read a row, by its rules; None if it can."""
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        return f"has {len(columns)} columns; it needs 5: class, x, y, width, height (a polygon: class and its points)"
    try:
        values = [float(column) for column in columns]
    except ValueError:
        return f"is not a row of numbers: {' '.join(columns)[:40]!r}"
    if not all(map(math.isfinite, values)):
        return "has a value that is not finite"
    box = values[1:] if len(values) == 5 else _box(values[1:])
    if max(box) > 1 + TOLERANCE:
        return f"has {max(box):g}; coordinates are shares of the image, 0 to 1"
    if min(box) < -TOLERANCE or min(box[2:]) < 0:
        return f"has {min(box):g}; coordinates are shares of the image, 0 to 1"
    return None


def _class_fault(column: str, classes: int) -> str | None:
    number = float(column)
    if number < 0 or number % 1:
        return f"has class {column}; classes are whole numbers from 0"
    if classes and number >= classes:
        return f"has class {column}, and names: has 0 to {classes - 1}"
    return None


def _box(points: Sequence[float]) -> list[float]:
    """Bounding box of a polygon: centre and size, (x, y, width, height)."""
    sides = [(min(axis), max(axis)) for axis in (points[0::2], points[1::2])]
    return [(low + high) / 2 for low, high in sides] + [high - low for low, high in sides]
