"""Images that depend on each other, such as the frames of one video: an interval over images draws them together."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class GroupsError(ValueError):
    """Groups that cannot be formed; the message names the value and a way out."""


def check_groups(groups: str) -> None:
    """Check `data.groups`: a regular expression with one pair of parentheses, or a file.

    Raises:
        GroupsError: if it is neither.
    """
    if os.path.isfile(groups):
        _read(groups)
        return
    try:
        parts = re.compile(groups).groups
    except re.error as error:
        raise GroupsError(
            f"data.groups={groups} is neither a file nor a regular expression ({error}); try '(\\w+)_\\d+'"
        ) from error
    if parts != 1:
        way_out = "put one pair around what images of a group have in common"
        raise GroupsError(f"data.groups={groups} has {parts} pairs of parentheses; {way_out}")


def group_labels(images: Iterable[str], groups: str) -> NDArray[np.str_]:
    """The group of each image.

    Args:
        images: names relative to the data set's folder.
        groups: as `check_groups`; a file has a line `IMAGE GROUP` for each image.

    Raises:
        GroupsError: if an image is in no group.
    """
    check_groups(groups)
    names = list(images)
    if os.path.isfile(groups):
        listed = _read(groups)
        labels = [listed.get(name) for name in names]
    else:
        found = [re.search(groups, name) for name in names]
        labels = [None if match is None else match[1] for match in found]
    for name, label in zip(names, labels, strict=True):
        if label is None:
            raise GroupsError(f"data.groups={groups} says nothing about the image {name}; every image needs a group")
    return np.array(labels, dtype=np.str_)


def _read(file: str) -> dict[str, str]:
    key = f"data.groups={file}"
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise GroupsError(f"{key} is not text in UTF-8; save it as such") from error
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        image, _, group = line.strip().rpartition(" ")
        image = image.strip()
        if not group:
            continue
        if not image:
            raise GroupsError(f"{key}: line {number} has no group; write IMAGE GROUP")
        if image in listed:
            raise GroupsError(f"{key}: line {number} lists {image} again; give each image one line")
        listed[image] = group
    if not listed:
        raise GroupsError(f"{key} lists no image; write a line IMAGE GROUP for each")
    return listed
