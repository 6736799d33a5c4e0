"""Ultralytics' cache of labels, which lies beside a data set's labels and may have come with it: read without its code.

Ultralytics unpickles it, so that a data set from elsewhere could run anything. It scans the labels anew where a cache
cannot be read, and so it does where one holds more than numbers and names. It takes a cache for that of other labels by
their sizes and times of change alone; here it does so by their content.
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
    """Have Ultralytics read its label caches by `read_label_cache`, and tell them apart by `content_hash`."""
    replace_label_cache(read_label_cache, content_hash)


def content_hash(paths: Sequence[str]) -> str:
    """Hash of what a label cache depends on: the bytes of labels, and of images their sizes and times.

    Args:
        paths: of labels and images, and texts that are no paths, as Ultralytics gives them.
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
    """Content of a cache.

    Raises:
        pickle.UnpicklingError: if it holds more than arrays, numbers and names.
        ValueError: if it is none.
    """
    with Path(path).open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        content: dict[str, Any] = _Plain(file).load().item()
    return content


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a label cache")
        return super().find_class(module, name)
