"""Windowed attention as a function with several equivalent implementations."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from yolo26_attention.attention import window_dynamic, window_gathered, window_shifted, window_tiled
from yolo26_attention.attention.options import Implementation, check_choice, check_heads
from yolo26_attention.attention.window_border import reflect_pad

__all__ = ["IMPLEMENTATIONS", "noted_choices", "reflect_pad", "window_attention"]

# In the order in which "auto" tries them.
IMPLEMENTATIONS = tuple(choice.value for choice in Implementation if choice != Implementation.auto)

logger = logging.getLogger(__name__)
_noted: list[list[str]] = []


def window_attention(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    v: Float[Tensor, "batch value_channels height width"],
    *,
    heads: int,
    window: int,
    stride: int = 1,
    dilation: int = 1,
    implementation: str = "auto",
    fixed_size: bool = False,
) -> Float[Tensor, "batch value_channels -(-height//{stride}) -(-width//{stride})"]:
    """Attend from every query to the window of keys around it.

    Query (i, j) is at key (i * stride, j * stride) and sees the window x window keys around it, `dilation` apart.
    Logits are scaled by 1 / sqrt(C / heads). Keys and values are reflected at the border (see reflect_pad).

    Args:
        q: a map of ceil(height / stride) x ceil(width / stride) queries.
        k: a map of keys, in the dtype of q.
        v: a map of values, one for each key, in the dtype of q.
        heads: must divide the C channels of q and k, and those of v; head n has channels n * C / heads to
            (n + 1) * C / heads - 1.
        window: odd side of the window, in keys.
        stride: keys between neighbouring queries.
        dilation: keys between neighbouring keys of one window.
        implementation: "auto", or a name from IMPLEMENTATIONS.
        fixed_size: whether a trace may hold the height and the width of the maps, which makes it faster; without it the
            graph computes its indices from the size of each map.

    Returns:
        One result for each query, in the dtype of v.

    Raises:
        ValueError: if a size does not fit, or if the requested implementation cannot run here.

    Source: Ramachandran et al. 2019, eq. 2; the reflected border is that of the code of Pan et al. 2022.
    """
    _check(q, k, v, heads, window, stride, dilation)
    if torch.jit.is_tracing() and implementation in ("auto", "tiled"):
        form = window_gathered if fixed_size else window_dynamic
        return form.run(q, k, v, heads, window, stride, dilation)
    run = _choose(implementation, q, k, v, heads, window, stride, dilation)
    # Each implementation keeps the precision of q, k and v, to which autocast has already applied.
    with torch.autocast(q.device.type, enabled=False):
        return run(q, k, v, heads, window, stride, dilation)


def _check(q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int) -> None:
    if torch.jit.is_tracing():
        return  # in a trace, comparing sizes, which are tensors, would make them constant
    if window < 1 or window % 2 == 0:
        raise ValueError(f"{window=} is not an odd number of at least 1; try {max(window, 0) + 1}")
    if stride < 1 or dilation < 1:
        raise ValueError(f"{stride=} and {dilation=} must be at least 1")
    check_heads(heads, k.shape[1])
    check_heads(heads, v.shape[1])
    batch, channels, height, width = k.shape
    expected = (batch, channels, -(-height // stride), -(-width // stride))
    if tuple(q.shape) != expected:
        raise ValueError(f"q is {tuple(q.shape)}; k {tuple(k.shape)} with {stride=} needs {expected}")
    if v.shape[0] != batch or v.shape[2:] != k.shape[2:]:
        raise ValueError(f"v is {tuple(v.shape)}; k {tuple(k.shape)} needs ({batch}, Cv, {height}, {width})")
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k and v differ in dtype: {q.dtype}, {k.dtype}, {v.dtype}")


def _module(name: str) -> ModuleType:
    if name == "triton":
        # Lazy, because importing Triton takes a second.
        from yolo26_attention.attention import window_triton

        return window_triton
    return {"tiled": window_tiled, "shifted": window_shifted}[name]


def _choose(implementation: str, *arguments: Any) -> Callable[..., Tensor]:
    check_choice("implementation", implementation, Implementation)
    device, dtype = arguments[0].device.type, arguments[0].dtype
    # Triton's interpreter, which runs without a CUDA device, is only for tests that request it.
    offered = [name for name in IMPLEMENTATIONS if name != "triton" or device == "cuda"]
    refused = None
    for name in offered if implementation == "auto" else [implementation]:
        reason = _module(name).can_run(*arguments)
        if reason is None:
            if not torch.compiler.is_compiling():
                _log_once(name, device, dtype)
                if refused is not None and not torch.jit.is_tracing():
                    _warn_once(name, refused, _way_out(*arguments))
                for chosen in _noted:
                    chosen.append(name)
            return _module(name).run
        refused = refused or reason
    able = [name for name in offered if _module(name).can_run(*arguments) is None]
    raise ValueError(f"{implementation=} cannot run: {reason}; try {' or '.join(able)}")


@contextmanager
def noted_choices() -> Iterator[list[str]]:
    """Give a list to which each call of window_attention in the block adds the name of its implementation."""
    chosen: list[str] = []
    _noted.append(chosen)
    try:
        yield chosen
    finally:
        _noted.pop()


def _way_out(q: Tensor, k: Tensor, v: Tensor, heads: int, *geometry: int) -> str:
    """The option with which the fastest implementation of a CUDA device could run, or that asks for none."""
    both = k.shape[1], v.shape[1]
    for more in range(heads + 1, min(both) + 1):
        if not any(channels % more for channels in both):
            if _module(IMPLEMENTATIONS[0]).can_run(q, k, v, more, *geometry) is None:
                return f"attention.heads={more} avoids it"
    return "attention.implementation=tiled asks for it without this warning"


@cache
def _warn_once(name: str, reason: str, way_out: str) -> None:
    logger.warning("windowed attention on cuda runs as %s, not as the Triton kernel: %s; %s", name, reason, way_out)


@cache
def _log_once(name: str, device: str, dtype: torch.dtype) -> None:
    logger.debug("windowed attention on %s in %s: %s", device, dtype, name)
