"""Windowed attention as a sum over the shifts of the window: plain operations that every exporter knows."""

import torch
from torch import Tensor

from src.attention.window_border import reflect_pad


def can_run(q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int) -> str | None:
    """Why these arguments cannot run here, or None where they can."""
    return None


def run(q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int) -> Tensor:
    """window_attention for any arguments; in training it keeps window * window copies of the maps."""
    height, width = k.shape[2:]
    q = q.unflatten(1, (heads, -1)) * (k.shape[1] // heads) ** -0.5
    pad = _gather_pad if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() else reflect_pad
    k, v = (pad(x, dilation * (window // 2)).unflatten(1, (heads, -1)) for x in (k, v))
    shifts = [(row * dilation, column * dilation) for row in range(window) for column in range(window)]
    slices = [(..., slice(row, row + height, stride), slice(column, column + width, stride)) for row, column in shifts]
    logits = torch.stack([(q * k[at]).sum(2) for at in slices], 2)
    weights = torch.softmax(logits, 2)  # (B, N, window * window, H, W)
    return sum(weights[:, :, i, None] * v[at] for i, at in enumerate(slices)).flatten(1, 2)


def _gather_pad(x: Tensor, padding: int) -> Tensor:
    # reflect_pad for exporters: indices computed in the graph, so that height and width stay dynamic.
    for dim in (2, 3):
        last = x.shape[dim] - 1
        index = torch.arange(-padding, x.shape[dim] + padding, device=x.device)
        period = 2 * torch.arange(x.shape[dim], device=x.device)[-1].clamp(min=1)
        x = x.index_select(dim, last - (last - torch.remainder(index.abs(), period)).abs())
    return x
