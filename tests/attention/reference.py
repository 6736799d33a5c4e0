"""ACmix and windowed attention as the paper writes them: one gather for every pixel of the window, slow and plain.

Shares nothing with src. Works in any dtype: float64 is the truth, lower precisions are what eager code would do.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def bounce(index: int, side: int) -> int:
    """Walk back inside a map of `side` pixels, as a ball between two walls."""
    while not 0 <= index < side:
        if side == 1:
            return 0
        index = -index if index < 0 else 2 * (side - 1) - index
    return index


def neighbour(x: Tensor, row: int, column: int, stride: int) -> Tensor:
    """For every query the pixel `row`, `column` away, reflected at the border."""
    height, width = x.shape[-2:]
    rows = [bounce(i + row, height) for i in range(0, height, stride)]
    columns = [bounce(j + column, width) for j in range(0, width, stride)]
    return x[..., rows, :][..., columns]


def windowed(q: Tensor, k: Tensor, v: Tensor, heads: int, window: int, stride: int, dilation: int) -> Tensor:
    """Windowed attention without positions; shapes as in yolo26_attention.attention.window."""
    return _attend(q, k, v, None, heads, window, stride, dilation)


def _attend(q, k, v, pe, heads, window, stride, dilation):
    batch, channels, height, width = q.shape
    scale = 1 / math.sqrt(channels // heads)
    q, k, v = (x.reshape(batch, heads, -1, *x.shape[2:]) for x in (q, k, v))
    reach = range(-(window // 2), window // 2 + 1)
    offsets = [(row * dilation, column * dilation) for row in reach for column in reach]
    logits = []
    for row, column in offsets:
        key = neighbour(k, row, column, stride)
        if pe is not None:
            key = key + pe[..., ::stride, ::stride] - neighbour(pe, row, column, stride)
        logits.append((q * scale * key).sum(2))
    weights = torch.softmax(torch.stack(logits), 0)
    out = 0
    for weight, (row, column) in zip(weights, offsets, strict=True):
        out = out + weight.unsqueeze(2) * neighbour(v, row, column, stride)
    return out.reshape(batch, -1, height, width)


def encode(height: int, width: int, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear map of (x, y), each from -1 to 1 over the map."""
    x = torch.linspace(-1, 1, width, dtype=weight.dtype).expand(height, width)
    y = torch.linspace(-1, 1, height, dtype=weight.dtype).unsqueeze(1).expand(height, width)
    return F.conv2d(torch.stack([x, y])[None], weight, bias)


def acmix(
    x: Tensor,
    parameters: dict[str, Tensor],
    *,
    heads: int,
    kernel_att: int = 7,
    kernel_conv: int = 3,
    stride: int = 1,
    dilation: int = 1,
    paths: str = "both",
    position: bool = True,
    rates: tuple[float, float] | None = None,
) -> Tensor:
    """rate1 * attention + rate2 * convolution, from parameters under the original's names."""
    p = parameters
    q, k, v = (F.conv2d(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"]) for i in (1, 2, 3))
    if paths != "convolution":
        pe = encode(*x.shape[2:], p["conv_p.weight"], p["conv_p.bias"]) if position else None
        queries = q[..., ::stride, ::stride]
        attention = _attend(queries, k, v, pe, heads, kernel_att, stride, dilation)
    if paths != "attention":
        convolved = convolution(q, k, v, p, heads, kernel_conv, stride)
    if paths != "both":
        return attention if paths == "attention" else convolved
    rate1, rate2 = (p["rate1"], p["rate2"]) if rates is None else rates
    return rate1 * attention + rate2 * convolved


def convolution(q, k, v, p, heads, kernel_conv, stride):
    """fc over the 3 * heads maps of each channel of a head, then dep_conv, tap by tap."""
    batch, channels, height, width = q.shape
    d, taps, reach = channels // heads, kernel_conv**2, kernel_conv // 2
    maps = torch.cat([y.reshape(batch, heads, d, height, width) for y in (q, k, v)], 1)
    mixed = torch.einsum("tm,bmdhw->bdthw", p["fc.weight"].reshape(taps, 3 * heads), maps)
    mixed = F.pad(mixed, (reach, reach, reach, reach))
    weight = p["dep_conv.weight"].reshape(d, heads, taps, kernel_conv, kernel_conv)
    out = 0
    for row in range(kernel_conv):
        for column in range(kernel_conv):
            moved = mixed[..., row : row + height : stride, column : column + width : stride]
            out = out + torch.einsum("dnt,bdthw->bdnhw", weight[..., row, column], moved)
    out = out.reshape(batch, channels, *out.shape[3:])
    if "dep_conv.bias" in p:
        out = out + p["dep_conv.bias"].reshape(1, -1, 1, 1)
    return out
