"""Which data set a run trains on: found, read and checked before anything is trained."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yolo26_attention.data.contents import Contents
from yolo26_attention.data.data_yaml import (
    OFFICIAL,
    SINGLE_CLASS,
    DatasetError,
    DatasetInvalidError,
    DatasetMissingError,
    check_channels,
    check_names,
    find_yaml,
    read_yaml,
)
from yolo26_attention.data.digits import fingerprint, is_digits
from yolo26_attention.data.former import former_listing
from yolo26_attention.data.splits import find_sources
from yolo26_attention.data.survey import Split, look_at

__all__ = ["OFFICIAL", "Dataset", "DatasetError", "DatasetInvalidError", "DatasetMissingError", "resolve_dataset"]

LOCATION_KEYS = {"path", "download", "train", "val", "validation", "test", "minival"}


@dataclass(frozen=True)
class Dataset:
    """A data set that passed its checks.

    Attributes:
        yaml: absolute path of the YAML, for Ultralytics' `data` argument.
        names: class number to class name of the network; one neutral name under single_cls, as Ultralytics has it.
        channels: of every image.
        identity: hash of what defines the set: the YAML apart from locations, and the names and bytes of all images
            and labels, in the order of training.
        changed_at: newest mtime of any image, label or list of images, in seconds since the epoch.
        splits: what the training takes of train and of val.
        shared: validation images whose bytes are those of a training image.
    """

    yaml: Path
    names: dict[int, str]
    channels: int
    identity: str
    changed_at: float
    splits: dict[str, Split]
    shared: int
    definition: dict[str, Any] = field(repr=False, compare=False)
    sources: dict[str, list[Path]] = field(repr=False, compare=False)

    @cached_property
    def sizes_identity(self) -> str:
        """The identity as it was before it followed content, by which runs of then are found again.

        It is over the fingerprint for digits, the splits as written where the YAML has a `download`, and otherwise
        names and sizes of all images and labels.
        """
        return _hash({**self.definition, "content": former_listing(self.yaml, self.sources)})

    @property
    def counts(self) -> dict[str, Any]:
        """What a record keeps, as plain values."""
        splits = {name: asdict(split) for name, split in self.splits.items()}
        return {"identity": self.identity, **splits, "shared": self.shared}

    @property
    def notes(self) -> list[str]:
        """What one should know before training on it, a line each."""
        lines = []
        for name, split in self.splits.items():
            if split.unlabelled:
                lines.append(
                    f"{split.unlabelled} of {split.images} images of {name} have no label file and count as "
                    f"background; the first one's was looked for at {split.looked_for}"
                )
            if split.repeated:
                lines.append(f"{split.repeated} of {split.images} images of {name} are listed more than once")
            if split.rows_dropped:
                lines.append(
                    f"{split.rows_dropped} label files of {name} have a row twice, which Ultralytics takes once; "
                    f"the first is {split.first_dropped}"
                )
        if self.shared:
            lines.append(f"{self.shared} of {self.splits['val'].images} images of val are images of train, too")
        return [f"data: {line}" for line in lines]


def resolve_dataset(
    name_or_yaml: str | Path,
    *,
    download: bool = False,
    single_cls: bool = False,
    fraction: Any = 1.0,
    cache: Path | None = None,
) -> Dataset:
    """Find, read and check a data set.

    Args:
        name_or_yaml: coco8, coco128, coco, voc or visdrone (or any file name in Ultralytics'
            `cfg/datasets`), or the path of a YAML, such as `build_digits` returns.
        download: let Ultralytics fetch a set that is not there, if its YAML has a `download`.
        single_cls: every object counts as of one class, whatever its label says.
        fraction: of the training images that are used, as `trainer.fraction`.
        cache: folder for what was seen of images, so that the next call reads only those that changed.

    Raises:
        DatasetInvalidError: the YAML is not one, or lacks or contradicts something; an image or a label is damaged.
        DatasetMissingError: the YAML, a folder or file it names, images or labels are not there.
    """
    value = str(name_or_yaml)
    file = find_yaml(value)
    content = read_yaml(value, file)
    names = check_names(value, content, single_cls)
    channels = check_channels(value, content)
    _, sources = find_sources(value, file, content, download)
    definition = {k: v for k, v in content.items() if k not in LOCATION_KEYS}
    definition |= {"names": names, "nc": len(names), "channels": channels}

    keypoints = math.prod(content.get("kpt_shape") or [0])
    kept = None if cache is None else cache / f"seen-{hashlib.sha256(str(file).encode()).hexdigest()[:12]}.json"
    contents = Contents(kept, channels, 0 if single_cls else len(names), keypoints)
    looks = {split: look_at(value, split, sources[split], contents, fraction) for split in sources}
    contents.keep()
    listings = {split: look.listing for split, look in looks.items()}
    identity = _hash({**definition, "content": fingerprint(file) if is_digits(file.parent) else listings})
    lists = [source for found in sources.values() for source in found if source.is_file()]
    changed_at = max([look.changed_at for look in looks.values()] + [source.stat().st_mtime for source in lists])
    training = looks["train"].digests
    return Dataset(
        file,
        SINGLE_CLASS if single_cls else names,
        channels,
        identity,
        changed_at,
        {split: look.split for split, look in looks.items()},
        sum(digest in training for digest in looks["val"].digests),
        {**definition, "content": None},
        sources,
    )


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
