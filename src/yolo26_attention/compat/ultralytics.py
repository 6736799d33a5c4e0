"""Patches of Ultralytics 8.4.190. Each gives its reason, and `tests/compat/` has a test that fails without it."""

import functools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import ultralytics
from torch import Tensor, nn
from ultralytics.data import dataset
from ultralytics.data.base import BaseDataset
from ultralytics.nn import tasks
from ultralytics.utils import TryExcept, nms, torch_utils


@contextmanager
def without_flops_line() -> Iterator[None]:
    """Remove the FLOPs from Ultralytics' description of a network.

    Ultralytics also counts masked and shifted products of attention, always at 640 px, and prints the result without an
    image size: 33.6 GFLOPs for ACmix's 6.1. This program prints its own count.
    """
    with mock.patch.object(torch_utils, "get_flops", return_value=0.0):  # Ultralytics omits a count of 0
        yield


@contextmanager
def without_nms_time_limit() -> Iterator[None]:
    """Let non-maximum suppression finish every image, however long it takes.

    Ultralytics gives a batch 2 s and 0.05 s per image, and then returns its remaining images without detections, with a
    warning. A score would depend on how busy the machine is.
    """
    with mock.patch.object(
        nms, "non_max_suppression", functools.partial(nms.non_max_suppression, max_time_img=math.inf)
    ):
        yield


@contextmanager
def interrupts_passed_on() -> Iterator[None]:
    """Let Ctrl-C through Ultralytics' `TryExcept`, which draws plots and swallows whatever is raised meanwhile."""
    swallow = TryExcept.__exit__

    def leave(self: Any, kind: type[BaseException] | None, value: Any, traceback: Any) -> bool:
        if kind is not None and not issubclass(kind, Exception):
            return False
        return bool(swallow(self, kind, value, traceback))  # type: ignore[no-untyped-call]

    with mock.patch.object(TryExcept, "__exit__", leave):
        yield


@contextmanager
def restricted_loading(known: Sequence[Callable[..., Any] | tuple[Callable[..., Any], str]]) -> Iterator[None]:
    """Make Ultralytics load checkpoints with `weights_only=True`, which refuses a class before any of its code runs.

    Ultralytics reads `tasks.SAFE_LOAD` from the environment once, when it is imported.

    Args:
        known: what to allow beside Ultralytics' own classes, as in `torch.serialization.safe_globals`.
    """
    with mock.patch.object(tasks, "SAFE_LOAD", True), torch.serialization.safe_globals(list(known)):
        yield


def replace_label_cache(read: Callable[..., Any], hash_paths: Callable[..., str]) -> None:
    """Replace the functions by which Ultralytics reads and hashes its label caches.

    Its reader unpickles any file that comes with a data set, and its hash covers only sizes.

    Args:
        read: returns the content of a cache file, or raises an error that makes Ultralytics scan the labels again.
        hash_paths: hashes the content of the labels and images at some paths.
    """
    dataset.load_dataset_cache_file = read
    dataset.get_hash = hash_paths


def keep_random_stream() -> None:
    """Keep Ultralytics' size check of its image cache from advancing the global random generator.

    The check samples random images with the generator from which the augmentation draws.
    """
    for name in ("check_cache_ram", "check_cache_disk"):
        method = getattr(BaseDataset, name)
        if not hasattr(method, "__wrapped__"):
            setattr(BaseDataset, name, _keeping_it(method))


def fuse_grafts() -> None:
    """Make `fuse()` of a network also fold the constants of its grafted attention.

    Ultralytics fuses only its own classes. A module takes part by a method `fold_constants()`.
    """
    fuse = tasks.BaseModel.fuse
    if hasattr(fuse, "__wrapped__"):
        return

    @functools.wraps(fuse)
    def fuse_all(network: Any, *args: Any, **kwargs: Any) -> Any:
        fused = fuse(network, *args, **kwargs)  # type: ignore[no-untyped-call]
        for module in list(fused.modules()):
            if callable(getattr(type(module), "fold_constants", None)):
                module.fold_constants()
        return fused

    tasks.BaseModel.fuse = fuse_all  # type: ignore[method-assign,assignment]


def _keeping_it(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def look(*args: Any, **kwargs: Any) -> Any:
        state = random.getstate()
        try:
            return method(*args, **kwargs)
        finally:
            random.setstate(state)

    return look


@contextmanager
def amp_check_at_hand(build: Callable[[], nn.Module]) -> Iterator[None]:
    """Have Ultralytics check mixed precision with a network that is at hand.

    Its check downloads yolo26n.pt without asking, which takes half a minute where a firewall drops packets. The cards
    that it refuses by name stay refused. The network is always the same, so that AMP is never disabled for one variant
    of a study and enabled for another.

    Args:
        build: builds a detection network; its values are drawn from a fixed seed.
    """

    class AtHand:
        """In place of the trained YOLO that Ultralytics loads: raw predictions, 50 at most, of random images.

        Ultralytics' tolerance of 0.5 is then 1 % of the largest value.
        """

        def __init__(self, weights: object):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.network = build().eval()
            self.largest: Tensor | None = None

        def __call__(self, images: Sequence[object], imgsz: int, device: torch.device, verbose: bool) -> Any:
            drawn = torch.rand(len(images), 3, imgsz, imgsz, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                answer = self.network.to(device)(drawn.to(device))
            found = (answer[0] if isinstance(answer, list | tuple) else answer).float()
            self.largest = found.abs().max() if self.largest is None else self.largest
            return [SimpleNamespace(boxes=SimpleNamespace(data=found / self.largest * 50))]

    class Folder:
        """In place of the folder of weights: a file in it exists, so that Ultralytics announces no download."""

        def __truediv__(self, name: str) -> Path:
            return Path(__file__)

    with mock.patch.object(ultralytics, "YOLO", AtHand), mock.patch.object(ultralytics.utils, "WEIGHTS_DIR", Folder()):
        yield
