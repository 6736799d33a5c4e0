"""The FLOPs in Ultralytics' own line about a network, which are wrong for grafted attention."""

from collections.abc import Iterator
from contextlib import contextmanager

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
