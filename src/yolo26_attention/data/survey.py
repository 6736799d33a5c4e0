"""Inspect and count every image and label of a split, and compute its part of the identity."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo26_attention.data.contents import Contents, ImageFile, LabelFile
from yolo26_attention.data.data_yaml import DatasetInvalidError, DatasetMissingError
from yolo26_attention.data.splits import label_files, list_images

SHOWN = 3  # maximum number of faults in a message


@dataclass(frozen=True)
class Split:
    """The images and labels of a split that the training uses.

    Attributes:
        images: number of listed images; for train, of those used by `trainer.fraction`.
        unlabelled: images without a label file, which count as background.
        looked_for: expected path of the first missing label; None if none is missing.
        backgrounds: images whose label file has no object.
        repeated: repeated listings of images, without the first of each.
        rows_dropped: label files with duplicate rows, which Ultralytics drops.
        first_dropped: file and line of the first such row.
        objects: rows of all label files.
    """

    images: int
    unlabelled: int = 0
    looked_for: str | None = None
    backgrounds: int = 0
    repeated: int = 0
    rows_dropped: int = 0
    first_dropped: str | None = None
    objects: int = 0


@dataclass(frozen=True)
class Look:
    """Result for a split: its counts, its part of the identity, and the digest of every image."""

    split: Split
    listing: list[tuple[str, str, str | None]]
    digests: set[str]
    changed_at: float


def look_at(value: str, split: str, sources: Sequence[Path], contents: Contents, fraction: Any) -> Look:
    """Inspect every image and label of a split, and refuse files that Ultralytics would skip or overwrite.

    Args:
        value: the user's value for the data set, for messages.
        split: train or val.
        sources: its folders and lists of images.
        contents: reads files.
        fraction: part of the training images to use.

    Raises:
        DatasetMissingError: if an image does not exist, or no image has a label.
        DatasetInvalidError: if a file cannot be used, or no label has an object.
    """
    paths = list_images(value, split, sources)
    places = label_files(paths)
    images, labels = contents.images(paths), [contents.label(place) for place in places]
    if not any(labels):
        raise DatasetMissingError(
            f"data={value}: no image of {split} has a label; that of {paths[0]} should "
            f"be {places[0]} (the last folder named images becomes labels)"
        )
    _refuse_faults(value, split, paths, images, places, labels)
    used = _used(value, split, sources, len(paths), fraction)
    if not any(label and label.labels.objects for label in labels[:used]):
        raise DatasetInvalidError(f"data={value}: no label of {split} has an object, for example {places[0]}")
    changed = [image.changed_at for image in images] + [label.changed_at for label in labels if label]
    names = _names(paths, sources)
    digests = [label.digest if label else None for label in labels]
    listing = list(zip(names, [image.digest for image in images], digests, strict=True))
    counted = _count(paths, images[:used], labels[:used], places)
    return Look(counted, listing, {image.digest for image in images[:used]}, max(changed))


def _refuse_faults(
    value: str,
    split: str,
    paths: Sequence[str],
    images: Sequence[ImageFile],
    places: Sequence[Path],
    labels: Sequence[LabelFile | None],
) -> None:
    faults = [f"{path} {image.fault}" for path, image in zip(paths, images, strict=True) if image.fault]
    found = [(at, label.labels.fault) for at, label in zip(places, labels, strict=True) if label is not None]
    faults += [f"{at}{fault}" for at, fault in found if fault is not None]
    faults = list(dict.fromkeys(faults))  # an image that is listed twice has one fault
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        shown = "; ".join(faults[:SHOWN]) + more
        raise DatasetInvalidError(f"data={value}: {split} has unusable files: {shown}. Fix or remove them")


def keeps_all(fraction: Any) -> bool:
    """Whether this `trainer.fraction` keeps all images; Ultralytics takes 1 for 1.0."""
    return bool(fraction == 1)


def _used(value: str, split: str, sources: Sequence[Path], listed: int, fraction: Any) -> int:
    """Number of listed images that the training uses, from the first."""
    if split != "train" or keeps_all(fraction):
        return listed
    try:
        return len(list_images(value, split, sources, fraction))
    except ValueError as error:
        raise DatasetInvalidError(f"trainer.fraction={fraction}: {error}") from error


def _count(
    paths: Sequence[str], images: Sequence[ImageFile], labels: Sequence[LabelFile | None], places: Sequence[Path]
) -> Split:
    unlabelled = [place for place, label in zip(places, labels, strict=False) if label is None]
    dropped = {place: label.labels.repeated for place, label in zip(places, labels, strict=False) if label}
    dropped = {place: line for place, line in dropped.items() if line}
    first = next(iter(dropped.items()), None)
    return Split(
        images=len(images),
        unlabelled=len(unlabelled),
        looked_for=str(unlabelled[0]) if unlabelled else None,
        backgrounds=sum(label is not None and not label.labels.objects for label in labels),
        repeated=_repeated(paths, images),
        rows_dropped=len(dropped),
        first_dropped=f"{first[0]}, line {first[1]}" if first else None,
        objects=sum(label.labels.objects for label in labels if label),
    )


def _repeated(paths: Sequence[str], images: Sequence[ImageFile]) -> int:
    """Number of images that are listed again, also by a symbolic link; a hard link is an image of its own."""
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    for path, image in zip(paths, images, strict=False):
        names[image.file].append(path)
    shared = [found for found in names.values() if len(found) > 1]  # resolving every path would take seconds
    return sum(len(found) - len(set(map(os.path.realpath, found))) for found in shared)


def _names(paths: Sequence[str], sources: Sequence[Path]) -> list[str]:
    """Names of images relative to their source's folder, so that a moved set keeps its identity."""
    folders = [str(source if source.is_dir() else source.parent) + os.sep for source in sources]
    inside = [next((folder for folder in folders if path.startswith(folder)), "") for path in paths]
    return [path.removeprefix(folder).replace(os.sep, "/") for path, folder in zip(paths, inside, strict=True)]
