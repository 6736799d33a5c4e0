"""Find and read the images of a split with the functions that Ultralytics trains with."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ultralytics.data.base import BaseDataset
from ultralytics.data.utils import IMG_FORMATS, check_det_dataset, get_split_fraction, img2label_paths
from ultralytics.utils import DATASETS_DIR, LOGGER, SETTINGS_FILE
from ultralytics.utils.patches import imread

from yolo26_attention.data.data_yaml import DatasetInvalidError, DatasetMissingError, read_yaml

SPLITS = ("train", "val")


def split_images(yaml: Path, split: str, fraction: float | int = 1.0) -> list[Path]:
    """Return the images of a split in the order in which Ultralytics lists them.

    Args:
        yaml: YAML of the data set.
        split: train or val.
        fraction: part of the images to use, as `trainer.fraction`.

    Raises:
        DatasetMissingError: if the split or one of its images does not exist.
        DatasetInvalidError: if the YAML or a list of images cannot be used.
    """
    value = str(yaml)
    _, sources = find_sources(value, yaml, read_yaml(value, yaml))
    return [Path(file) for file in list_images(value, split, sources[split], fraction)]


def read_image(path: Path, channels: int) -> np.ndarray:
    """Read an image as the training does: (H, W, channels), 8 bits, BGR if it has three channels.

    Raises:
        DatasetMissingError: if it does not exist or cannot be decoded.
    """
    image = imread(path, flags=read_flag(channels))
    if image is None:
        raise DatasetMissingError(f"{path} does not exist or is not a readable image")
    return image


def read_flag(channels: int) -> int:
    """OpenCV's read flag for a number of channels, as in Ultralytics' `BaseDataset`."""
    return {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}.get(channels, cv2.IMREAD_UNCHANGED)


def label_files(images: Sequence[str]) -> list[Path]:
    """Return the path at which Ultralytics looks for each image's label."""
    return [Path(label) for label in img2label_paths(list(images))]


def find_sources(
    value: str, file: Path, content: dict[str, Any], download: bool = False
) -> tuple[Path, dict[str, list[Path]]]:
    """Return the data set's folder, and the folders or lists of images of each split; those of test may be missing.

    Args:
        value: the user's value, for messages.
        file: path of the YAML.
        content: content of the YAML.
        download: let Ultralytics download missing files, if the YAML has a `download`.

    Raises:
        DatasetMissingError: if something is missing or cannot be downloaded.
        DatasetInvalidError: if Ultralytics refuses the YAML.
    """
    fetching = bool(download and content.get("download"))
    try:
        found = check_det_dataset(file, autodownload=fetching)
    except (ValueError, TypeError, KeyError, SyntaxError) as error:
        raise DatasetInvalidError(f"data={value}: {error}") from error
    except Exception as error:  # a download fails in many ways
        if fetching:
            raise DatasetMissingError(
                f"data={value} cannot be downloaded ({type(error).__name__}: {error}); try again, or add the images"
            ) from error
        if not isinstance(error, FileNotFoundError):
            raise
        if content.get("download"):
            raise DatasetMissingError(
                f"data={value}: {error}\nPut the images there, or let Ultralytics download them: data.download=true"
            ) from error
        raise DatasetMissingError(_not_there(value, file, content, str(error))) from error
    sources = {}
    for split in SPLITS:
        paths = found[split] if isinstance(found[split], list) else [found[split]]
        sources[split] = [Path(path) for path in paths]
        for path in sources[split]:
            if not path.exists():  # Ultralytics checks only val, and only before it downloads
                raise DatasetMissingError(
                    _not_there(value, file, content, f"{split} names {path}, which does not exist")
                )
    held_out = found.get("test") or []
    sources["test"] = [Path(path) for path in (held_out if isinstance(held_out, list) else [held_out])]
    return Path(found["path"]), sources


def _not_there(value: str, file: Path, content: dict[str, Any], problem: str) -> str:
    """What to write into a YAML whose images are not found.

    Ultralytics takes a relative `path:` from the working directory if there is such a folder, otherwise from its own
    folder of data sets; without `path:`, it is the folder of the YAML.
    """
    root = Path(str(content.get("path") or file.parent))
    key = "data.yaml" if value.endswith((".yaml", ".yml")) else "data"
    told = f"{key}={value}: {problem.splitlines()[0]}"
    if root.is_absolute():
        return f"{told}\nCorrect path:, train: and val: in {file}, or put the images there"
    searched = f"the working directory, {Path.cwd()}, then in {DATASETS_DIR} (datasets_dir in {SETTINGS_FILE})"
    if content.get("download"):  # a set that is known by its place in Ultralytics' folder
        return f"{told}\nComplete the set; it is searched for in {searched}"
    told += (
        f"\npath: {content['path']} in {file} is relative, but not to the folder of the YAML: it is searched for "
        f"in {searched}"
    )
    meant = (file.parent / root).resolve()
    first = content["val"][0] if isinstance(content["val"], list) else content["val"]
    if not (meant / str(first)).exists():
        return (
            f"{told}\nWrite the absolute path of the folder that has {first}, or leave path: out if the YAML is in it"
        )
    if meant == file.parent.resolve():
        return f"{told}\nLeave path: out, and it is that folder, {meant}"
    return f"{told}\nWrite path: {meant}"


