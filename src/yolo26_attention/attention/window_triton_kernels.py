"""Triton kernels of windowed attention: one forward, two backward, no atomics.

`window_triton_geometry` explains letters, tiles and the border.
"""

# Signatures list a dozen strides and sizes, in one row per tensor for readability.
# fmt: off

import triton
import triton.language as tl

from yolo26_attention.attention.window_triton_geometry import (
    first_of,
    image_of,
    locate,
    multiply_add,
    near,
    nearest_queries,
    product,
    read,
    read_keys,
    write,
)

# The shape of the map changes from batch to batch in rectangular validation; one binary serves all.
SIZES = ["heads", "height", "width", "out_height", "out_width"]
SIZES_AND_IMAGES = [*SIZES, "images_y", "images_x"]


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
