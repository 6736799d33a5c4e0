"""Ultralytics' cache of labels, which lies beside a data set's labels and may have come with it: read without its code.

Ultralytics unpickles it, so that a data set from elsewhere could run anything. It scans the labels anew where a cache
cannot be read, and so it does where one holds more than numbers and names.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from ultralytics.data import dataset

PLAIN = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    ("pathlib", "PosixPath"),
}


def restrict_label_caches() -> None:
    """Have Ultralytics read its label caches by `read_label_cache`."""
    dataset.load_dataset_cache_file = read_label_cache


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
