"""Windowed attention of a small map as dense attention over the whole map, without tiles and without a border."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from yolo26_attention.attention.window_cache import constant
from yolo26_attention.attention.window_gradients import dense_gradients

# Shape legend: B batch, H height, W width, C channels, N heads, Q queries of a map, K keys of a map,
# D channels per head

# Weights that backward computes at a time on a CPU, so that they stay in its cache.
MOST_WEIGHTS = 1 << 20


def repetition_mask(
    size: tuple[int, int], window: int, stride: int, dilation: int, like: Float[Tensor, "..."]
) -> Float[Tensor, "queries keys"]:
    """Logarithm of how often the window of each query holds each pixel of the map, (Q, K); -inf for never.

    A pixel that the reflected border repeats is one key: softmax over the window equals softmax over the map's own
    pixels with this mask added to the logits.

    Args:
        size: H and W of the keys.
        window, stride, dilation: as for `window_attention`.
        like: gives device and dtype.
    """

    def make() -> Tensor:
        rows, columns = (
            torch.tensor(repetitions(side, window, stride, dilation), device=like.device, dtype=torch.float64)
            for side in size
        )
        times = rows[:, None, :, None] * columns[None, :, None, :]
        return times.flatten(2).flatten(0, 1).log().to(like.dtype)

    return constant(("repetition", size, window, stride, dilation), like, make)


def repetitions(side: int, window: int, stride: int, dilation: int) -> list[list[int]]:
    """How often the window of each query (rows) holds each key (columns), along one side of a map."""
    last = side - 1
    period = max(2 * last, 1)
    rows = []
    for query in range(0, side, stride):
        row = [0] * side
        for tap in range(window):
            row[last - abs(last - abs(query + dilation * (tap - window // 2)) % period)] += 1
        rows.append(row)
    return rows


def forward(
    q_BHWC: Float[Tensor, "batch out_height out_width channels"],
    k_BKC: Float[Tensor, "batch keys channels"],
    v_BKC: Float[Tensor, "batch keys value_channels"],
    mask_QK: Float[Tensor, "out_height*out_width keys"],
    heads: int,
) -> Float[Tensor, "batch out_height out_width value_channels"]:
    """Attend from every query to the map."""
    q, k, v = (_by_head(x, heads) for x in (q_BHWC.flatten(1, 2), k_BKC, v_BKC))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_QK)
    return out.transpose(1, 2).flatten(2).unflatten(1, q_BHWC.shape[1:3])


def backward(
    q_BHWC: Float[Tensor, "batch out_height out_width channels"],
    k_BKC: Float[Tensor, "batch keys channels"],
    v_BKC: Float[Tensor, "batch keys value_channels"],
    grad_BHWC: Float[Tensor, "batch out_height out_width value_channels"],
    mask_QK: Float[Tensor, "out_height*out_width keys"],
    heads: int,
) -> tuple[
    Float[Tensor, "batch out_height*out_width channels"],
    Float[Tensor, "batch keys channels"],
    Float[Tensor, "batch keys value_channels"],
]:
    """Gradients of q, k and v, from weights that are computed again."""
    inputs = q_BHWC.flatten(1, 2), k_BKC, v_BKC, grad_BHWC.flatten(1, 2)
    together = q_BHWC.shape[0]
    if q_BHWC.device.type == "cpu":
        together = max(1, MOST_WEIGHTS // (heads * mask_QK.numel()))
    parts = [
        _gradients([x[at : at + together] for x in inputs], mask_QK, heads) for at in range(0, len(k_BKC), together)
    ]
    dq, dk, dv = (torch.cat(grads) if len(grads) > 1 else grads[0] for grads in zip(*parts, strict=True))
    return dq, dk, dv


def _gradients(inputs: list[Tensor], mask_QK: Tensor, heads: int) -> tuple[Tensor, ...]:
    scale = (inputs[0].shape[2] // heads) ** -0.5
    q, k, v, grad = (_by_head(x, heads).flatten(0, 1) for x in inputs)
    gradients = dense_gradients(q, k, v, grad, mask_QK, scale)
    return tuple(x.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2) for x in gradients)


def _by_head(x_BPC: Tensor, heads: int) -> Tensor:
    return x_BPC.unflatten(2, (heads, -1)).transpose(1, 2)
