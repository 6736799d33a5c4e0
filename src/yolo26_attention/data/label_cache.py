"""Read Ultralytics' label cache, which may come with a data set, without running code from it.

Ultralytics unpickles the cache, so a downloaded data set could run any code. If a cache is unreadable, or holds more
than arrays, numbers and names, Ultralytics scans the labels again. Ultralytics detects stale caches by sizes and
mtimes alone; here it does so by the labels' content.
"""

import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolo26_attention.compat.ultralytics import replace_label_cache

PLAIN = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    ("pathlib", "PosixPath"),
}


def restrict_label_caches() -> None:
    """Make Ultralytics read its label caches by `read_label_cache` and hash them by `content_hash`."""
    replace_label_cache(read_label_cache, content_hash)


def content_hash(paths: Sequence[str]) -> str:
    """Hash the inputs of a label cache: the bytes of labels, and the sizes and times of images.

    Args:
        paths: paths of labels and images, and other texts, as given by Ultralytics.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path) + b"\0")
        try:
            if path.endswith(".txt"):
                digest.update(Path(path).read_bytes())
            else:
                stat = os.stat(path)
                digest.update(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}".encode())
        except (OSError, ValueError):
            digest.update(b"none")
        digest.update(b"\0")
    return digest.hexdigest()


def read_label_cache(path: Path) -> dict[str, Any]:
    """Read the content of a cache.

    Raises:
        pickle.UnpicklingError: if it holds more than arrays, numbers and names.
        ValueError: if it is not a cache.
    """
    with Path(path).open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        content: dict[str, Any] = _Plain(file).load().item()
    return content


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a label cache")
        return super().find_class(module, name)
