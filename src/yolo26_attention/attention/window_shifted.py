"""Windowed attention as a sum over the shifts of the window, in plain operations that every exporter supports."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from yolo26_attention.attention.window_border import reflect_pad


def can_run(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    v: Float[Tensor, "batch value_channels height width"],
    heads: int,
    window: int,
    stride: int,
    dilation: int,
) -> str | None:
    """Describe why these arguments cannot run here; None if they can."""
    return None


def run(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    v: Float[Tensor, "batch value_channels height width"],
    heads: int,
    window: int,
    stride: int,
    dilation: int,
) -> Float[Tensor, "batch value_channels -(-height//{stride}) -(-width//{stride})"]:
    """window_attention for any arguments; in training it keeps window * window copies of the maps."""
    weights = window_weights(q, k, heads=heads, window=window, stride=stride, dilation=dilation)
    shifted = _shifted(v, heads, window, stride, dilation)
    total: Any = sum(weights[:, :, i, None] * v_i for i, v_i in enumerate(shifted))
    return total.flatten(1, 2)


def window_weights(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    *,
    heads: int,
    window: int,
    stride: int = 1,
    dilation: int = 1,
) -> Float[Tensor, "batch {heads} {window}**2 -(-height//{stride}) -(-width//{stride})"]:
    """Compute the weight of each query for each key of its window; arguments as for window_attention.

    Returns:
        Weights of the keys in row-major order from the top left of the window; keys beyond the border are reflected.
        The weights of a query and a head sum to 1.
    """
    q = q.unflatten(1, (heads, -1)) * (k.shape[1] // heads) ** -0.5
    logits = torch.stack([(q * k_i).sum(2) for k_i in _shifted(k, heads, window, stride, dilation)], 2)
    return torch.softmax(logits, 2)


def _shifted(x: Tensor, heads: int, window: int, stride: int, dilation: int) -> list[Tensor]:
    # A view of the padded map for each position in the window, (B, N, D, H, W).
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
