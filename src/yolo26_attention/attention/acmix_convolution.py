"""ACmix's convolution path as one convolution, instead of a sum of kernel_conv^2 shifted maps."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# fc and dep_conv are consecutive linear maps. Their product is a grouped convolution of the
# projections (`grouped`); its product with the projections is a dense convolution of the input
# (`dense`), which has more products but is one operation, without separate projections.

# Shape legend: B batch, C channels, I input channels, H height, W width, N heads, D channels per
# head (the groups of dep_conv), T taps (positions of the kernel)


# Up to this number of input channels, the extra products of `dense` cost less than it saves. Measured on a CPU. On CUDA
# the fewer launches decide, and grouped convolutions have no fast kernel.
MOST_DENSE_CHANNELS = {"cpu": 96, "cuda": 1024}


def most_dense_channels(device: torch.device) -> int:
    """The largest number of input channels for which `dense` is used on a device."""
    return MOST_DENSE_CHANNELS.get(device.type, MOST_DENSE_CHANNELS["cpu"])


def compose(
    fc: Float[Tensor, "taps inputs 1 1"], dep_conv: Float[Tensor, "channels taps kernel kernel"]
) -> Float[Tensor, "channels//(inputs//3) (inputs//3)*taps inputs"]:
    """Compose the weights of fc and dep_conv to one grouped convolution.

    Args:
        fc: its Conv2d weight; its inputs are the 3N projections of one channel of a head.
        dep_conv: its Conv2d weight, of D groups.

    Returns:
        (D, N T, 3N): for each group its N outputs at T taps, over the group's 3N inputs.
    """
    mixed = dep_conv.flatten(2).transpose(1, 2) @ fc.flatten(1)  # (C, T, 3N)
    return mixed.unflatten(0, (-1, fc.shape[1] // 3)).flatten(1, 2)


def dense(
    x: Float[Tensor, "batch in_channels height width"],
    projection: Float[Tensor, "projected in_channels"],
    projection_bias: Float[Tensor, " projected"],
    weight: Float[Tensor, "groups outputs inputs"],
    *,
    side: int,
    stride: int,
    bias: Float[Tensor, " channels"] | None,
) -> Float[Tensor, "batch projected//3 -(-height//{stride}) -(-width//{stride})"]:
    """Compute the path as one convolution of x, plus a map for the bias of the projections.

    Args:
        x: the input.
        projection: concatenated weights of q, k and v, 3C in all.
        projection_bias: their biases.
        weight: from compose.
        side: side of the kernel, in pixels.
        stride: pixels of the input between neighbouring pixels of the output.
        bias: bias of the C output channels; None for none.

    Source: Pan et al. 2022, section 4, the convolution path. Multiplying its weights first changes only the rounding,
    because these linear maps are consecutive.
    """
    groups = weight.shape[0]
    by_group = projection.unflatten(0, (-1, groups)).transpose(0, 1)  # (D, 3N, I)
    out = _convolve(x, torch.bmm(weight, by_group), groups=1, side=side, stride=stride, bias=bias)
    # Zero padding applies to the projections, not to x, so no bias beyond the border.
    by_tap = torch.bmm(weight, projection_bias.view(-1, groups).t().unsqueeze(2))  # (D, N T, 1)
    inside = taps_inside(x, side, stride)
    return out.add_((inside @ by_tap.view(-1, inside.shape[2]).mT).permute(2, 0, 1))


def grouped(
    x: Float[Tensor, "batch in_channels height width"],
    projection: Float[Tensor, "projected in_channels"],
    projection_bias: Float[Tensor, " projected"],
    weight: Float[Tensor, "groups outputs inputs"],
    *,
    side: int,
    stride: int,
    bias: Float[Tensor, " channels"] | None,
) -> Float[Tensor, "batch projected//3 -(-height//{stride}) -(-width//{stride})"]:
    """Compute the path as a convolution of D groups of 3N projections; arguments as for dense."""
    groups = weight.shape[0]
    # dep_conv's groups need the 3N projections of a channel to be contiguous: project in that order.
    projection = projection.unflatten(0, (-1, groups)).transpose(0, 1).flatten(0, 1)
    projection_bias = projection_bias.view(-1, groups).t().flatten()
    maps = F.linear(x.permute(0, 2, 3, 1), projection, projection_bias).permute(0, 3, 1, 2)
    return _convolve(maps, weight, groups=groups, side=side, stride=stride, bias=bias)


def _convolve(x: Tensor, weight: Tensor, *, groups: int, side: int, stride: int, bias: Tensor | None) -> Tensor:
    kernel = weight.flatten(0, 1).unflatten(0, (-1, side, side)).permute(0, 3, 1, 2)
    return F.conv2d(x, kernel, bias, stride, side // 2, groups=groups)


def taps_inside(
    x: Float[Tensor, "batch in_channels height width"], side: int, stride: int
) -> Float[Tensor, "-(-height//{stride}) -(-width//{stride}) {side}**2"]:
    """1 where a tap of an output pixel lies on the map of x, else 0; (H, W, T)."""
    rows, columns = (_inside(length, side, stride, x) for length in x.shape[2:])
    return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(2)


def _inside(length: int, side: int, stride: int, like: Tensor) -> Tensor:
    taps = torch.arange(side, device=like.device) - side // 2
    at = torch.arange(0, length, stride, device=like.device).unsqueeze(1) + taps
    return ((at >= 0) & (at < length)).to(like.dtype)


class ShiftConv(nn.Module):
    """Parameters of dep_conv: one kernel of `taps` inputs per output channel, and optionally a bias.

    Args:
        taps: positions of the kernel, and inputs of a group.
        channels: output channels.
        kernel: side of the kernel.
        groups: groups of the convolution.
        start: "learned" from the one-hot shifts, "fixed" at them, or learned from "random" values.
    """

    # Fixed shifts are a buffer, because Ultralytics' trainer unfreezes frozen parameters.

    def __init__(self, taps: int, channels: int, kernel: int, *, groups: int, start: str):
        super().__init__()
        drawn = nn.Conv2d(taps * groups, channels, kernel, groups=groups, bias=False).weight
        shifts = torch.eye(taps).view(taps, kernel, kernel).repeat(channels, 1, 1, 1)
        if start == "fixed":
            self.register_buffer("weight", shifts)
        else:
            self.weight = drawn if start == "random" else nn.Parameter(shifts)
        self.register_parameter("bias", None)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # The authors' code has no bias here, but some ports do: follow the checkpoint.
        bias = state_dict.get(f"{prefix}bias")
        self.bias = None if bias is None else nn.Parameter(torch.zeros_like(bias).to(self.weight))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
