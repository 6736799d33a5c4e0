"""All tiles of windowed attention in one call, for devices on which the number of calls decides."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from yolo26_attention.attention.window_gradients import dense_gradients
from yolo26_attention.attention.window_grid import Grid

# Shape legend: B batch, H height, W width, C channels, P pixels, S strips (columns of tiles), R bands
# (rows of tiles), N heads, M queries of a tile, K keys of a tile, D channels per head


def forward(
    grid: Grid,
    q_BHWC: Float[Tensor, "batch out_height out_width channels"],
    k_BPC: Float[Tensor, "batch pixels channels"],
    v_BPC: Float[Tensor, "batch pixels value_channels"],
    heads: int,
    out_BHWC: Float[Tensor, "batch out_height out_width value_channels"],
) -> None:
    """Write the result of every query of a grid to `out_BHWC`."""
    tiles = _query_tiles(grid, q_BHWC, heads), _key_tiles(grid, k_BPC, heads), _key_tiles(grid, v_BPC, heads)
    q, k, v = (x.flatten(0, 2) for x in tiles)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=grid.mask(q))
    _put(grid, out.unflatten(0, tiles[0].shape[:3]), out_BHWC)


def backward(
    grid: Grid,
    inputs: tuple[
        Float[Tensor, "batch out_height out_width channels"],
        Float[Tensor, "batch pixels channels"],
        Float[Tensor, "batch pixels value_channels"],
        Float[Tensor, "batch out_height out_width value_channels"],
    ],
    heads: int,
    totals: tuple[
        Float[Tensor, "batch out_height out_width channels"],
        Float[Tensor, "batch padded_height padded_width channels"],
        Float[Tensor, "batch padded_height padded_width value_channels"],
    ],
) -> None:
    """Write the gradient of q, and add those of k and v, which include the border.

    Args:
        grid: the grid of the queries.
        inputs: q, k, v and the gradient of the result.
        heads: as for `window_attention`.
        totals: gradients of q, and of padded k and v at the keys of the grid.
    """
    q, k, v, grad_out = inputs
    scale = (q.shape[3] // heads) ** -0.5
    tiles = [_query_tiles(grid, x, heads) for x in (q, grad_out)] + [_key_tiles(grid, x, heads) for x in (k, v)]
    sizes = tiles[0].shape[:4]
    q_tiles, grad_tiles, k_tiles, v_tiles = (x.flatten(0, 3) for x in tiles)
    gradients = dense_gradients(q_tiles, k_tiles, v_tiles, grad_tiles, grid.mask(q), scale)
    dq, dk, dv = (x.unflatten(0, sizes) for x in gradients)
    _put(grid, dq, totals[0])
    _add(grid, dk, totals[1])
    _add(grid, dv, totals[2])


def _query_tiles(grid: Grid, x_BHWC: Tensor, heads: int) -> Tensor:
    # (B, S, R, N, M, D), with zeros beyond the edge of the map
    below, right = grid.bands * grid.rows - x_BHWC.shape[1], grid.strips * grid.columns - x_BHWC.shape[2]
    if below or right:
        x_BHWC = F.pad(x_BHWC, (0, 0, 0, right, 0, below))
    tiles = x_BHWC.unflatten(2, (grid.strips, -1)).unflatten(1, (grid.bands, -1)).unflatten(-1, (heads, -1))
    return tiles.permute(0, 3, 1, 5, 2, 4, 6).flatten(4, 5)


def _put(grid: Grid, tiles: Tensor, to_BHWC: Tensor) -> None:
    maps = tiles.unflatten(4, (grid.rows, grid.columns)).permute(0, 2, 4, 1, 5, 3, 6)
    maps = maps.flatten(5, 6).flatten(3, 4).flatten(1, 2)
    to_BHWC.copy_(maps[:, : to_BHWC.shape[1], : to_BHWC.shape[2]])


def _key_tiles(grid: Grid, x_BPC: Tensor, heads: int) -> Tensor:
    # (B, S, R, N, K, D)
    index = grid.key_index(x_BPC)
    keys = grid.key_rows * grid.key_columns
    band = grid.rows * grid.step * grid.key_columns
    index = index.as_strided((grid.strips, grid.bands, keys), (index.shape[1], band, 1))
    tiles = x_BPC.index_select(1, index.flatten())
    return tiles.unflatten(1, index.shape).unflatten(-1, (heads, -1)).transpose(3, 4)


def _add(grid: Grid, tiles: Tensor, to_BHWC: Tensor) -> None:
    # Adjoint of _key_tiles, except for the border, which `to_BHWC` includes. Tiles that do not overlap are added at
    # once, in a fixed order, so that two backward passes agree bit for bit.
    down, across = grid.rows * grid.step, grid.columns * grid.step
    height = (grid.bands - 1) * down + grid.key_rows
    width = (grid.strips - 1) * across + grid.key_columns
    batch, _, _, heads, _, head_channels = tiles.shape
    channels = heads * head_channels
    total = tiles.new_zeros(batch, height, width, channels)
    row = width * channels
    views = total.as_strided(
        (batch, grid.strips, grid.bands, heads, grid.key_rows, grid.key_columns, head_channels),
        (height * row, across * channels, down * row, head_channels, row, channels, 1),
    )
    tiles = tiles.unflatten(4, (grid.key_rows, grid.key_columns))
    apart_y, apart_x = -(-grid.key_rows // down), -(-grid.key_columns // across)
    for y in range(min(apart_y, grid.bands)):
        for x in range(min(apart_x, grid.strips)):
            views[:, x::apart_x, y::apart_y] += tiles[:, x::apart_x, y::apart_y]
    here = to_BHWC[:, :height, :width]
    here += total[:, : here.shape[1], : here.shape[2]]
