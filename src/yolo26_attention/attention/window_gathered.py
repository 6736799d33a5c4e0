"""Windowed attention for an exported graph of one map size: keys gathered by constant indices, and two products."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from yolo26_attention.attention.window_grid import Grid, grids, whole_is_cheaper
from yolo26_attention.attention.window_tiled import FORWARD_WEIGHT
from yolo26_attention.attention.window_whole import repetitions

# Constants are made from lists: a trace would record operations on tensors, instead of holding their result.

# Shape legend: B batch, N heads, D channels per head, H height, W width, T tiles, M queries of a tile,
# K keys of a tile


def run(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    v: Float[Tensor, "batch value_channels height width"],
    heads: int,
    window: int,
    stride: int,
    dilation: int,
) -> Float[Tensor, "batch value_channels -(-height//{stride}) -(-width//{stride})"]:
    """window_attention in plain operations; a trace of it holds for maps of this height and width, of any batch."""
    size = int(k.shape[2]), int(k.shape[3])
    out_size = int(q.shape[2]), int(q.shape[3])
    scale = (int(k.shape[1]) // heads) ** -0.5
    # (B, N, D, P): no transposition of keys that are all there
    q_heads, k_heads, v_heads = (x.flatten(2).unflatten(1, (heads, -1)) for x in (q * scale, k, v))
    if whole_is_cheaper(size, window, stride, dilation, FORWARD_WEIGHT):
        mask = _whole_mask(size, window, stride, dilation).to(q)
        weights = torch.softmax(q_heads.transpose(2, 3) @ k_heads + mask, -1)
        out = (weights @ v_heads.transpose(2, 3)).transpose(2, 3)
    else:
        q_heads, k_heads, v_heads = (x.transpose(2, 3) for x in (q_heads, k_heads, v_heads))
        parts = []
        pixels: list[int] = []
        for grid in grids(size, window, stride, dilation, FORWARD_WEIGHT):
            parts.append(_attend(grid, q_heads, k_heads, v_heads, out_size))
            pixels += _query_pixels(grid, out_size)
        # A pixel's own result comes before those of its repetitions beyond the edge, which see other keys.
        place = {pixel: at for at, pixel in reversed(list(enumerate(pixels)))}
        order = torch.tensor([place[pixel] for pixel in range(out_size[0] * out_size[1])], device=q.device)
        out = torch.cat(parts, 2).index_select(2, order).transpose(2, 3)
    return out.flatten(1, 2).unflatten(2, out_size)


def _attend(grid: Grid, q: Tensor, k: Tensor, v: Tensor, out_size: tuple[int, int]) -> Tensor:
    # Results (B, N, T M, D) of q, k and v, (B, N, P, D).
    tiles = grid.bands * grid.strips
    q_tiles = q.index_select(2, torch.tensor(_query_pixels(grid, out_size), device=q.device))
    q_tiles = q_tiles.unflatten(2, (tiles, grid.rows * grid.columns))
    index = torch.tensor(grid.tile_keys(), device=q.device)
    k_tiles, v_tiles = (x.index_select(2, index.flatten()).unflatten(2, index.shape) for x in (k, v))
    mask = tile_mask(grid.rows, grid.columns, grid.step, grid.window).to(q)
    weights = torch.softmax(q_tiles @ k_tiles.transpose(3, 4) + mask, -1)
    return (weights @ v_tiles).flatten(2, 3)


def _query_pixels(grid: Grid, out_size: tuple[int, int]) -> list[int]:
    # Pixels of a flattened map of queries, tile by tile; a tile that reaches over the edge repeats the last ones.
    rows, columns = (range(side)[axis] for side, axis in zip(out_size, grid.queries[1:], strict=True))
    return [
        rows[min(band * grid.rows + i, len(rows) - 1)] * out_size[1]
        + columns[min(strip * grid.columns + j, len(columns) - 1)]
        for band in range(grid.bands)
        for strip in range(grid.strips)
        for i in range(grid.rows)
        for j in range(grid.columns)
    ]


def tile_mask(rows: int, columns: int, step: int, window: int) -> Float[Tensor, "queries keys"]:
    """Mask (M, K) of a tile of rows x columns queries, `step` keys apart: 0 where a query sees a key, else -inf."""

    def seen(queries: int) -> list[list[bool]]:
        keys = (queries - 1) * step + window
        return [[0 <= key - query * step < window for key in range(keys)] for query in range(queries)]

    pairs = [[row and column for row in down for column in across] for down in seen(rows) for across in seen(columns)]
    return torch.tensor([[0.0 if pair else -math.inf for pair in row] for row in pairs])


def _whole_mask(size: tuple[int, int], window: int, stride: int, dilation: int) -> Float[Tensor, "queries keys"]:
    rows, columns = (repetitions(side, window, stride, dilation) for side in size)
    return torch.tensor(
        [
            [math.log(down * across) if down * across else -math.inf for down in row for across in column]
            for row in rows
            for column in columns
        ],
        dtype=torch.float64,
    )
