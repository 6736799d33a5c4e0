"""Compile the attention kernels for cards that are not there, exactly as the program would launch them."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from yolo26_attention.attention import window_triton, window_triton_kernels, window_triton_launch

KERNELS = ("forward_kernel", "query_gradient_kernel", "key_gradient_kernel")
# Shared memory that a block may have, in bytes, by compute capability (CUDA C++ Programming Guide, table of
# technical specifications).
SHARED = {75: 65_536, 80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}


class Resources(NamedTuple):
    """What one block of a compiled kernel needs."""

    registers: int  # of a thread
    spilled: int  # bytes of a thread in local memory
    shared: int  # bytes of a block
    warps: int


class Launch(NamedTuple):
    """A kernel and the arguments that the program launches it with."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def launches(
    card: int, dtype: torch.dtype, channels: int, window: int, *, heads: int = 4, side: int = 20
) -> dict[str, Launch]:
    """What a forward and a backward launch on a card, by kernel.

    Args:
        card: compute capability, 75 for 7.5.
        dtype: of q, k and v.
        channels: of a head.
        window: side of the window.
        heads: number of heads.
        side: of the map; the binaries do not depend on it.
    """
    found: dict[str, Launch] = {}

    class Recorded:
        def __init__(self, kernel: Any):
            self.kernel, self.__name__ = kernel, kernel.__name__

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            def record(*arguments: Any, **keywords: Any) -> None:
                found[self.__name__] = Launch(self.kernel, grid, arguments, keywords)

            return record

    recorded = SimpleNamespace(**{name: Recorded(getattr(window_triton_kernels, name)) for name in KERNELS})
    capability = mock.patch.object(window_triton_launch, "capability", return_value=divmod(card, 10))
    with mock.patch.object(window_triton, "kernels", recorded), capability:
        q, k, v = (
            torch.zeros(1, heads * channels, side, side, dtype=dtype)
            .contiguous(memory_format=torch.channels_last)
            .requires_grad_()
            for _ in range(3)
        )
        window_triton.run(q, k, v, heads, window, 1, 1).backward(torch.zeros_like(q))
    return found


def resources(card: int, launched: Launch) -> Resources:
    """Compile what was launched for a card, and read from the binary what it needs."""
    with pretended(card):
        binary = launched.kernel.warmup(*launched.arguments, grid=launched.grid, **launched.keywords)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], check=True, capture_output=True, text=True)
    numbers = dict(re.findall(r"(\w+):(\d+)", told.stdout + told.stderr))
    registers, stack, local = (int(numbers[name]) for name in ("REG", "STACK", "LOCAL"))
    return Resources(registers, stack + local, binary.metadata.shared, launched.keywords["num_warps"])


@contextmanager
def pretended(card: int) -> Iterator[None]:
    """Make Triton believe that this card is there; it can compile, but not run."""
    target = GPUTarget("cuda", card, 32)
    pretending = SimpleNamespace(
        get_current_target=lambda: target, get_current_device=lambda: card, get_current_stream=lambda device: 0
    )
    with mock.patch.object(driver, "_active", pretending):
        yield
