"""Reads a data set in the form of Pascal VOC: Annotations/, JPEGImages/ and ImageSets/Main/{train,val,test}.txt."""

import hashlib
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ultralytics.data.utils import IMG_FORMATS

from yolo26_attention.data.contents import Contents
from yolo26_attention.data.data_yaml import DatasetInvalidError, DatasetMissingError
from yolo26_attention.files.digest import json_digest

FOLDERS = ("Annotations", "JPEGImages", "ImageSets/Main")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
SPLITS = ("train", "val", "test")  # a set may lack the last one


@dataclass(frozen=True)
class VocObject:
    """An object as it is annotated: a box (xmin, ymin, xmax, ymax) of pixels, counted from 1, both ends included."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """An image with its annotation; `width` and `height` in pixels, as the annotation states them."""

    file: Path
    annotation: Path
    split: str
    width: int
    height: int
    objects: tuple[VocObject, ...]
    digest: str = ""


@dataclass(frozen=True)
class VocSet:
    """A data set in the form of Pascal VOC.

    Attributes:
        images: the images of all splits, by split and name.
        unlisted: names of annotations that no split lists.
    """

    images: tuple[VocImage, ...]
    unlisted: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over what is used: splits, names and bytes of images, sizes, classes and boxes."""
        parsed = [
            [i.split, i.file.name, i.digest, i.width, i.height, [[o.name, *o.box, o.difficult] for o in i.objects]]
            for i in self.images
        ]
        return json_digest(parsed)


def read_voc(folder: Path, cache: Path) -> VocSet:
    """Read and check every annotation and every image that a split lists.

    Args:
        folder: the folder with Annotations/, JPEGImages/ and ImageSets/.
        cache: folder of the image cache, by which the next call reads only changed images.

    Raises:
        DatasetMissingError: if a folder, a list, an image or an annotation does not exist.
        DatasetInvalidError: if a list, an image or an annotation cannot be used.
    """
    _check_folders(folder)
    listed = _listed(folder)
    files = _by_name(folder)
    images = [_read_image(folder, name, split, files) for name, split in listed.items()]
    images.sort(key=lambda image: (SPLITS.index(image.split), image.file.name))
    annotated = {file.stem for file in (folder / "Annotations").glob("*.xml")}
    return VocSet(_with_digests(folder, images, cache), tuple(sorted(annotated - set(listed))))


def is_voc(folder: Path) -> bool:
    """Whether a folder has the subfolders of Pascal VOC."""
    return all((folder / name).is_dir() for name in FOLDERS)


def _check_folders(folder: Path) -> None:
    if not folder.is_dir():
        raise DatasetMissingError(
            f"data.source={folder}: there is no such folder; give the one that has {', '.join(FOLDERS)}"
        )
    if missing := [name for name in FOLDERS if not (folder / name).is_dir()]:
        inside = next((child for child in sorted(folder.iterdir()) if is_voc(child)), None)
        hint = f"; did you mean data.source={inside}?" if inside else ""
        raise DatasetMissingError(
            f"data.source={folder} has no {missing[0]}; a folder of Pascal VOC has {', '.join(FOLDERS)}{hint}"
        )


def _listed(folder: Path) -> dict[str, str]:
    """The split of each listed image, by its name without extension."""
    lists = folder / "ImageSets/Main"
    found: dict[str, str] = {}
    for split in SPLITS:
        file = lists / f"{split}.txt"
        if not file.is_file():
            if split == "test":
                continue
            there = ", ".join(sorted(path.name for path in lists.glob("*.txt"))) or "no list"
            raise DatasetMissingError(
                f"data.source={folder}: there is no {file}, which names the images of {split}, one on each line; "
                f"there is {there}"
            )
        names = [line.strip() for line in _text(folder, file).splitlines() if line.strip()]
        if not names:
            raise DatasetInvalidError(f"data.source={folder}: {file} names no image; write one name on each line")
        for name in names:
            if name in found:
                where = f"twice in {file}" if found[name] == split else f"in {found[name]}.txt and in {file}"
                raise DatasetInvalidError(f"data.source={folder}: the image {name} is {where}; name it once")
            found[name] = split
    return found


def _text(folder: Path, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetInvalidError(f"data.source={folder}: {file} is not text in UTF-8; save it as such") from error


def _by_name(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for file in sorted((folder / "JPEGImages").iterdir()):
        if file.suffix.removeprefix(".").lower() in IMG_FORMATS:
            files.setdefault(file.stem, []).append(file)
    return files


def _read_image(folder: Path, name: str, split: str, files: Mapping[str, list[Path]]) -> VocImage:
    found = files.get(name, [])
    if not found:
        raise DatasetMissingError(
            f"data.source={folder}: {split}.txt names {name}, but JPEGImages/ has no image of this name; lists hold "
            "names without extension, one on each line: correct the line, or put the image there"
        )
    if len(found) > 1:
        raise DatasetInvalidError(
            f"data.source={folder}: {split}.txt names {name}, and JPEGImages/ has {found[0].name} and {found[1].name}; "
            "remove one of them"
        )
    annotation = folder / "Annotations" / f"{name}.xml"
    if not annotation.is_file():
        raise DatasetMissingError(
            f"data.source={folder}: {split}.txt names {name}, but there is no {annotation}; put it there, or take the "
            "image out of the list"
        )
    try:
        root = ET.parse(annotation).getroot()
        width, height = (int(_number(root, f"size/{side}")) for side in ("width", "height"))
        objects = tuple(_object(element, number) for number, element in enumerate(root.findall("object"), 1))
    except (ET.ParseError, ValueError) as error:
        raise DatasetInvalidError(
            f"data.source={folder}: {annotation} cannot be read: {error}; correct the file, or take the image out of "
            f"{split}.txt"
        ) from error
    return VocImage(found[0], annotation, split, width, height, objects)


def _object(element: ET.Element, number: int) -> VocObject:
    """Read one object; its `part` elements, which have boxes of their own, are not read."""
    try:
        name = (element.findtext("name") or "").strip()
        if not name:
            raise ValueError("name is missing")
        xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{corner}") for corner in CORNERS)
        difficult = element.find("difficult") is not None and _number(element, "difficult") != 0
    except ValueError as error:
        raise ValueError(f"object {number}: {error}") from error
    return VocObject(name, (xmin, ymin, xmax, ymax), difficult)


def _number(element: ET.Element, path: str) -> float:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"{path} is missing")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path} is {text.strip()!r}, which is no number")
    return value


def _with_digests(folder: Path, images: list[VocImage], cache: Path) -> tuple[VocImage, ...]:
    short = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    contents = Contents(cache / f"seen-{short}.json", channels=3, classes=0, keypoints=0)
    read = contents.images([str(image.file) for image in images])
    contents.keep()
    for image, seen in zip(images, read, strict=True):
        if seen.fault is not None:
            raise DatasetInvalidError(
                f"data.source={folder}: {image.file} {seen.fault}; replace it, or take it out of {image.split}.txt"
            )
    return tuple(replace(image, digest=seen.digest) for image, seen in zip(images, read, strict=True))
