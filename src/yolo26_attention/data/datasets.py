"""Find, read and check the data set of a run before anything is trained."""

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
from yolo26_attention.data.digits import fingerprint, has_sources, is_digits
from yolo26_attention.data.former_identity import former_listing
from yolo26_attention.data.held_out import HeldOut, find_held_out
from yolo26_attention.data.splits import find_sources, list_images, name_of
from yolo26_attention.data.survey import Split, look_at

__all__ = ["OFFICIAL", "Dataset", "DatasetError", "DatasetInvalidError", "DatasetMissingError", "resolve_dataset"]

LOCATION_KEYS = {"path", "download", "train", "val", "validation", "test", "minival"}


@dataclass(frozen=True)
class Dataset:
    """A data set that passed its checks.

    Attributes:
        yaml: absolute path of the YAML, for Ultralytics' `data` argument.
        names: the network's class names by class number; one neutral name under single_cls, as in Ultralytics.
        channels: number of channels of every image.
        identity: hash of the YAML without locations, and of the names and bytes of all images and labels in training
            order.
        changed_at: newest mtime of any image, label or list of images, in seconds since the epoch.
        splits: the images that the training uses from train and val.
        shared: number of validation images with the same bytes as a training image.
        held_out: the test split, which is no part of the identity.
        remarks: what a conversion to this form left out or changed.
        root: the folder to which names of images are relative.
        test_sources: folders and lists of images of the test split, whether it is used or not.
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
    held_out: HeldOut = field(compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)
    root: Path = field(default=Path(), compare=False)
    test_sources: list[Path] = field(default_factory=list, repr=False, compare=False)

    @property
    def scored_images(self) -> list[str]:
        """Names of the images of val, and of test if it is scored, as in the matches that a run stores."""
        scored = {"val": self.sources["val"], **({"test": self.test_sources} if self.held_out.split else {})}
        images = [file for split, sources in scored.items() for file in list_images(str(self.yaml), split, sources)]
        return [name_of(file, self.root) for file in images]

    @cached_property
    def sizes_identity(self) -> str:
        """The former identity, by sizes instead of content, which finds runs of earlier versions.

        It hashes the fingerprint for digits, the splits as written if the YAML has a `download`, and otherwise the
        names and sizes of all images and labels.
        """
        return _hash({**self.definition, "content": former_listing(self.yaml, self.sources)})

    @property
    def counts(self) -> dict[str, Any]:
        """Plain values for the record."""
        splits = {name: asdict(split) for name, split in self.splits.items()}
        remarks = {"remarks": list(self.remarks)} if self.remarks else {}
        return {"identity": self.identity, **splits, "shared": self.shared, "test": asdict(self.held_out), **remarks}

    @property
    def notes(self) -> list[str]:
        """Remarks to read before training on it, one per line."""
        lines = list(self.remarks)
        for name, split in self.splits.items():
            if split.unlabelled:
                lines.append(
                    f"{split.unlabelled} of {split.images} images of {name} have no label file and count as "
                    f"background; the first missing one is {split.looked_for}"
                )
            if split.repeated:
                lines.append(f"{split.repeated} of {split.images} images of {name} are listed more than once")
            if split.rows_dropped:
                lines.append(
                    f"{split.rows_dropped} label files of {name} repeat a row, which Ultralytics uses once; "
                    f"the first is {split.first_dropped}"
                )
        if self.shared:
            lines.append(f"{self.shared} of {self.splits['val'].images} images of val are also in train")
        if self.held_out.declared and self.held_out.problem:
            lines.append(f"the test split is not scored: {self.held_out.problem}")
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
        download: let Ultralytics download a missing set, if its YAML has a `download`.
        single_cls: treat every object as of the same class, whatever its label.
        fraction: part of the training images to use, as `trainer.fraction`.
        cache: folder of the image cache, by which the next call reads only changed images.

    Raises:
        DatasetInvalidError: if the YAML is invalid, incomplete or contradictory, or an image or a label is damaged.
        DatasetMissingError: if the YAML, a folder or file that it names, images or labels do not exist.
    """
    value = str(name_or_yaml)
    file = find_yaml(value)
    content = read_yaml(value, file)
    names = check_names(value, content, single_cls)
    channels = check_channels(value, content)
    root, sources = find_sources(value, file, content, download)
    held_out = sources.pop("test")
    definition = {k: v for k, v in content.items() if k not in LOCATION_KEYS}
    definition |= {"names": names, "nc": len(names), "channels": channels}

    keypoints = math.prod(content.get("kpt_shape") or [0])
    kept = None if cache is None else cache / f"seen-{hashlib.sha256(str(file).encode()).hexdigest()[:12]}.json"
    contents = Contents(kept, channels, 0 if single_cls else len(names), keypoints)
    looks = {split: look_at(value, split, sources[split], contents, fraction) for split in sources}
    digests = {split: look.digests for split, look in looks.items()}
    unseen = find_held_out(value, held_out, contents, digests)
    contents.keep()
    listings = {split: look.listing for split, look in looks.items()}
    digits = is_digits(file.parent) and has_sources(file.parent, sources)
    identity = _hash({**definition, "content": fingerprint(file) if digits else listings})
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
        unseen,
        root=root,
        test_sources=held_out,
    )


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
