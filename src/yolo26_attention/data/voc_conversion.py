"""Converts a data set in the form of Pascal VOC to the layout that Ultralytics trains on.

Ultralytics' own conversion is a script in its VOC.yaml, for the data set of that name alone: it moves the images and
checks no file.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from ultralytics.data.utils import exif_size

from yolo26_attention.data.data_yaml import DatasetInvalidError
from yolo26_attention.data.digits import BYPRODUCTS
from yolo26_attention.data.voc import VocImage, VocSet, read_voc
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.building import build_folder, discard_folder
from yolo26_attention.files.digest import file_digest, json_digest

log = logging.getLogger(__name__)

CONVERSION = 1  # increases when the same annotations are converted to other labels


@dataclass(frozen=True)
class Converted:
    """A converted data set: the path of its YAML, and what the conversion left out or changed, one line each."""

    yaml: Path
    remarks: tuple[str, ...]


@dataclass
class _Label:
    """The rows of one image, and its boxes that are not used as they are."""

    rows: list[tuple[str, float, float, float, float]]
    difficult: int = 0
    without_area: int = 0
    clipped: int = 0


def convert_voc(name: str, source: Path, cache: Path, digest: str | None = None) -> Converted:
    """Convert a data set in the form of Pascal VOC, unless this was done before and nothing changed since.

    Images are hard links to those of `source`, or copies on another file system. Labels have class, centre and size as
    fractions of the image. Classes are numbered in the order of their names, and the authors' splits are kept.

    Pascal VOC counts pixels from 1 and includes both ends, so that (1, 1, W, H) is the whole image: x1 = xmin - 1 and
    x2 = xmax, and y alike. Three kinds of boxes are not used as they are, and the remarks name them: objects marked
    `difficult` and boxes without area (xmax <= xmin or ymax <= ymin, or outside the image) are left out; boxes that
    extend beyond the image are clipped.

    Args:
        name: name of the data set, the beginning of the folder's name.
        source: folder with Annotations/, JPEGImages/ and ImageSets/.
        cache: folder of converted sets.
        digest: expected `VocSet.digest`; None accepts any.

    Raises:
        DatasetMissingError: if a file does not exist.
        DatasetInvalidError: if a file cannot be used, or the digest is another one.
        OSError: if the cache cannot be written.
    """
    voc = read_voc(source, cache)
    if digest is not None and voc.digest != digest:
        raise DatasetInvalidError(
            f"data.source={source} is not the data set that data={name} means: its images, boxes and splits have the "
            f"digest {voc.digest}, not data.digest={digest}; restore its files, or choose data=pascal_voc for a set of "
            "your own"
        )
    key = json_digest([CONVERSION, voc.digest])[:12]
    folder = cache.absolute() / f"{name}-{key}"
    if not folder.exists():
        for image in voc.images:
            _check_size(source, image)
    labels = [_label(image) for image in voc.images]
    classes = sorted({row[0] for label in labels for row in label.rows})
    if not classes:
        raise DatasetInvalidError(f"data.source={source} has no box that can be used in any annotation; add some")
    files = _files(voc, labels, classes)
    if folder.exists() and (fault := _fault(folder, voc, files)):
        log.warning("The converted set %s is damaged (%s); converting it again.", folder, fault)
        discard_folder(folder)
    if not folder.exists():
        _build(folder, source, voc, files)
    return Converted(_write_yaml(folder, voc, classes), tuple(_remarks(voc, labels)))


def _label(image: VocImage) -> _Label:
    label = _Label([])
    for found in image.objects:
        xmin, ymin, xmax, ymax = found.box
        x1, y1, x2, y2 = max(xmin - 1, 0), max(ymin - 1, 0), min(xmax, image.width), min(ymax, image.height)
        if found.difficult:
            label.difficult += 1
        elif xmax <= xmin or ymax <= ymin or x2 <= x1 or y2 <= y1:
            label.without_area += 1
        else:
            label.clipped += (x1, y1, x2, y2) != (xmin - 1, ymin - 1, xmax, ymax)
            label.rows.append((found.name, x1, y1, x2, y2))
    return label


def _files(voc: VocSet, labels: list[_Label], classes: list[str]) -> dict[str, bytes]:
    """The content of each label file, by its name."""
    numbers = {name: number for number, name in enumerate(classes)}
    files = {}
    for image, label in zip(voc.images, labels, strict=True):
        lines = []
        for name, x1, y1, x2, y2 in label.rows:
            centre = ((x1 + x2) / 2 / image.width, (y1 + y2) / 2 / image.height)
            size = ((x2 - x1) / image.width, (y2 - y1) / image.height)
            lines.append(f"{numbers[name]} {' '.join(f'{value:.6f}' for value in (*centre, *size))}\n")
        files[f"labels/{image.split}/{image.file.stem}.txt"] = "".join(lines).encode()
    return files


def _image_name(image: VocImage) -> str:
    return f"images/{image.split}/{image.file.name}"


def _fault(folder: Path, voc: VocSet, labels: dict[str, bytes]) -> str:
    """Describe the fault of a converted set; "" if it has none."""
    expected = {*labels, *map(_image_name, voc.images)}
    found = {file.relative_to(folder).as_posix() for file in folder.glob("*/*/*") if file.suffix not in BYPRODUCTS}
    if found != expected:
        name = min(found ^ expected)
        return f"{name} is {'missing' if name in expected else 'not part of it'}"
    for name, content in labels.items():
        if (folder / name).read_bytes() != content:
            return f"{name} has changed"
    for image in voc.images:
        file = folder / _image_name(image)
        if not os.path.samefile(file, image.file) and file_digest(file) != image.digest:
            return f"{_image_name(image)} has changed"
    return ""


def _build(folder: Path, source: Path, voc: VocSet, labels: dict[str, bytes]) -> None:
    with build_folder(folder) as building:
        for kind in ("images", "labels"):
            for split in {image.split for image in voc.images}:
                (building / kind / split).mkdir(parents=True)
        for name, content in labels.items():
            (building / name).write_bytes(content)
        for image in voc.images:
            _link(image.file, building / _image_name(image))
    log.info("Converted %s to %s.", source, folder)


def _check_size(source: Path, image: VocImage) -> None:
    """Refuse an annotation of another size: its boxes would be somewhere else."""
    with Image.open(image.file) as opened:
        width, height = exif_size(opened)  # turned as the training turns it
    if (width, height) != (image.width, image.height):
        raise DatasetInvalidError(
            f"data.source={source}: {image.annotation} says {image.width} x {image.height} pixels, but {image.file} "
            f"has {width} x {height}; correct its size element, or the image"
        )


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file.resolve(), to)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(file, to)


def _write_yaml(folder: Path, voc: VocSet, classes: list[str]) -> Path:
    """Write `data.yaml` unless it is already correct, as the folder may have been moved."""
    splits = dict.fromkeys(image.split for image in voc.images)
    content = {"path": str(folder), **{split: f"images/{split}" for split in splits}}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in content.items()]
    names = [f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(classes)]
    text = "".join([*lines, "names:\n", *names]).encode()
    file = folder / "data.yaml"
    if not file.is_file() or file.read_bytes() != text:
        write_atomically(file, text)
    return file


def _remarks(voc: VocSet, labels: list[_Label]) -> Iterable[str]:
    kinds = {
        "difficult": "boxes are marked difficult and left out; a detection of one counts as wrong",
        "without_area": "boxes have no area inside their image and are left out",
        "clipped": "boxes extend beyond their image and are clipped",
    }
    total = sum(len(image.objects) for image in voc.images)
    for kind, said in kinds.items():
        counts = [getattr(label, kind) for label in labels]
        if any(counts):
            first = next(image for image, count in zip(voc.images, counts, strict=True) if count)
            yield f"{sum(counts)} of {total} {said}; the first is in {first.annotation.name}"
    if voc.unlisted:
        unlisted, of = len(voc.unlisted), len(voc.unlisted) + len(voc.images)
        yield f"{unlisted} of {of} annotations are in no list and are not used; the first is {voc.unlisted[0]}.xml"
