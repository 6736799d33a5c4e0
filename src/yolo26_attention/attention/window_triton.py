"""Windowed attention as one fused Triton kernel, with a handwritten backward of two more."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

kernels: Any = None
try:
    from yolo26_attention.attention import window_triton_geometry, window_triton_kernels
    from yolo26_attention.attention.window_triton_launch import launch, sizes_of

    kernels = window_triton_kernels
except ModuleNotFoundError as error:
    if error.name != "triton":
        raise

# Supported dtypes, with the maximum channels per head before the kernels run out of registers.
MOST_CHANNELS_PER_HEAD = {torch.float32: 64, torch.bfloat16: 128, torch.float16: 128}

Shape = Sequence[int]


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
    if kernels is None:
        return "triton is not installed"
    if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting():
        return "an exported graph cannot hold a Triton kernel"
    devices = {x.device for x in (q, k, v)}
    if len(devices) > 1:
        return f"q, k and v are on different devices: {q.device}, {k.device}, {v.device}"
    if not q.is_cuda and not (q.device.type == "cpu" and window_triton_geometry.INTERPRETED.value):
        return f"it needs a CUDA device or TRITON_INTERPRET=1, not {q.device}"
    if not q.dtype == k.dtype == v.dtype:
        return f"q, k and v differ in dtype: {q.dtype}, {k.dtype}, {v.dtype}"
    if q.dtype not in MOST_CHANNELS_PER_HEAD:
        return f"it takes float32, bfloat16 or float16, not {q.dtype}"
    if window % 2 == 0:
        return f"{window=} is even"
    channels = max(k.shape[1], v.shape[1]) // heads
    if channels > (most := MOST_CHANNELS_PER_HEAD[q.dtype]):
        return f"a head may have {most} channels in {q.dtype}, not {channels}"
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
    """window_attention for arguments that can_run accepts.

    The result has the memory format of q. The kernels need the channels of a pixel to be contiguous,
    so channels_last maps, and slices of them along the channels, are read directly; others are
    copied once. Saved for backward: q, k, v, the result, and the logsumexp of each query.

    Sources: Dao et al. 2022 (FlashAttention), algorithms 1 and 4, for the online softmax and the
    backward that recomputes the weights from their logsumexp; Hassani et al. 2023 (Neighborhood
    Attention) for windows as tiles with a halo. Deviations: the border is reflected, not clamped;
    gradients of keys are gathered by the key's owner, so two backward passes agree bit for bit;
    block sizes follow a rule instead of a timing, so two runs of one seed also agree.
    """
    channels_last = q.stride(1) == 1
    q, k, v = (_channels_together(x) for x in (q, k, v))
    out, _ = window_forward(q, k, v, heads, window, stride, dilation, channels_last)
    return out


def _channels_together(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("attention::window", mutates_args=())
def window_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    window: int,
    stride: int,
    dilation: int,
    channels_last: bool,
) -> tuple[Tensor, Tensor]:
    """Result (B, Cv, Ho, Wo), and logsumexp (B, heads, Ho, Wo) in float32 and powers of two."""
    q, k, v = (_channels_together(x) for x in (q, k, v))
    out, lse = _empty_outputs(q, k, v, heads, window, stride, dilation, channels_last)
    sizes = sizes_of(q, k, v, heads, window, stride, dilation)
    strides = (*_strides(q), *_strides(k), *_strides(v), *_strides(out), out.stride(1))
    launch(kernels.forward_kernel, sizes, q.shape[0], q, k, v, out, lse, *strides)
    return out, lse


@window_forward.register_fake
def _empty_outputs(
    q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int, channels_last: bool
) -> tuple[Tensor, Tensor]:
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    shape = (q.shape[0], v.shape[1], *q.shape[2:])
    out = torch.empty(shape, dtype=q.dtype, device=q.device, memory_format=memory_format)
    lse = q.new_empty((q.shape[0], heads, *q.shape[2:]), dtype=torch.float32)
    return out, lse


@torch.library.custom_op("attention::window_backward", mutates_args=())
def window_backward(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    heads: int,
    window: int,
    stride: int,
    dilation: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v, in channels_last format."""
    q, k, v, grad_out = (_channels_together(x) for x in (q, k, v, grad_out))
    grad_q, grad_k, grad_v = _empty_gradients(grad_out, q, k, v, out, lse, heads, window, stride, dilation)
    sizes = sizes_of(q, k, v, heads, window, stride, dilation)
    strides = (*_strides(q), *_strides(k), *_strides(v))
    delta = torch.empty_like(lse)
    launch(
        *(kernels.query_gradient_kernel, sizes, q.shape[0]),
        *(q, k, v, out, lse, grad_out, grad_q, delta),
        *(*strides, *_strides(out), out.stride(1), *_strides(grad_out), *_strides(grad_q)),
    )
    launch(
        *(kernels.key_gradient_kernel, sizes, q.shape[0]),
        *(q, k, v, lse, delta, grad_out, grad_k, grad_v),
        *(*strides, *_strides(grad_out), *_strides(grad_k), *_strides(grad_v)),
    )
    return grad_q, grad_k, grad_v


@window_backward.register_fake
def _empty_gradients(
    grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
    heads: int, window: int, stride: int, dilation: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    grad_q, grad_k, grad_v = (torch.empty_like(x, memory_format=torch.channels_last) for x in (q, k, v))
    return grad_q, grad_k, grad_v


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, *ctx.options, _ = inputs
    ctx.save_for_backward(q, k, v, *output)


def _differentiate(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *window_backward(grad_out, *ctx.saved_tensors, *ctx.options), *(None,) * 5


window_forward.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.attention.window)
def _forward_flops(q_shape: Shape, k_shape: Shape, v_shape: Shape, heads: int, window: int, *_: Any, **__: Any) -> int:
    # Two products per attending pair; products of tiles beyond their windows do not count.
    batch, channels, height, width = q_shape
    return 2 * batch * height * width * window**2 * (channels + v_shape[1])


@register_flop_formula(torch.ops.attention.window_backward)
def _backward_flops(
    _: Shape, q_shape: Shape, k_shape: Shape, v_shape: Shape, out: Shape, lse: Shape, heads: int, window: int,
    *__: Any, **___: Any,
) -> int:  # fmt: skip
    # Recomputed weights, gradients of q and k; gradients of the weights and of v. PyTorch counts its
    # own fused attention in the same way, regardless of how often a kernel computes the weights.
    batch, channels, height, width = q_shape
    return 2 * batch * height * width * window**2 * (3 * channels + 2 * v_shape[1])


def _strides(x: Tensor) -> tuple[int, int, int]:
    return x.stride(0), x.stride(2), x.stride(3)
