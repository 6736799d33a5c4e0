"""Windowed attention as a sum over the shifts of the window: plain operations that every exporter knows."""

from typing import Any

import torch
from torch import Tensor

from yolo26_attention.attention.window_border import reflect_pad


def can_run(q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int) -> str | None:
    """Why these arguments cannot run here, or None where they can."""
    return None


def run(q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int) -> Tensor:
    """window_attention for any arguments; in training it keeps window * window copies of the maps."""
    weights = window_weights(q, k, heads=heads, window=window, stride=stride, dilation=dilation)
    shifted = _shifted(v, heads, window, stride, dilation)
    total: Any = sum(weights[:, :, i, None] * v_i for i, v_i in enumerate(shifted))
    return total.flatten(1, 2)


def window_weights(q: Tensor, k: Tensor, *, heads: int, window: int, stride: int = 1, dilation: int = 1) -> Tensor:
    """How much every query of window_attention looks at each key of its window.

    Args: as of window_attention.

    Returns:
        (B, heads, window * window, H', W'), H' and W' those of q; keys row by row from the top left, those beyond the
        border being the reflected ones; the weights of a query sum to 1.
    """
    q = q.unflatten(1, (heads, -1)) * (k.shape[1] // heads) ** -0.5
    logits = torch.stack([(q * k_i).sum(2) for k_i in _shifted(k, heads, window, stride, dilation)], 2)
    return torch.softmax(logits, 2)


def _shifted(x: Tensor, heads: int, window: int, stride: int, dilation: int) -> list[Tensor]:
    # A view of the padded map for each place in the window, (B, N, D, H, W).
    height, width = x.shape[2:]
    pad = _gather_pad if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() else reflect_pad
    x = pad(x, dilation * (window // 2)).unflatten(1, (heads, -1))
    shifts = [(row * dilation, column * dilation) for row in range(window) for column in range(window)]
    return [x[..., row : row + height : stride, column : column + width : stride] for row, column in shifts]


def _gather_pad(x: Tensor, padding: int) -> Tensor:
    # reflect_pad for exporters: indices computed in the graph, so that height and width stay dynamic.
    for dim in (2, 3):
        last = x.shape[dim] - 1
        index = torch.arange(-padding, x.shape[dim] + padding, device=x.device)
        period = 2 * torch.arange(x.shape[dim], device=x.device)[-1].clamp(min=1)
        x = x.index_select(dim, last - (last - torch.remainder(index.abs(), period)).abs())
    return x
