"""Which data set a run trains on: found, read and checked before anything is trained."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ultralytics.data.utils import IMG_FORMATS, check_det_dataset, img2label_paths
from ultralytics.utils import DATASETS_DIR, ROOT, SETTINGS_FILE

from src.data.digits import fingerprint
from src.data.files import describe_faults, has_objects
from src.plain_yaml import parse_yaml

OFFICIAL = {
    "coco8": "coco8.yaml",
    "coco128": "coco128.yaml",
    "coco": "coco.yaml",
    "voc": "VOC.yaml",
    "visdrone": "VisDrone.yaml",
}
BUNDLED = ROOT / "cfg" / "datasets"  # whose content is that of their source
LOCATION_KEYS = {"path", "download", "train", "val", "validation", "test", "minival"}


class DatasetError(Exception):
    """A data set that cannot be trained on; the message names the value and a way out."""


class DatasetInvalidError(DatasetError, ValueError):
    """The YAML does not say what it must."""


class DatasetMissingError(DatasetError, FileNotFoundError):
    """The YAML, or what it names, is not there."""


@dataclass(frozen=True)
class Dataset:
    """A data set that passed its checks.

    Attributes:
        yaml: absolute path of the YAML, for Ultralytics' `data` argument.
        names: class number to class name.
        channels: of every image.
        identity: hash of what defines the set: the YAML apart from locations, and the set's
            content. That is the fingerprint for digits; the splits as written where the YAML has
            a `download`, because its source fixes the content; otherwise names and sizes of all
            images and labels.
    """

    yaml: Path
    names: dict[int, str]
    channels: int
    identity: str


def resolve_dataset(name_or_yaml: str | Path, *, download: bool = False, single_cls: bool = False) -> Dataset:
    """Find, read and check a data set; writes and downloads nothing.

    Args:
        name_or_yaml: coco8, coco128, coco, voc or visdrone (or any file name in Ultralytics'
            `cfg/datasets`), or the path of a YAML, such as `build_digits` returns.
        download: let a set pass whose images are not there but whose YAML has a `download`:
            Ultralytics then fetches it when training starts.
        single_cls: every object counts as of the first class, whatever its label says.

    Raises:
        DatasetInvalidError: the YAML is not one, or lacks or contradicts something; an image or a label is damaged.
        DatasetMissingError: the YAML, a folder or file it names, images or labels are not there.
    """
    value = str(name_or_yaml)
    file = _find_yaml(value)
    content = _read_yaml(value, file)
    names = _check_names(value, content)
    channels = content.get("channels", 3)
    if not _is_count(channels):
        raise DatasetInvalidError(f"data={value}: channels={channels!r} must be a whole number from 1; 3 is colour")
    sources = _find_sources(value, file, content, download)

    definition: dict[str, Any] = {k: v for k, v in content.items() if k not in LOCATION_KEYS}
    definition |= {"names": names, "nc": len(names), "channels": channels}
    if (file.parent / "fingerprint.json").is_file():
        definition["content"] = fingerprint(file)
    elif file.parent == BUNDLED:
        definition["content"] = [content["train"], content["val"]]
    else:
        splits = {split: _find_files(value, split, sources[split]) for split in sources}
        keypoints = math.prod(content.get("kpt_shape") or [0])
        for split, files in splits.items():
            _check_files(value, split, files, 0 if single_cls else len(names), keypoints)
        listings = [[[name, *_sizes(image, label)] for name, image, label in files] for files in splits.values()]
        definition["content"] = [content["train"], content["val"]] if content.get("download") else listings
    text = json.dumps(definition, sort_keys=True, default=str)
    return Dataset(file, names, channels, hashlib.sha256(text.encode()).hexdigest())


def _find_yaml(value: str) -> Path:
    if value in OFFICIAL:
        return BUNDLED / OFFICIAL[value]
    if value == "digits":
        raise DatasetMissingError("data=digits has no fixed place; give what build_digits returns")
    file = Path(value).expanduser()
    if not file.exists() and file.name == value and (BUNDLED / value).is_file():
        return BUNDLED / value
    if file.is_dir():
        raise DatasetMissingError(f"data={value} is a folder; give the YAML file in it")
    if file.suffix not in {".yaml", ".yml"}:
        close = get_close_matches(value, [*OFFICIAL, "digits"], n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise DatasetMissingError(
            f"data={value} is not known.{hint} The sets are digits, {', '.join(OFFICIAL)}; "
            "for a set of your own give data.yaml=PATH, a file that ends in .yaml or .yml"
        )
    if not file.is_file():
        raise DatasetMissingError(
            f"data={value}: there is no file {file.absolute()}; give the path of a YAML, or one of "
            f"digits, {', '.join(OFFICIAL)}"
        )
    return file.absolute()


def _read_yaml(value: str, file: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(file.read_bytes())
    except OSError as error:
        raise DatasetMissingError(f"data={value} cannot be read: {error}") from error
    except ValueError as error:
        raise DatasetInvalidError(f"data={value} {error}") from error
    if not isinstance(content, dict):
        raise DatasetInvalidError(
            f"data={value} holds {type(content).__name__}, not keys and values; it needs train:, val: and names:"
        )
    for key in ("train", "val", "names"):
        if not content.get(key):
            raise DatasetInvalidError(
                f"data={value} has no {key}; it needs train: and val: (folders of images, relative "
                "to path:) and names: (the classes)"
            )
    return content


def _check_names(value: str, content: dict[str, Any]) -> dict[int, str]:
    names = content["names"]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise DatasetInvalidError(f"data={value}: names={names!r} must be a list, or a mapping of numbers to names")
    with suppress(ValueError, TypeError):
        names = {int(number): name for number, name in names.items()}
    if set(names) != set(range(len(names))):
        raise DatasetInvalidError(
            f"data={value}: names are numbered {', '.join(map(str, names))}; "
            f"number the {len(names)} classes from 0 to {len(names) - 1}"
        )
    nc = content.get("nc", len(names))
    if nc != len(names):
        raise DatasetInvalidError(
            f"data={value}: nc={nc!r} but there are {len(names)} names; correct nc or leave it out"
        )
    return {number: str(names[number]) for number in sorted(names)}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _find_sources(value: str, file: Path, content: dict[str, Any], download: bool) -> dict[str, list[Path]]:
    """Return folders or lists of images of each split; nothing for a set still to be fetched."""
    try:
        found = check_det_dataset(file, autodownload=False)
    except FileNotFoundError as error:
        if not content.get("download"):
            raise DatasetMissingError(
                f"data={value}: {error}\nCorrect path:, train: and val: in {file}, or put the images there"
            ) from error
        if not download:
            raise DatasetMissingError(
                f"data={value}: {error}\nPut the images there, or let Ultralytics fetch them: data.download=true"
            ) from error
        return {}
    except (ValueError, TypeError, KeyError, SyntaxError) as error:
        raise DatasetInvalidError(f"data={value}: {error}") from error

    sources = {}
    for split in ("train", "val"):
        paths = found[split] if isinstance(found[split], list) else [found[split]]
        sources[split] = [Path(path) for path in paths]
        for path in sources[split]:
            if not path.exists():  # Ultralytics looks only at val before it decides to download
                raise DatasetMissingError(
                    f"data={value}: {split} names {path}, which is not there (the other split is); "
                    f"correct {split}: or path: in {file}, or complete the set there. "
                    f"Relative paths are looked for here, then in {DATASETS_DIR} "
                    f"(datasets_dir in {SETTINGS_FILE})"
                )
    return sources


def _find_files(value: str, split: str, sources: list[Path]) -> list[tuple[str, Path, Path]]:
    """Return name, image and label of every image of a split; some images may have no label."""
    images = [image for source in sources for image in _images(source)]
    if not images:
        raise DatasetMissingError(
            f"data={value}: {split} names {', '.join(map(str, sources))}, which has no images; "
            f"put some there, of one of the formats {', '.join(sorted(IMG_FORMATS))}"
        )
    labels = [Path(label) for label in img2label_paths([str(path) for _, path in images])]
    for _, image in images:
        if not image.is_file():
            raise DatasetMissingError(f"data={value}: {split} lists {image}, which is not there; correct the list")
    if not any(label.is_file() for label in labels):
        raise DatasetMissingError(
            f"data={value}: no image of {split} has a label; the one of {images[0][1]} was looked "
            f"for at {labels[0]} (the last folder named images becomes labels)"
        )
    return [(name, image, label) for (name, image), label in zip(images, labels, strict=True)]


def _sizes(image: Path, label: Path) -> tuple[int, int]:
    """Return the sizes of an image and of its label (-1 for none)."""
    return image.stat().st_size, label.stat().st_size if label.is_file() else -1


def _check_files(value: str, split: str, files: list[tuple[str, Path, Path]], classes: int, keypoints: int) -> None:
    """Refuse images and labels that Ultralytics would leave out or overwrite."""
    _, images, labels = zip(*files, strict=True)
    if faults := describe_faults(images, labels, classes, keypoints):
        raise DatasetInvalidError(f"data={value}: {split} cannot be used whole: {faults}. Mend them, or take them out")
    if not has_objects(labels):
        raise DatasetInvalidError(f"data={value}: no label of {split} has an object, {labels[0]} for one")


def _images(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each image in a folder, or of each that a text file lists."""
    if source.is_dir():
        found = ((path.relative_to(source).as_posix(), path) for path in source.rglob("*.*"))
    else:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
        # as Ultralytics: only what begins with ./ is relative to the list
        found = ((x, source.parent / x if x.startswith("./") else Path(x)) for x in lines)
    yield from sorted((name, path) for name, path in found if path.suffix[1:].lower() in IMG_FORMATS)
