"""Fingerprints and faults of a data set's files; those of images are cached between starts.

Labels are read at each start. An image is read and decoded when it is new, and again when its size, mtime or ctime
changes, or those of the .npy beside it, which Ultralytics would load instead. Writing a file sets its ctime, and
programs cannot set it to a chosen value: only changes with the clock set back, or below the file system, stay
undetected. A file that changed in the last two seconds is not cached.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import PIL
import ultralytics

from yolo26_attention.data.files import Labels, image_fault, read_labels
from yolo26_attention.data.splits import quiet_ultralytics
from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.digest import file_digest

log = logging.getLogger(__name__)

FORMAT = 1
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use ticks every two seconds
MANY = 2000  # number of images from which progress is logged
PROCESSORS = 8
Seen = list[int | str]


@dataclass(frozen=True)
class ImageFile:
    """An image.

    Attributes:
        changed_at: mtime in seconds.
        file: device and inode, the same for all names of the file.
        digest: SHA-256 of its bytes.
        fault: why it cannot be used, as words that follow its path; None if it can.
    """

    changed_at: float
    file: tuple[int, int]
    digest: str
    fault: str | None


@dataclass(frozen=True)
class LabelFile:
    """A label file, with its mtime in seconds and the SHA-256 of its bytes."""

    changed_at: float
    digest: str
    labels: Labels


class Contents:
    """Inspects the files of one data set and caches the results for intact images.

    Args:
        cache: cache file; None caches nothing.
        channels: number of channels of every image.
        classes: number of valid classes; 0 for any.
        keypoints: number of columns that a label may have after its box.
    """

    def __init__(self, cache: Path | None, channels: int, classes: int, keypoints: int) -> None:
        self._cache, self._channels, self._classes, self._keypoints = cache, channels, classes, keypoints
        self._rules = {
            "format": FORMAT,
            "channels": channels,
            "classes": classes,
            "keypoints": keypoints,
            "readers": [cv2.__version__, PIL.__version__, ultralytics.__version__],
        }
        before = self._read()
        self._images_before: dict[str, Seen] = before.get("images", {})
        self._labels_before: dict[str, Seen] = before.get("labels", {})
        self._images: dict[str, Seen] = {}
        self._labels: dict[str, Seen] = {}

    def images(self, paths: Sequence[str]) -> list[ImageFile]:
        """Inspect existing images; those not cached are decoded in parallel."""
        stats = [_image_stat(path) for path in paths]
        new = [at for at, path in enumerate(paths) if self._images_before.get(path, [])[1:] != stats[at].key]
        if len(new) >= MANY:
            log.info("reading %d of %d images; the next start skips those that did not change", len(new), len(paths))
        found: dict[int, tuple[str, str | None]] = {}
        with quiet_ultralytics(), ThreadPoolExecutor(min(os.cpu_count() or 1, PROCESSORS)) as pool:
            for at, seen in zip(new, pool.map(self._look, (paths[at] for at in new)), strict=True):
                found[at] = seen
        files = []
        for at, (path, stat) in enumerate(zip(paths, stats, strict=True)):
            digest, fault = found[at] if at in found else (str(self._images_before[path][0]), None)
            if fault is None and (at not in found or stat.settled):
                self._images[path] = [digest, *stat.key]
            files.append(ImageFile(stat.changed_at, stat.file, digest, fault))
        return files

    def label(self, path: Path) -> LabelFile | None:
        """Read a label; None if it does not exist."""
        if not path.is_file():
            return None
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        kept = self._labels_before.get(str(path))
        if kept is not None and kept[0] == digest:
            labels = Labels(None, int(kept[1]), int(kept[2]))
        else:
            labels = read_labels(content, self._classes, self._keypoints)
        if labels.fault is None:
            self._labels[str(path)] = [digest, labels.objects, labels.repeated]
        return LabelFile(path.stat().st_mtime, digest, labels)

    def keep(self) -> None:
        """Write the cache for the next start; warn if it cannot be written."""
        if self._cache is None or (self._images, self._labels) == (self._images_before, self._labels_before):
            return
        content = {"rules": self._rules, "images": self._images, "labels": self._labels}
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._cache, json.dumps(content))
        except OSError as error:
            log.warning("%s cannot be written (%s): the next start reads every image again", self._cache, error)

    def _look(self, path: str) -> tuple[str, str | None]:
        return file_digest(Path(path)), image_fault(Path(path), self._channels)

    def _read(self) -> dict[str, Any]:
        """Read the cache if it was made by the same rules; otherwise return an empty one."""
        if self._cache is None:
            return {}
        try:
            content: dict[str, Any] = json.loads(self._cache.read_bytes())
            return content if content["rules"] == self._rules else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


@dataclass(frozen=True)
class _Stat:
    changed_at: float
    file: tuple[int, int]
    key: Seen
    settled: bool


def _image_stat(path: str) -> _Stat:
    """File status of an image and of the .npy beside it."""
    stat = os.stat(path)
    key: Seen = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    latest = max(stat.st_mtime_ns, stat.st_ctime_ns)
    try:
        array = os.stat(path.rpartition(".")[0] + ".npy")
        key += [array.st_size, array.st_mtime_ns, array.st_ctime_ns]
        latest = max(latest, array.st_mtime_ns, array.st_ctime_ns)
    except OSError:
        pass
    return _Stat(stat.st_mtime, (stat.st_dev, stat.st_ino), key, time.time_ns() - latest > SETTLED_NS)
