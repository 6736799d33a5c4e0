"""Find, read and check the YAML of a data set."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yolo26_attention.config.plain_yaml import parse_yaml

OFFICIAL = {
    "coco8": "coco8.yaml",
    "coco128": "coco128.yaml",
    "coco": "coco.yaml",
    "voc": "VOC.yaml",
    "visdrone": "VisDrone.yaml",
}
SINGLE_CLASS = {0: "item"}  # Ultralytics' own names under single_cls


class DatasetError(Exception):
    """The data set cannot be used for training; the message names the value and a way out."""


class DatasetInvalidError(DatasetError, ValueError):
    """The YAML is invalid, or a file of the set is damaged."""


class DatasetMissingError(DatasetError, FileNotFoundError):
    """The YAML, or a file or folder that it names, does not exist."""


def bundled() -> Path:
    """Ultralytics' folder of data sets; imported here, because records are read without torch."""
    from ultralytics.utils import ROOT

    return ROOT / "cfg" / "datasets"


def find_yaml(value: str) -> Path:
    """Return the absolute path of a data set's YAML, given by name or by path.

    Raises:
        DatasetMissingError: if it does not exist.
    """
    if value in OFFICIAL:
        return bundled() / OFFICIAL[value]
    if value == "digits":
        raise DatasetMissingError("data=digits has no fixed path; give the result of build_digits")
    file = Path(value).expanduser()
    if not file.exists() and file.name == value and (bundled() / value).is_file():
        return bundled() / value
    if file.is_dir():
        raise DatasetMissingError(f"data.yaml={value} is a folder; give the YAML file in it")
    if file.suffix not in {".yaml", ".yml"}:
        close = get_close_matches(value, [*OFFICIAL, "digits"], n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise DatasetMissingError(
            f"data={value} is not known.{hint} The sets are digits, {', '.join(OFFICIAL)}; "
            "for a set of your own give data.yaml=PATH, a file that ends in .yaml or .yml"
        )
    if not file.is_file():
        raise DatasetMissingError(
            f"data.yaml={value}: there is no file {file.absolute()}; give the path of one that is there, or "
            f"data=NAME, one of digits, {', '.join(OFFICIAL)}"
        )
    return file.absolute()


def read_yaml(value: str, file: Path) -> dict[str, Any]:
    """Return the content of a data set's YAML.

    Raises:
        DatasetMissingError: if the file cannot be read.
        DatasetInvalidError: if it is not valid YAML, or lacks a key.
    """
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


def check_names(value: str, content: dict[str, Any], single_cls: bool) -> dict[int, str]:
    """Return the class names by class number.

    Names must differ, because results by class are stored by name; with `single_cls` they are not used.

    Raises:
        DatasetInvalidError: if the names cannot be used.
    """
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
    first: dict[str, int] = {}
    for number in sorted(names):
        earlier = first.setdefault(str(names[number]), number)
        if earlier != number and not single_cls:
            raise DatasetInvalidError(
                f"data={value}: classes {earlier} and {number} of names: are both called {names[number]}; "
                "give each class its own name, or merge them in the labels"
            )
    return {number: str(names[number]) for number in sorted(names)}


def class_names(file: Path, single_cls: bool) -> dict[int, str]:
    """Return the class names, by class number, of networks trained on a data set.

    Raises:
        DatasetError: if the YAML cannot be used.
    """
    return SINGLE_CLASS if single_cls else check_names(str(file), read_yaml(str(file), file), single_cls=True)


def check_channels(value: str, content: dict[str, Any]) -> int:
    """Return the number of channels of every image.

    Raises:
        DatasetInvalidError: if it is not a positive integer.
    """
    channels = content.get("channels", 3)
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise DatasetInvalidError(f"data={value}: channels={channels!r} must be a whole number from 1; 3 is colour")
    return channels
