"""Windowed attention for an exported graph of any map size: keys gathered by indices that the graph computes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from yolo26_attention.attention.window_gathered import tile_mask

# Shape legend: B batch, N heads, D channels per head, H height, W width, P pixels, T tiles, M queries of a tile,
# K keys of a tile

# Queries along a side of a tile. Measured with ONNX Runtime on maps of 4 to 80 pixels: 4 x 4 take less time than
# 8 x 8, 4 x 8 and 2 x 10.
SIDE = 4


def run(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    v: Float[Tensor, "batch value_channels height width"],
    heads: int,
    window: int,
    stride: int,
    dilation: int,
) -> Float[Tensor, "batch value_channels -(-height//{stride}) -(-width//{stride})"]:
    """window_attention in plain operations; a trace of it holds for maps of any height and width, and any batch.

    Neighbours in a tile are `dilation` pixels apart, so that they share keys. A tile that reaches over the edge repeats
    the last query, and that result is not read.
    """
    keys = (SIDE - 1) * stride + window
    rows, columns = (_Axis(q, k, dim, window, stride, dilation) for dim in (2, 3))
    query_pixels = _pixels(rows.queries, columns.queries, q.shape[3])
    key_pixels = _pixels(rows.keys, columns.keys, k.shape[3])
    scale = (k.shape[1] // heads) ** -0.5
    q_heads, k_heads, v_heads = (x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3) for x in (q * scale, k, v))
    q_tiles = q_heads.index_select(2, query_pixels).unflatten(2, (-1, SIDE**2))  # (B, N, T, M, D)
    k_tiles, v_tiles = (x.index_select(2, key_pixels).unflatten(2, (-1, keys**2)) for x in (k_heads, v_heads))
    weights = torch.softmax(q_tiles @ k_tiles.transpose(3, 4) + tile_mask(SIDE, SIDE, stride, window).to(q), -1)
    place = (rows.tile[:, None] * columns.tiles + columns.tile) * SIDE**2 + rows.inner[:, None] * SIDE + columns.inner
    out = (weights @ v_tiles).flatten(2, 3).index_select(2, place.flatten())
    return out.transpose(2, 3).reshape(q.shape[0], v.shape[1], q.shape[2], q.shape[3])


class _Axis:
    """Where tiles lie along one side of the map, as tensors, which keep an exported size dynamic.

    Attributes:
        queries: pixel of each query of each tile, (tiles, SIDE).
        keys: pixel of each key of each tile, (tiles, keys), reflected at the border as often as needed.
        tile: tile of each query of the map.
        inner: its place in that tile.
        tiles: their number.
    """

    queries: Int[Tensor, "tiles queries"]
    keys: Int[Tensor, "tiles keys"]
    tile: Int[Tensor, " out_side"]
    inner: Int[Tensor, " out_side"]
    tiles: int

    def __init__(self, q: Tensor, k: Tensor, dim: int, window: int, stride: int, dilation: int):
        device, span = q.device, SIDE * dilation
        query = torch.arange(q.shape[dim], device=device)
        block = _divided(query, span)
        within = query - block * span
        self.inner = _divided(within, dilation)
        self.tile = block * dilation + within - self.inner * dilation
        blocks = torch.arange(0, q.shape[dim], span, device=device)
        starts = (blocks[:, None] + torch.arange(dilation, device=device)).flatten()[:, None]
        self.tiles = blocks.shape[0] * dilation
        self.queries = torch.minimum(starts + dilation * torch.arange(SIDE, device=device), query[-1])
        last = torch.arange(k.shape[dim], device=device)[-1]
        keys = torch.arange((SIDE - 1) * stride + window, device=device) - window // 2
        period = 2 * last.clamp(min=1)
        seen = torch.remainder((starts * stride + dilation * keys).abs(), period)
        # The clamp is for a side of one pixel.
        self.keys = (last - (last - seen).abs()).clamp(min=0)


def _divided(index: Tensor, by: int) -> Tensor:
    return torch.div(index, by, rounding_mode="trunc")


def _pixels(rows: Tensor, columns: Tensor, width: int) -> Tensor:
    # Pixels of a flattened map, tile by tile and row by row in a tile.
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).flatten()
