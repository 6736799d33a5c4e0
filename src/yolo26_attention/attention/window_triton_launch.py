"""How the Triton kernels of windowed attention are launched: sizes of tiles and blocks, warps, grids.

Everything here follows from integers, so it is planned once for each set of them. A timing decides nothing at run
time: two runs of one seed agree bit for bit only if they use the same tiles.
"""

import json
import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from jaxtyping import Float
from torch import Tensor

# Tiles (rows, columns) to choose from: 16 to 64 elements, the rows of one to four tensor-core tiles.
TILES = ((4, 8), (2, 8), (4, 4), (8, 8))
# Elements of the blocks that a tile reads, fewer if heads have more than 64 channels.
BLOCK = 32
STAGES = 2
# Chosen on a GPU by `python -m benchmarks.tune`; what is not in it follows the rule in `_tiling`.
MEASURED = Path(__file__).with_name("window_tiles.json")
# Below it, this Triton has no tensor-core path: products cost as much as in float32, and registers as well.
TENSOR_CORES = (8, 0)


class Sizes(NamedTuple):
    """What decides how a kernel is launched."""

    heads: int
    map: tuple[int, int]
    out_map: tuple[int, int]
    dim_qk: int  # channels of a head
    dim_v: int
    window: int
    stride: int
    dilation: int
    dtype: torch.dtype
    capability: tuple[int, int] | None  # compute capability; None where Triton interprets

    @property
    def windows(self) -> tuple[int, int]:
        """Window along both axes; along a side of 1 all keys of a window are the same, so one is enough."""
        height, width = self.map
        return (self.window if height > 1 else 1), (self.window if width > 1 else 1)

    @property
    def step_i(self) -> int:
        """Queries between neighbouring queries of a comb of keys."""
        return self.dilation // math.gcd(self.stride, self.dilation)

    @property
    def step_t(self) -> int:
        """Teeth of that comb between them."""
        return self.stride // math.gcd(self.stride, self.dilation)

    @property
    def padded(self) -> int:
        """Channels of a head as the kernels compute them."""
        return max(_padded(self.dim_qk), _padded(self.dim_v))

    @property
    def exact(self) -> bool:
        """Whether products run outside the tensor cores, where they cost more than the softmax."""
        return self.dtype == torch.float32 or (self.capability is not None and self.capability < TENSOR_CORES)


class Tiling(NamedTuple):
    """Sizes of a kernel's tiles and blocks, in elements (rows, columns), its warps and its pipeline's stages."""

    tile: tuple[int, int]
    block: tuple[int, int]
    warps: int
    stages: int


class Plan(NamedTuple):
    """Arguments of a kernel that depend on sizes alone."""

    grid: tuple[int, int]
    integers: tuple[int, ...]
    keywords: dict[str, Any]


def sizes_of(
    q: Float[Tensor, "batch channels out_height out_width"],
    k: Float[Tensor, "batch channels height width"],
    v: Float[Tensor, "batch value_channels height width"],
    heads: int,
    window: int,
    stride: int,
    dilation: int,
) -> Sizes:
    """Sizes of a call of window_attention."""
    return Sizes(
        heads,
        (k.shape[2], k.shape[3]),
        (q.shape[2], q.shape[3]),
        q.shape[1] // heads,
        v.shape[1] // heads,
        window,
        stride,
        dilation,
        q.dtype,
        capability(q.device),
    )


def launch(kernel: Any, sizes: Sizes, batch: int, *arguments: Any) -> None:
    """Run a kernel on the device of its first argument.

    Args:
        kernel: `forward_kernel`, `query_gradient_kernel` or `key_gradient_kernel`.
        sizes: of the call.
        batch: number of samples; 0 launches nothing.
        arguments: tensors and their strides, in the order of the kernel.
    """
    if batch == 0:
        return
    planned = plan(kernel.__name__, sizes)
    with torch.cuda.device_of(arguments[0]):
        kernel[(*planned.grid, batch)](*arguments, *planned.integers, **planned.keywords)