def data_folder(yaml: Path) -> Path:
    """Return the folder to which names of validation images are relative.

    Raises:
        DatasetMissingError: if the data set does not exist.
        DatasetInvalidError: if its YAML cannot be used.
    """
    return find_sources(str(yaml), yaml, read_yaml(str(yaml), yaml))[0]


def name_of(image: str | Path, folder: Path) -> str:
    """The name of an image: its path relative to the data set's folder if it is in it, with slashes."""
    path = Path(image)
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def list_images(value: str, split: str, sources: Sequence[Path], fraction: float | int = 1.0) -> list[str]:
    """Return the images that Ultralytics lists in folders and text files; every line of a file must be an image.

    Raises:
        DatasetMissingError: if there are none, or a listed image does not exist.
        DatasetInvalidError: if Ultralytics would skip a line.
    """
    for source in sources:
        if source.is_file():
            _check_list(value, split, source)
    listing = BaseDataset.__new__(BaseDataset)  # its __init__ would read every label and image
    listing.prefix, listing.fraction = "", get_split_fraction(fraction, "train")
    try:
        with quiet_ultralytics():
            found: list[str] = listing.get_img_files([str(source) for source in sources])
    except FileNotFoundError as error:
        raise DatasetMissingError(
            f"data={value}: {split} names {', '.join(map(str, sources))}, which has no images; "
            f"put some there, in one of the formats {', '.join(sorted(IMG_FORMATS))}"
        ) from error
    return found


@contextmanager
def quiet_ultralytics() -> Iterator[None]:
    """Keep Ultralytics' functions from printing and from advancing the global random generator."""
    stream, disabled = random.getstate(), LOGGER.disabled
    LOGGER.disabled = True
    try:
        yield
    finally:
        LOGGER.disabled = disabled
        random.setstate(stream)


def _check_list(value: str, split: str, source: Path) -> None:
    """Refuse a list with a line that Ultralytics would skip, or with missing images."""
    raw = source.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken = raw[: error.start].count(b"\n") + 1
        raise DatasetInvalidError(
            f"data={value}: {split} names {source}, which is not UTF-8 text (line {broken}); save it as UTF-8"
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as in text mode
    before = text[: len(text) - len(text.lstrip())].count("\n")
    for number, line in enumerate(text.strip().splitlines(), 1 + before):  # Ultralytics' own calls
        if not line.strip():
            continue
        place = f"data={value}: {source}, line {number}"
        if line.rpartition(".")[-1].lower() not in IMG_FORMATS:
            if line.lstrip().startswith("#"):
                continue
            raise DatasetInvalidError(f"{place} would be skipped by Ultralytics: {_left_out(line)}")
        path = line.replace("./", str(source.parent) + os.sep, 1) if line.startswith("./") else line
        if not os.path.isfile(path):
            raise DatasetMissingError(f"{place}: {split} lists {path}, which does not exist; {_way_out(line)}")


def _left_out(line: str) -> str:
    shown = line if len(line) <= 80 else f"{line[:80]}..."
    if line != line.rstrip() and line.rstrip().rpartition(".")[-1].lower() in IMG_FORMATS:
        return f"{shown!r} ends with spaces; remove them"
    words = [word for word in line.split() if word.rpartition(".")[-1].lower() in IMG_FORMATS]
    if words:
        return f"{shown!r} has more than an image path; put boxes into label files, and one path on each line"
    if line.strip().lower().endswith(".txt"):
        return f"{shown!r} is a list in a list; name every list in the YAML: [a.txt, b.txt]"
    return f"{shown!r} has no image extension; put one image path on each line and begin comments with #"


def _way_out(line: str) -> str:
    if line.startswith("#"):
        return "a comment must not end with an image extension"
    if os.path.isabs(line) or line.startswith("./"):
        return "correct the list"
    return (
        f"only paths that begin with ./ are relative to the list, others to the working directory {Path.cwd()}; "
        "put ./ before it, or give the absolute path"
    )


def has_polygons(yaml: Path, fraction: float | int = 1.0) -> bool:
    """Whether a label of the training split is a polygon rather than a box; True if the images are missing.

    Args:
        yaml: YAML of the data set.
        fraction: part of the images to use, as `trainer.fraction`.
    """
    try:
        images = split_images(yaml, "train", fraction)
    except DatasetMissingError:
        return True
    files = [file for file in label_files([str(image) for image in images]) if file.is_file()]
    return any(len(line.split()) > 6 for file in files for line in file.read_text(encoding="utf-8").splitlines())
