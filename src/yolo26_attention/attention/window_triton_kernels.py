"""Triton kernels of windowed attention: one forward, two backward, no atomics.

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

# The shape of the map changes from batch to batch in rectangular validation; one binary serves all.
SIZES = ["heads", "height", "width", "out_height", "out_width"]
SIZES_AND_IMAGES = [*SIZES, "images_y", "images_x"]
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


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    q, k, v, out, lse,
    q_b, q_y, q_x, k_b, k_y, k_x, v_b, v_y, v_x, out_b, out_y, out_x, out_d,
    heads, height, width, out_height, out_width,
    DIM_QK: tl.constexpr, DIM_V: tl.constexpr, PAD_QK: tl.constexpr, PAD_V: tl.constexpr,
    WINDOW_Y: tl.constexpr, WINDOW_X: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr,
    STEP_I: tl.constexpr, STEP_T: tl.constexpr, SCALE: tl.constexpr, BLOCKS: tl.constexpr,
    REPEAT: tl.constexpr,
    TILE_Y: tl.constexpr, TILE_X: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr,
):
    """Attention of one tile of queries of one head, by online softmax over blocks of keys."""
    batch, head, tile_y, tile_x = locate(heads)
    q += batch * q_b + head * DIM_QK
    k += batch * k_b + head * DIM_QK
    v += batch * v_b + head * DIM_V
    out += batch * out_b + head * DIM_V * out_d
    lse += (batch * heads + head) * out_height * out_width

    first_y, first_x = first_of(tile_y, TILE_Y, STEP_I), first_of(tile_x, TILE_X, STEP_I)
    element_M = tl.arange(0, TILE_Y * TILE_X)
    y_M = first_y + STEP_I * (element_M // TILE_X)
    x_M = first_x + STEP_I * (element_M % TILE_X)
    valid_M = (y_M < out_height) & (x_M < out_width)
    q_MD = read(q, y_M, x_M, valid_M, q_y, q_x, 1, DIM_QK, PAD_QK)

    # Finite, because a query without a key so far must not subtract infinity from infinity.
    highest_M = tl.full((TILE_Y * TILE_X,), -1e38, tl.float32)
    total_M = tl.zeros((TILE_Y * TILE_X,), tl.float32)
    sum_MD = tl.zeros((TILE_Y * TILE_X, PAD_V), tl.float32)
    for block in range(BLOCKS):
        k_ND, v_ND, seen_MN = read_keys(
            block, k, v, k_y, k_x, v_y, v_x, first_y, first_x, height, width,
            DIM_QK, DIM_V, PAD_QK, PAD_V, WINDOW_Y, WINDOW_X, STRIDE, DILATION, STEP_T, REPEAT,
            TILE_Y, TILE_X, BLOCK_Y, BLOCK_X)
        products_MN = tl.where(seen_MN, product(q_MD, k_ND), float("-inf"))
        higher_M = tl.maximum(highest_M, tl.max(products_MN, 1))
        fade_M = tl.exp2((highest_M - higher_M) * SCALE)
        weights_MN = tl.exp2(products_MN * SCALE - (higher_M * SCALE)[:, None])
        total_M = total_M * fade_M + tl.sum(weights_MN, 1)
        sum_MD = multiply_add(weights_MN, v_ND, sum_MD * fade_M[:, None])
        highest_M = higher_M

    write(out, sum_MD / total_M[:, None], y_M, x_M, valid_M, out_y, out_x, out_d, DIM_V, PAD_V)
    tl.store(lse + y_M * out_width + x_M, highest_M * SCALE + tl.log2(total_M), mask=valid_M)


@triton.jit(do_not_specialize=SIZES)
def query_gradient_kernel(
    q, k, v, out, lse, grad_out, grad_q, delta,
    q_b, q_y, q_x, k_b, k_y, k_x, v_b, v_y, v_x, out_b, out_y, out_x, out_d,
    go_b, go_y, go_x, gq_b, gq_y, gq_x,
    heads, height, width, out_height, out_width,
    DIM_QK: tl.constexpr, DIM_V: tl.constexpr, PAD_QK: tl.constexpr, PAD_V: tl.constexpr,
    WINDOW_Y: tl.constexpr, WINDOW_X: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr,
    STEP_I: tl.constexpr, STEP_T: tl.constexpr, SCALE: tl.constexpr, BLOCKS: tl.constexpr,
    REPEAT: tl.constexpr,
    TILE_Y: tl.constexpr, TILE_X: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr,
):
    """Gradient of one tile of queries, and `delta`, which the other backward kernel reads."""
    LN2: tl.constexpr = 0.6931471805599453
    batch, head, tile_y, tile_x = locate(heads)
    q += batch * q_b + head * DIM_QK
    k += batch * k_b + head * DIM_QK
    v += batch * v_b + head * DIM_V
    out += batch * out_b + head * DIM_V * out_d
    grad_out += batch * go_b + head * DIM_V
    grad_q += batch * gq_b + head * DIM_QK
    lse += (batch * heads + head) * out_height * out_width
    delta += (batch * heads + head) * out_height * out_width

    first_y, first_x = first_of(tile_y, TILE_Y, STEP_I), first_of(tile_x, TILE_X, STEP_I)
    element_M = tl.arange(0, TILE_Y * TILE_X)
    y_M = first_y + STEP_I * (element_M // TILE_X)
    x_M = first_x + STEP_I * (element_M % TILE_X)
    valid_M = (y_M < out_height) & (x_M < out_width)
    q_MD = read(q, y_M, x_M, valid_M, q_y, q_x, 1, DIM_QK, PAD_QK)
    out_MD = read(out, y_M, x_M, valid_M, out_y, out_x, out_d, DIM_V, PAD_V)
    grad_out_MD = read(grad_out, y_M, x_M, valid_M, go_y, go_x, 1, DIM_V, PAD_V)
    lse_M = tl.load(lse + y_M * out_width + x_M, mask=valid_M, other=0.0)
    delta_M = tl.sum(out_MD.to(tl.float32) * grad_out_MD.to(tl.float32), 1)
    tl.store(delta + y_M * out_width + x_M, delta_M, mask=valid_M)

    grad_q_MD = tl.zeros((TILE_Y * TILE_X, PAD_QK), tl.float32)
    for block in range(BLOCKS):
        k_ND, v_ND, seen_MN = read_keys(
            block, k, v, k_y, k_x, v_y, v_x, first_y, first_x, height, width,
            DIM_QK, DIM_V, PAD_QK, PAD_V, WINDOW_Y, WINDOW_X, STRIDE, DILATION, STEP_T, REPEAT,
            TILE_Y, TILE_X, BLOCK_Y, BLOCK_X)
        weights_MN = tl.exp2(product(q_MD, k_ND) * SCALE - lse_M[:, None])
        slope_MN = product(grad_out_MD, v_ND) - delta_M[:, None]
        grad_logits_MN = tl.where(seen_MN, weights_MN * slope_MN, 0.0)
        grad_q_MD = multiply_add(grad_logits_MN, k_ND, grad_q_MD)

    # SCALE converts logits to powers of two; the gradient needs their natural scale.
    grad_q_MD *= SCALE * LN2
    write(grad_q, grad_q_MD, y_M, x_M, valid_M, gq_y, gq_x, 1, DIM_QK, PAD_QK)


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


@triton.jit(do_not_specialize=SIZES_AND_IMAGES)
def key_gradient_kernel(
    q, k, v, lse, delta, grad_out, grad_k, grad_v,
    q_b, q_y, q_x, k_b, k_y, k_x, v_b, v_y, v_x, go_b, go_y, go_x,
    gk_b, gk_y, gk_x, gv_b, gv_y, gv_x,
    heads, height, width, out_height, out_width, images_y, images_x,
    DIM_QK: tl.constexpr, DIM_V: tl.constexpr, PAD_QK: tl.constexpr, PAD_V: tl.constexpr,
    WINDOW_Y: tl.constexpr, WINDOW_X: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr,
    STEP_I: tl.constexpr, STEP_T: tl.constexpr, SCALE: tl.constexpr, BLOCKS: tl.constexpr,
    REPEAT: tl.constexpr,
    TILE_Y: tl.constexpr, TILE_X: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr,
):
    """Gradient of one tile of keys and values, gathered from every query that sees an image of it."""
    LN2: tl.constexpr = 0.6931471805599453
    BLOCKS_X: tl.constexpr = (
        ((TILE_X + WINDOW_X - 1 + STEP_T - 1) // STEP_T + BLOCK_X - 1) // BLOCK_X)
    batch, head, tile_y, tile_x = locate(heads)
    q += batch * q_b + head * DIM_QK
    k += batch * k_b + head * DIM_QK
    v += batch * v_b + head * DIM_V
    grad_out += batch * go_b + head * DIM_V
    grad_k += batch * gk_b + head * DIM_QK
    grad_v += batch * gv_b + head * DIM_V
    lse += (batch * heads + head) * out_height * out_width
    delta += (batch * heads + head) * out_height * out_width

    first_y, first_x = first_of(tile_y, TILE_Y, DILATION), first_of(tile_x, TILE_X, DILATION)
    element_M = tl.arange(0, TILE_Y * TILE_X)
    y_M = first_y + DILATION * (element_M // TILE_X)
    x_M = first_x + DILATION * (element_M % TILE_X)
    valid_M = (y_M < height) & (x_M < width)
    k_MD = read(k, y_M, x_M, valid_M, k_y, k_x, 1, DIM_QK, PAD_QK)
    v_MD = read(v, y_M, x_M, valid_M, v_y, v_x, 1, DIM_V, PAD_V)

    grad_k_MD = tl.zeros((TILE_Y * TILE_X, PAD_QK), tl.float32)
    grad_v_MD = tl.zeros((TILE_Y * TILE_X, PAD_V), tl.float32)
    element_N = tl.arange(0, BLOCK_Y * BLOCK_X)
    # Only tiles near an edge have other images within reach of a query than the map itself.
    reach_y, reach_x = DILATION * (WINDOW_Y // 2), DILATION * (WINDOW_X // 2)
    begin_y = tl.where(first_y <= reach_y, -images_y, 0)
    begin_x = tl.where(first_x <= reach_x, -images_x, 0)
    end_y = tl.where(first_y + DILATION * (TILE_Y - 1) + reach_y >= height - 1, images_y, 0) + 1
    end_x = tl.where(first_x + DILATION * (TILE_X - 1) + reach_x >= width - 1, images_x, 0) + 1
    for image_y in range(begin_y, end_y):
        query_y, reached_y = nearest_queries(
            first_y, height, out_height, image_y, TILE_Y, WINDOW_Y, STRIDE, DILATION, STEP_I,
            STEP_T)
        image_y_M = image_of(y_M, height, image_y)
        for image_x in range(begin_x, end_x):
            query_x, reached_x = nearest_queries(
                first_x, width, out_width, image_x, TILE_X, WINDOW_X, STRIDE, DILATION, STEP_I,
                STEP_T)
            image_x_M = image_of(x_M, width, image_x)
            for block in range(0, tl.where(reached_y & reached_x, BLOCKS, 0)):
                y_N = query_y + STEP_I * (block // BLOCKS_X * BLOCK_Y + element_N // BLOCK_X)
                x_N = query_x + STEP_I * (block % BLOCKS_X * BLOCK_X + element_N % BLOCK_X)
                valid_N = (y_N >= 0) & (y_N < out_height) & (x_N >= 0) & (x_N < out_width)
                q_ND = read(q, y_N, x_N, valid_N, q_y, q_x, 1, DIM_QK, PAD_QK)
                grad_out_ND = read(grad_out, y_N, x_N, valid_N, go_y, go_x, 1, DIM_V, PAD_V)
                lse_N = tl.load(lse + y_N * out_width + x_N, mask=valid_N, other=0.0)
                delta_N = tl.load(delta + y_N * out_width + x_N, mask=valid_N, other=0.0)

                # Queries outside the map read as zeros, so they add nothing.
                seen_MN = near(image_y_M, y_N * STRIDE, WINDOW_Y, DILATION)
                seen_MN &= near(image_x_M, x_N * STRIDE, WINDOW_X, DILATION)
                weights_MN = tl.exp2(product(k_MD, q_ND) * SCALE - lse_N[None, :])
                weights_MN = tl.where(seen_MN, weights_MN, 0.0)
                grad_v_MD = multiply_add(weights_MN, grad_out_ND, grad_v_MD)
                slope_MN = product(v_MD, grad_out_ND) - delta_N[None, :]
                grad_k_MD = multiply_add(weights_MN * slope_MN, q_ND, grad_k_MD)

    grad_k_MD *= SCALE * LN2
    write(grad_k, grad_k_MD, y_M, x_M, valid_M, gk_y, gk_x, 1, DIM_QK, PAD_QK)
    write(grad_v, grad_v_MD, y_M, x_M, valid_M, gv_y, gv_x, 1, DIM_V, PAD_V)
