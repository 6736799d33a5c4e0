"""Geometry of the Triton kernels of windowed attention: tiles, reflected borders, reading and writing maps.

Letters: B batch, M elements of the tile that a program owns, N elements of the block that it
loops over, D channels of one head; Y and X are the axes of the map.

Both axes have the same geometry. Query i is at position s*i, s being the stride, and sees the keys
at s*i + l*t, l being the dilation and |t| <= window // 2. With g = gcd(s, l), the queries i,
i + l/g, i + 2l/g, ... see one comb of keys whose teeth are l apart, and each of them starts s/g
teeth after the previous one: STEP_I = l/g, STEP_T = s/g. A tile takes its queries from one comb,
so nothing is computed for the keys between the teeth.

The border is a mirror that does not repeat the edge. Reading through it is index arithmetic
(`mirror`). Writing through it would need atomics; instead, the kernel that owns a tile of keys
loops over all images of that tile: in a map of side n, image e of key y is at y + e*(n-1) for an
even e and at (e+1)*(n-1) - y for an odd one. There are only image 0, the map itself, and near an
edge image -1 or 1, unless the window spans the whole map. The edge rows belong to an even and an
odd image; the even one keeps them.

All maps have a channel stride of 1, except `out`, which is written in the format of q.
`lse` (logsumexp of the logits, in powers of two) and `delta` (sum over D of out times its gradient)
are contiguous float32 (B, heads, Y, X). Channels are padded to a power of two of at least 16, the
minimum of `tl.dot`. Float32 products are computed in float32 ("ieee"), never in TF32.
"""

# Signatures list a dozen strides and sizes, in one row per tensor for readability.
# fmt: off

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def locate(heads):
    """Batch, head and tile of this program; heads vary fastest, because they share cache lines."""
    batch = tl.program_id(2).to(tl.int64)
    return batch, tl.program_id(0) % heads, tl.program_id(1), tl.program_id(0) // heads


@triton.jit
def first_of(tile, SIZE: tl.constexpr, STEP: tl.constexpr):
    """First element of a tile whose elements are STEP apart; STEP tiles interleave."""
    return tile % STEP + tile // STEP * (SIZE * STEP)


@triton.jit
def mirror(position, side, REPEAT: tl.constexpr):
    """Index in [0, side) of a position on the line between two mirrors.

    Without REPEAT, which costs a division, each mirror applies once: correct up to side - 1 beyond
    the edge, and safe to read further out, where only queries outside the map read.
    """
    period = tl.maximum(2 * side - 2, 1)
    folded = tl.abs(position)
    if REPEAT:
        folded %= period
    return tl.maximum(tl.minimum(folded, period - folded), 0)


@triton.jit
def address(pointer, y_M, x_M, valid_M, stride_y, stride_x, stride_d,
            DIM: tl.constexpr, PAD: tl.constexpr):
    """Pointers to the channels (M, PAD) of the given pixels, and a mask of those that exist."""
    channel_D = tl.arange(0, PAD)
    pixel_M = y_M * stride_y + x_M * stride_x
    exists_MD = valid_M[:, None] & (channel_D < DIM)[None, :]
    return pointer + pixel_M[:, None] + (channel_D * stride_d)[None, :], exists_MD


@triton.jit
def read(pointer, y_M, x_M, valid_M, stride_y, stride_x, stride_d,
         DIM: tl.constexpr, PAD: tl.constexpr):
    pointers_MD, exists_MD = address(
        pointer, y_M, x_M, valid_M, stride_y, stride_x, stride_d, DIM, PAD)
    return tl.load(pointers_MD, mask=exists_MD, other=0.0)


@triton.jit
def write(pointer, value_MD, y_M, x_M, valid_M, stride_y, stride_x, stride_d,
          DIM: tl.constexpr, PAD: tl.constexpr):
    pointers_MD, exists_MD = address(
        pointer, y_M, x_M, valid_M, stride_y, stride_x, stride_d, DIM, PAD)
    tl.store(pointers_MD, value_MD.to(pointer.dtype.element_ty), mask=exists_MD)


@triton.jit
def multiply_add(a_MK, b_KN, sum_MN):
    """Matrix product added to `sum`; a is rounded to the dtype of b, the sum stays in float32."""
    a_MK = a_MK.to(b_KN.dtype)
    if INTERPRETED and b_KN.dtype == tl.bfloat16:
        # NumPy has no bfloat16, and the interpreter would multiply its bit patterns as integers.
        a_MK, b_KN = a_MK.to(tl.float32), b_KN.to(tl.float32)
    return tl.dot(a_MK, b_KN, sum_MN, input_precision="ieee")


