"""Windowed attention as dense attention of small tiles of queries: any device, any dtype."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from yolo26_attention.attention import window_batched, window_whole
from yolo26_attention.attention.window_border import fold_reflection
from yolo26_attention.attention.window_gradients import dense_gradients
from yolo26_attention.attention.window_grid import Grid, grids, whole_is_cheaper

# Cost of a tile in addition to its products (see window_grid): calling a small matrix product costs
# about as much as 660 of them on a CPU; in backward each key of a tile is also added to a map.
FORWARD_WEIGHT, BACKWARD_WEIGHT = 660, 4000


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
    if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
        return "its tiles would fix the size of the map in the exported graph"
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
    """window_attention for arguments that can_run accepts; the result is channels_last.

    It saves q, k and v for backward, which recomputes the weights. A small map is computed as a whole, a larger one in
    tiles: strip by strip on a CPU, where a strip stays in the cache, and all at once elsewhere.

    Source: Dao et al. 2022 (FlashAttention), section 3.1, for the recomputation.
    """
    return _TiledAttention.apply(q, k, v, heads, window, stride, dilation)


class _TiledAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int
    ) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.options = (heads, window, stride, dilation)
        size = k.shape[2], k.shape[3]
        q, k, v = q.permute(0, 2, 3, 1), _pixels(k), _pixels(v)
        if whole_is_cheaper(size, window, stride, dilation, FORWARD_WEIGHT):
            mask = window_whole.repetition_mask(size, window, stride, dilation, q)
            return window_whole.forward(q, k, v, mask, heads).permute(0, 3, 1, 2)
        k, v = k.contiguous(), v.contiguous()
        out = q.new_empty(*q.shape[:3], v.shape[2])
        tiles = _forward if q.device.type == "cpu" else window_batched.forward
        for grid in grids(size, window, stride, dilation, FORWARD_WEIGHT):
            tiles(grid, q[grid.queries], k, v, heads, out[grid.queries])
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        heads, window, stride, dilation = ctx.options
        size, border = (k.shape[2], k.shape[3]), dilation * (window // 2)
        q, grad_out = q.permute(0, 2, 3, 1), grad_out.permute(0, 2, 3, 1)
        k, v = _pixels(k), _pixels(v)
        if whole_is_cheaper(size, window, stride, dilation, FORWARD_WEIGHT):
            mask = window_whole.repetition_mask(size, window, stride, dilation, q)
            gradients = window_whole.backward(q, k, v, grad_out, mask, heads)
            sizes = q.shape[1:3], size, size
            maps = (x.unflatten(1, side).permute(0, 3, 1, 2) for x, side in zip(gradients, sizes, strict=True))
            return *maps, None, None, None, None
        k, v = k.contiguous(), v.contiguous()
        grad_q = torch.empty_like(q, memory_format=torch.contiguous_format)
        grad_k, grad_v = (x.new_zeros(x.shape[0], *(side + 2 * border for side in size), x.shape[2]) for x in (k, v))
        tiles = _backward if q.device.type == "cpu" else window_batched.backward
        for grid in grids(size, window, stride, dilation, BACKWARD_WEIGHT):
            inputs = q[grid.queries], k, v, grad_out[grid.queries]
            totals = grad_q[grid.queries], grad_k[grid.keys], grad_v[grid.keys]
            tiles(grid, inputs, heads, totals)
        grad_k, grad_v = (fold_reflection(x, border, (1, 2)) for x in (grad_k, grad_v))
        return *(x.permute(0, 3, 1, 2) for x in (grad_q, grad_k, grad_v)), None, None, None, None


def _pixels(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.permute(0, 2, 3, 1).flatten(1, 2)


def _forward(grid: Grid, q: Tensor, k: Tensor, v: Tensor, heads: int, out: Tensor) -> None:
    mask, index = grid.mask(q), grid.key_index(q)
    for sample in range(q.shape[0]):
        # One strip at a time: its keys and values stay in the cache, and no map of all tiles is built.
        for strip in range(grid.strips):
            q_tiles = grid.query_tiles(q[sample], strip, heads)
            k_tiles, v_tiles = (grid.key_tiles(x[sample].index_select(0, index[strip]), heads) for x in (k, v))
            o = F.scaled_dot_product_attention(q_tiles, k_tiles, v_tiles, attn_mask=mask)
            grid.put(o, strip, out[sample])


def _backward(grid: Grid, inputs: tuple[Tensor, ...], heads: int, totals: tuple[Tensor, ...]) -> None:
    q, k, v, grad_out = inputs
    scale = (q.shape[3] // heads) ** -0.5
    mask, index = grid.mask(q), grid.key_index(q)
    for sample in range(q.shape[0]):
        for strip in range(grid.strips):
            tiles = [grid.query_tiles(x[sample], strip, heads) for x in (q, grad_out)]
            for x in (k, v):
                tiles.append(grid.key_tiles(x[sample].index_select(0, index[strip]), heads))
            # Copies, so that the operands of each head are contiguous, (R N, M or K, D).
            q_tiles, grad_tiles, k_tiles, v_tiles = (x.flatten(0, 1) for x in tiles)
            gradients = dense_gradients(q_tiles, k_tiles, v_tiles, grad_tiles, mask, scale)
            dq, dk, dv = (x.unflatten(0, (-1, heads)) for x in gradients)
            grid.put(dq, strip, totals[0][sample])
            grid.add_key_tiles(dk, strip, totals[1][sample])
            grid.add_key_tiles(dv, strip, totals[2][sample])
