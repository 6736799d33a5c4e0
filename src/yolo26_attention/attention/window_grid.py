"""Geometry of yolo26_attention.attention.window_tiled: tiles of queries and the keys that each tile sees."""

from collections.abc import Iterable, Iterator
from functools import cache
from math import gcd

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from yolo26_attention.attention.window_cache import constant

# Shape legend: B batch, H height, W width, C channels, S strips (columns of tiles), R bands (rows of
# tiles), N heads, M queries of a tile, K keys of a tile, D channels per head, P pixels


# Cost of a strip in addition to its tiles, in products of a query and a key of one head: that of its
# calls on a CPU.
STRIP_WEIGHT = 18000
# Pixels of the largest map whose whole mask is kept.
MOST_WHOLE = 1024


class Grid:
    """Queries that share a sub-grid of keys, `dilation` apart, divided into tiles, which form strips.

    Args:
        size: H and W of the keys.
        start: row and column of the first query.
        apart: queries between neighbouring queries of this grid.
        window, stride, dilation: of the windowed attention.
        weight: cost of a tile in addition to its products of a query and a key, in such products.
    """

    def __init__(
        self,
        size: tuple[int, int],
        start: tuple[int, int],
        apart: int,
        window: int,
        stride: int,
        dilation: int,
        weight: int,
    ):
        self.size, self.window, self.dilation = size, window, dilation
        self._geometry = size, start, apart, window, stride, dilation, weight
        # Positions of the queries and keys of this grid on (B, H, W, C) maps.
        self.queries = (slice(None), *(slice(at, None, apart) for at in start))
        self.keys = (slice(None), *(slice(at * stride, None, dilation) for at in start))
        self.first = tuple(at * stride - dilation * (window // 2) for at in start)
        # In keys of the sub-grid, which has a dilation of 1.
        self.step = stride * apart // dilation
        height, width = (-(-(-(-side // stride) - at) // apart) for side, at in zip(size, start, strict=True))
        self.cost, (self.rows, self.columns) = _tile(height, width, window, self.step, weight)
        self.bands, self.strips = -(-height // self.rows), -(-width // self.columns)
        self.key_rows = (self.rows - 1) * self.step + window
        self.key_columns = (self.columns - 1) * self.step + window

    def mask(
        self, like: Float[Tensor, "..."]
    ) -> Float[Tensor, "{self.rows}*{self.columns} {self.key_rows}*{self.key_columns}"]:
        """Mask (M, K): 0 where a query of a tile sees a key, else -inf; dtype and device are those of `like`."""
        keys = self.key_rows * self.key_columns

        def make() -> Tensor:
            mask = like.new_full((self.rows * self.columns, keys), float("-inf"))
            # The window moves by `step` keys per query, so the visible keys are one strided view.
            down, right = self.columns * keys + self.step * self.key_columns, keys + self.step
            sizes = (self.rows, self.columns, self.window, self.window)
            mask.as_strided(sizes, (down, right, self.key_columns, 1)).zero_()
            return mask

        return constant(("tile", self.rows, self.columns, self.step, self.window), like, make)

    def query_tiles(
        self, x_HWC: Float[Tensor, "height width channels"], strip: int, heads: int
    ) -> Float[Tensor, "{self.bands} {heads} {self.rows}*{self.columns} channels//{heads}"]:
        """The queries of a strip, (R, N, M, D), with zeros beyond the edge of the map."""
        x = x_HWC[:, strip * self.columns : (strip + 1) * self.columns]
        below, right = self.bands * self.rows - x.shape[0], self.columns - x.shape[1]
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        return x.reshape(self.bands, self.rows * self.columns, heads, -1).transpose(1, 2)

    def put(
        self,
        tiles: Float[Tensor, "{self.bands} heads {self.rows}*{self.columns} head_channels"],
        strip: int,
        to_HWC: Float[Tensor, "height width heads*head_channels"],
    ) -> None:
        """Write the tiles of a strip, (R, N, M, D), to a map of queries."""
        to = to_HWC[:, strip * self.columns : (strip + 1) * self.columns]
        queries = tiles.transpose(1, 2).reshape(-1, self.columns, to.shape[2])
        to.copy_(queries[: to.shape[0], : to.shape[1]])

    def key_index(self, like: Float[Tensor, "..."]) -> Int64[Tensor, "{self.strips} pixels"]:
        """Pixels of a flattened map that hold the keys of each strip, reflected at the border."""
        down = range((self.bands - 1) * self.rows * self.step + self.key_rows)
        across = self.columns * self.step
        right = [at * across + i for at in range(self.strips) for i in range(self.key_columns)]

        def make() -> Tensor:
            rows, columns = (
                torch.tensor(self._reflected(dim, keys), device=like.device) for dim, keys in enumerate((down, right))
            )
            index = (rows * self.size[1]).view(1, -1, 1) + columns.view(self.strips, 1, -1)
            return index.flatten(1)

        return constant(("keys", *self._geometry), like, make)

    def tile_keys(self) -> list[list[int]]:
        """Pixels of a flattened map that hold the keys of each tile, row of tiles after row of tiles."""
        down, across = self.rows * self.step, self.columns * self.step
        rows = [self._reflected(0, range(band * down, band * down + self.key_rows)) for band in range(self.bands)]
        columns = [
            self._reflected(1, range(strip * across, strip * across + self.key_columns)) for strip in range(self.strips)
        ]
        return [[y * self.size[1] + x for y in ys for x in xs] for ys in rows for xs in columns]

    def _reflected(self, dim: int, keys: Iterable[int]) -> list[int]:
        last = self.size[dim] - 1
        period = max(2 * last, 1)
        positions = (self.first[dim] + self.dilation * key for key in keys)
        return [last - abs(last - abs(position) % period) for position in positions]

    def key_tiles(
        self, strip_PC: Float[Tensor, "pixels channels"], heads: int
    ) -> Float[Tensor, "{self.bands} {heads} {self.key_rows}*{self.key_columns} channels//{heads}"]:
        """View the keys of a strip, (P, C), as (R, N, K, D); neighbouring tiles overlap."""
        channels = strip_PC.shape[1]
        sizes = self.bands, heads, self.key_rows * self.key_columns, channels // heads
        band = self.rows * self.step * self.key_columns * channels
        return strip_PC.as_strided(sizes, (band, channels // heads, channels, 1))

    def add_key_tiles(
        self,
        tiles: Float[Tensor, "{self.bands} heads {self.key_rows}*{self.key_columns} head_channels"],
        strip: int,
        to_HWC: Float[Tensor, "height width heads*head_channels"],
    ) -> None:
        """Adjoint of key_index and key_tiles, except for the border, which `to_HWC` includes."""
        rows = (self.bands - 1) * self.rows * self.step + self.key_rows
        total = tiles.new_zeros(rows * self.key_columns, to_HWC.shape[2])
        views = self.key_tiles(total, tiles.shape[1])
        # Adds all tiles that do not overlap at once.
        groups = -(-self.key_rows // (self.rows * self.step))
        for group in range(min(groups, self.bands)):
            views[group::groups] += tiles[group::groups]
        here = to_HWC[:rows, strip * self.columns * self.step :][:, : self.key_columns]
        here += total.unflatten(0, (rows, -1))[: here.shape[0], : here.shape[1]]


def grids(size: tuple[int, int], window: int, stride: int, dilation: int, weight: int) -> Iterator[Grid]:
    """Yield the grids that together hold every query of a map of this size, each with a dilation of 1."""
    apart = dilation // gcd(stride, dilation)
    rows, columns = (min(apart, -(-side // stride)) for side in size)
    for row in range(rows):
        for column in range(columns):
            yield Grid(size, (row, column), apart, window, stride, dilation, weight)


def whole_is_cheaper(size: tuple[int, int], window: int, stride: int, dilation: int, weight: int) -> bool:
    """Whether dense attention over the whole map costs less than tiles; arguments as for `grids`.

    Measured on a CPU with window 7: up to 16 x 16 pixels it takes less time, from 20 x 20 more.
    """
    keys, queries = size[0] * size[1], -(-size[0] // stride) * -(-size[1] // stride)
    if keys > MOST_WHOLE:
        return False
    return queries * _padded(keys) <= sum([grid.cost for grid in grids(size, window, stride, dilation, weight)])


def _padded(keys: int) -> int:
    # CPU kernels process 16 keys at a time, and a remainder costs about as much as 40.
    return -(-keys // 16) * 16 + (40 if keys % 16 else 0)


@cache
def _tile(height: int, width: int, window: int, step: int, weight: int) -> tuple[int, tuple[int, int]]:
    # The cost of all tiles, and their sides. Larger tiles have lower overhead but more masked products.
    def cost(tile: tuple[int, int]) -> int:
        rows, columns = tile
        keys = ((rows - 1) * step + window) * ((columns - 1) * step + window)
        tiles = -(-height // rows) * -(-width // columns)
        return tiles * (rows * columns * _padded(keys) + weight) + -(-width // columns) * STRIP_WEIGHT

    sides = ((rows, columns) for rows in (1, 2, 3, 4, 6, 8) for columns in range(1, 21))
    best = min(sides, key=cost)
    return cost(best), best
