"""Files of a data set that Ultralytics would leave out or overwrite with a warning that scrolls by.

A file is opened once and no image is decoded, so that a set of a hundred thousand images is looked through in seconds.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

SHOWN = 3  # faults in a message
LOOKED_INTO = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}  # others need decoders of their own
JPEG, PNG = (b"\xff\xd8", b"\xff\xd9"), (b"\x89PNG", b"IEND\xaeB`\x82")  # how they begin and end
TOLERANCE = 0.01  # by which Ultralytics lets coordinates leave the image


def describe_faults(images: Sequence[Path], labels: Sequence[Path], classes: int, keypoints: int = 0) -> str | None:
    """What is wrong with the images and labels of a split, in words; None if nothing is.

    Args:
        images: that are there.
        labels: where the label of each is, if it has one.
        classes: a label may name; 0 for any.
        keypoints: columns that a label may have behind its box.
    """
    faults = [*_image_faults(images), *_label_faults(labels, classes, keypoints)]
    if not faults:
        return None
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return "; ".join(faults[:SHOWN]) + more


def has_objects(labels: Sequence[Path]) -> bool:
    """Whether any label has a line."""
    return any(label.is_file() and label.read_bytes().strip() for label in labels)


def _image_faults(images: Sequence[Path]) -> Iterator[str]:
    for image in images:
        if image.suffix.lower() not in LOOKED_INTO:
            continue
        with image.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            begin = file.read(4)
            file.seek(max(size - 8, 0))
            end = file.read(8)
        if begin.startswith(JPEG[0]):
            if not end.endswith(JPEG[1]):
                yield f"{image} does not end as a JPEG does, and Ultralytics would overwrite it with what it can read"
        elif not (begin == PNG[0] and end == PNG[1]) and (reason := _undecodable(image)):
            yield f"{image} is no whole image ({reason})"


def _undecodable(path: Path) -> str | None:
    """Why an image of a format without a mark at its end cannot be read, as far as its beginning tells."""
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.load()
    except (UnidentifiedImageError, ImportError):  # Ultralytics then looks for a decoder of another format
        return "of no format that is known"
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    return None


def _label_faults(labels: Sequence[Path], classes: int, keypoints: int) -> Iterator[str]:
    for label in labels:
        if not label.is_file():
            continue
        try:
            lines = label.read_bytes().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            yield f"{label} is not text in UTF-8"
            continue
        kinds = set()
        for number, line in enumerate(lines, 1):
            columns = line.split()
            if not columns:
                continue
            if keypoints and len(columns) == 5 + keypoints:
                columns = columns[:5]
            kinds.add(len(columns) > 5)
            reason = _row_fault(columns) or _class_fault(columns[0], classes)
            if reason is None and len(kinds) > 1:
                reason = "is a box among polygons, or a polygon among boxes"
            if reason is not None:
                yield f"{label}, line {number} {reason}"
                break


def _row_fault(columns: Sequence[str]) -> str | None:
    """What keeps Ultralytics from reading a row: its own rules, one row at a time."""
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        return f"has {len(columns)} columns; it needs 5: class, x, y, width, height (a polygon: class and its points)"
    try:
        values = [float(column) for column in columns]
    except ValueError:
        return f"is no row of numbers: {' '.join(columns)[:40]!r}"
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
    """Centre and size of the box around a polygon, (x, y, width, height)."""
    sides = [(min(axis), max(axis)) for axis in (points[0::2], points[1::2])]
    return [(low + high) / 2 for low, high in sides] + [high - low for low, high in sides]