@cache
def capability(device: torch.device) -> tuple[int, int] | None:
    """Compute capability of a CUDA device; None for others."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


@lru_cache(maxsize=4096)
def plan(kernel: str, sizes: Sizes) -> Plan:
    """Plan the launch of a kernel, by its name."""
    over_keys = kernel == "key_gradient_kernel"
    owned, step = (sizes.map, sizes.dilation) if over_keys else (sizes.out_map, sizes.step_i)
    tiling = tiling_of(kernel, sizes)
    down, right = (
        step * triton.cdiv(triton.cdiv(side, step), size) for side, size in zip(owned, tiling.tile, strict=True)
    )
    span_y, span_x = _spans(kernel, sizes, tiling.tile)
    return Plan(
        (sizes.heads * right, down),
        (sizes.heads, *sizes.map, *sizes.out_map, *(_images(sizes) if over_keys else ())),
        {
            "DIM_QK": sizes.dim_qk,
            "DIM_V": sizes.dim_v,
            "PAD_QK": _padded(sizes.dim_qk),
            "PAD_V": _padded(sizes.dim_v),
            "WINDOW_Y": sizes.windows[0],
            "WINDOW_X": sizes.windows[1],
            "STRIDE": sizes.stride,
            "DILATION": sizes.dilation,
            "STEP_I": sizes.step_i,
            "STEP_T": sizes.step_t,
            "REPEAT": any(sizes.dilation * (w // 2) >= n for w, n in zip(sizes.windows, sizes.map, strict=True)),
            "SCALE": math.log2(math.e) / math.sqrt(sizes.dim_qk),
            "BLOCKS": triton.cdiv(span_y, tiling.block[0]) * triton.cdiv(span_x, tiling.block[1]),
            "TILE_Y": tiling.tile[0],
            "TILE_X": tiling.tile[1],
            "BLOCK_Y": tiling.block[0],
            "BLOCK_X": tiling.block[1],
            "num_warps": tiling.warps,
            "num_stages": tiling.stages,
            # Triton is about to change its default, and with it the last bits of every result.
            "enable_fp_fusion": True,
        },
    )


def tiling_of(kernel: str, sizes: Sizes) -> Tiling:
    """The measured tiling of a kernel if there is one for this card, dtype, head size and window, else by rule."""
    if sizes.capability is not None and (sizes.stride, sizes.dilation) == (1, 1):
        found = measured().get(measured_key(kernel, sizes))
        if found is not None:
            tile: tuple[int, int] = tuple(found["tile"])
            return Tiling(tile, block_of(kernel, sizes, tile, found["block"]), found["warps"], found["stages"])
    return _tiling(kernel, sizes)


@cache
def measured() -> dict[str, Any]:
    """Tilings that were measured, by `measured_key`: `tile`, elements of a `block`, `warps`, `stages`."""
    tilings: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return tilings


def measured_key(kernel: str, sizes: Sizes) -> str:
    """Name of a measured tiling, such as "sm_90 16-bit 64 channels window 7 forward_kernel"."""
    major, minor = sizes.capability or (0, 0)
    bits = 8 * sizes.dtype.itemsize
    return f"sm_{major}{minor} {bits}-bit {sizes.padded} channels window {sizes.window} {kernel}"


def _tiling(kernel: str, sizes: Sizes) -> Tiling:
    # Tensor cores ignore the window: they multiply every element of a tile with every element of
    # each block, so small tiles waste least, but large tiles share more of their halo. The score
    # weighs pairs computed against bytes read, per element, from an H200's data sheet and the
    # compiled instructions; it has not been tuned on a GPU.
    bytes_per_key = max(sizes.dim_qk, sizes.dim_v) * sizes.dtype.itemsize
    elements_of_block = BLOCK if sizes.padded <= 64 else BLOCK // 2

    def score(tile: tuple[int, int]) -> tuple[float, int, tuple[int, int]]:
        span_y, span_x = _spans(kernel, sizes, tile)
        block_y, block_x = block_of(kernel, sizes, tile, elements_of_block)
        pairs = triton.cdiv(span_y, block_y) * triton.cdiv(span_x, block_x) * block_y * block_x
        elements = math.prod(tile)
        return pairs * (8 if sizes.exact else 1) + span_y * span_x / elements * bytes_per_key, elements, tile

    _, elements, tile = min(score(tile) for tile in TILES)
    warps = max(1, min(elements // 16, elements * sizes.padded // (256 if sizes.exact else 1024)))
    return Tiling(tile, block_of(kernel, sizes, tile, elements_of_block), warps, STAGES)


def _spans(kernel: str, sizes: Sizes, tile: tuple[int, int]) -> tuple[int, int]:
    """Elements that a tile reads along each axis: keys that its queries see, or queries that see its keys."""
    if kernel == "key_gradient_kernel":
        down, right = (-(-(t + w - 1) // sizes.step_t) for t, w in zip(tile, sizes.windows, strict=True))
    else:
        down, right = (sizes.step_t * (t - 1) + w for t, w in zip(tile, sizes.windows, strict=True))
    return down, right


def block_of(kernel: str, sizes: Sizes, tile: tuple[int, int], elements: int) -> tuple[int, int]:
    """Rows and columns of a block of about that many elements."""
    columns: int = min(triton.next_power_of_2(_spans(kernel, sizes, tile)[1]), 64)
    return max(1, elements // columns), columns


def _images(sizes: Sizes) -> tuple[int, int]:
    """How many reflected images of a key a window may reach, along each axis."""
    reach = (sizes.dilation * (window // 2) for window in sizes.windows)
    down, right = (r // (side - 1) + 1 if r else 0 for r, side in zip(reach, sizes.map, strict=True))
    return down, right


def _padded(channels: int) -> int:
    padded: int = max(16, triton.next_power_of_2(channels))
    return padded
