"""What is patched in Ultralytics 8.4.190. Each patch says why, and `tests/compat/` has a test that fails without it."""

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from ultralytics.data import dataset
from ultralytics.data.base import BaseDataset
from ultralytics.nn import tasks
from ultralytics.utils import torch_utils


@contextmanager
def without_flops_line() -> Iterator[None]:
    """Let Ultralytics describe a network without its FLOPs.

    It counts masked and shifted products of attention as if they were needed, always at 640 px, and prints the result
    without an image size: 33.6 GFLOPs where ACmix takes 6.1. This program prints its own count.
    """
    counted = torch_utils.get_flops
    torch_utils.get_flops = lambda *_, **__: 0.0  # its line leaves out a count of 0
    try:
        yield
    finally:
        torch_utils.get_flops = counted


@contextmanager
def restricted_loading(known: Sequence[Callable[..., Any] | tuple[Callable[..., Any], str]]) -> Iterator[None]:
    """Have Ultralytics load checkpoints with `weights_only=True`, which refuses a class before any of its code runs.

    `tasks.SAFE_LOAD` is read from the environment once, when Ultralytics is imported.

    Args:
        known: what is allowed beside Ultralytics' own classes, as for `torch.serialization.safe_globals`.
    """
    before = tasks.SAFE_LOAD
    tasks.SAFE_LOAD = True
    try:
        with torch.serialization.safe_globals(list(known)):
            yield
    finally:
        tasks.SAFE_LOAD = before


def replace_label_cache(read: Callable[..., Any], hash_paths: Callable[..., str]) -> None:
    """Have Ultralytics read its caches of labels, and tell them apart, by other functions.

    Its own reader unpickles whatever a data set brought along, and its own hash looks at sizes alone.

    Args:
        read: gives the content of a cache's file, or raises what makes Ultralytics scan the labels again.
        hash_paths: hash of what the labels and images at some paths hold.
    """
    dataset.load_dataset_cache_file = read
    dataset.get_hash = hash_paths


def keep_random_stream() -> None:
    """Have Ultralytics look for room for its image cache without moving the stream of random numbers.

    It looks at random images, with the stream from which the augmentation draws.
    """
    for name in ("check_cache_ram", "check_cache_disk"):
        method = getattr(BaseDataset, name)
        if not hasattr(method, "__wrapped__"):
            setattr(BaseDataset, name, _keeping_it(method))


def _keeping_it(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def look(*args: Any, **kwargs: Any) -> Any:
        state = random.getstate()
        try:
            return method(*args, **kwargs)
        finally:
            random.setstate(state)

    return look
