"""Ultralytics' cache of images in memory or on disk, which does not change what a training draws.

To find whether there is room, Ultralytics looks at random images, with the stream from which the augmentation draws.
"""

import functools
import random
from collections.abc import Callable
from typing import Any

from ultralytics.data.base import BaseDataset


def keep_random_stream() -> None:
    """Have Ultralytics look for room without moving the stream of random numbers."""
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