@triton.jit
def product(a_MK, b_NK):
    """a times b transposed, (M, N), in float32."""
    zero_MN = tl.zeros((a_MK.shape[0], b_NK.shape[0]), tl.float32)
    return multiply_add(a_MK, tl.trans(b_NK), zero_MN)


@triton.jit
def covers(start_M, tooth_N, WINDOW: tl.constexpr):
    """Whether a window that starts at tooth `start` covers tooth N of its comb: (M, N)."""
    offset_MN = tooth_N[None, :] - start_M[:, None]
    return (offset_MN >= 0) & (offset_MN < WINDOW)


@triton.jit
def read_keys(
    block, k, v, k_y, k_x, v_y, v_x, first_y, first_x, height, width,
    DIM_QK: tl.constexpr, DIM_V: tl.constexpr, PAD_QK: tl.constexpr, PAD_V: tl.constexpr,
    WINDOW_Y: tl.constexpr, WINDOW_X: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr,
    STEP_T: tl.constexpr, REPEAT: tl.constexpr,
    TILE_Y: tl.constexpr, TILE_X: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr,
):
    """Keys and values of one block for the tile of queries at `first`, and whether M sees N."""
    TEETH_Y: tl.constexpr = STEP_T * (TILE_Y - 1) + WINDOW_Y
    TEETH_X: tl.constexpr = STEP_T * (TILE_X - 1) + WINDOW_X
    BLOCKS_X: tl.constexpr = (TEETH_X + BLOCK_X - 1) // BLOCK_X
    element_N = tl.arange(0, BLOCK_Y * BLOCK_X)
    tooth_y_N = block // BLOCKS_X * BLOCK_Y + element_N // BLOCK_X
    tooth_x_N = block % BLOCKS_X * BLOCK_X + element_N % BLOCK_X
    y_N = mirror(STRIDE * first_y + DILATION * (tooth_y_N - WINDOW_Y // 2), height, REPEAT)
    x_N = mirror(STRIDE * first_x + DILATION * (tooth_x_N - WINDOW_X // 2), width, REPEAT)
    needed_N = (tooth_y_N < TEETH_Y) & (tooth_x_N < TEETH_X)
    k_ND = read(k, y_N, x_N, needed_N, k_y, k_x, 1, DIM_QK, PAD_QK)
    v_ND = read(v, y_N, x_N, needed_N, v_y, v_x, 1, DIM_V, PAD_V)
    element_M = tl.arange(0, TILE_Y * TILE_X)
    seen_MN = covers(element_M // TILE_X * STEP_T, tooth_y_N, WINDOW_Y)
    seen_MN &= covers(element_M % TILE_X * STEP_T, tooth_x_N, WINDOW_X)
    return k_ND, v_ND, seen_MN


@triton.jit
def nearest_queries(first, side, out_side, image, TILE: tl.constexpr, WINDOW: tl.constexpr,
                    STRIDE: tl.constexpr, DILATION: tl.constexpr, STEP_I: tl.constexpr,
                    STEP_T: tl.constexpr):
    """First query whose window may reach an image of the tile of keys, and whether one exists."""
    last = first + DILATION * (TILE - 1)
    lowest = tl.where(image % 2 == 0, first + image * (side - 1), (image + 1) * (side - 1) - last)
    lowest -= DILATION * (WINDOW // 2)
    # Queries are on every STEP_T-th tooth of this comb, starting at one of the first, or on none.
    tooth = tl.full((), -1, tl.int32)
    for t in tl.static_range(STEP_T):
        tooth = tl.where((tooth < 0) & ((lowest + DILATION * t) % STRIDE == 0), t, tooth)
    query = (lowest + DILATION * tooth) // STRIDE
    QUERIES: tl.constexpr = (TILE + WINDOW - 1 + STEP_T - 1) // STEP_T
    reached = (tooth >= 0) & (query < out_side) & (query + STEP_I * (QUERIES - 1) >= 0)
    return query, reached


@triton.jit
def image_of(key_M, side, image):
    """Position of the given image of each key; far away if the key has no such image."""
    even = image % 2 == 0
    position_M = tl.where(even, key_M + image * (side - 1), (image + 1) * (side - 1) - key_M)
    owned_M = even | ((key_M > 0) & (key_M < side - 1))
    return tl.where(owned_M, position_M, -(1 << 29))


@triton.jit
def near(image_M, position_N, WINDOW: tl.constexpr, DILATION: tl.constexpr):
    """Whether the window of the query at position N reaches the image at position M: (M, N)."""
    return tl.abs(image_M[:, None] - position_N[None, :]) <= DILATION * (WINDOW // 2)
