"""A plain convolution block in place of attention, to measure the effect of its parameters alone."""

from jaxtyping import Float
from torch import Tensor, nn


class Placebo(nn.Module):
    """Two 1x1 convolutions around a depthwise one, without attention.

    (B, channels, H, W) to (B, out_channels, H, W); SiLU after the first two convolutions.

    Args:
        channels: input channels.
        hidden: channels between the convolutions.
        kernel: odd side of the depthwise convolution.
        bias: whether the first two convolutions have one; the last always has.
        out_channels: output channels; those of the input if None.
        shortcut: whether to add the input to the output if both have the same channels, so that a small block does not
            squeeze every feature through its few channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int,
        kernel: int = 3,
        bias: bool = True,
        out_channels: int | None = None,
        shortcut: bool = True,
    ):
        super().__init__()
        out_channels = out_channels or channels
        self.expand = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=bias)
        self.project = nn.Conv2d(hidden, out_channels, 1)
        self.act = nn.SiLU()
        self.shortcut = shortcut and channels == out_channels

    def forward(
        self, x: Float[Tensor, "batch {self.expand.in_channels} height width"]
    ) -> Float[Tensor, "batch {self.project.out_channels} height width"]:
        y = self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        return x + y if self.shortcut else y

    def extra_repr(self) -> str:
        return f"shortcut={self.shortcut}"


def placebo_parameters(channels: int, out_channels: int, hidden: int, kernel: int, bias: bool) -> int:
    """Number of parameters of a Placebo of these sizes."""
    return hidden * (channels + kernel**2 + out_channels + 2 * bias) + out_channels


def placebo_flops(channels: int, out_channels: int, hidden: int, kernel: int, pixels: int) -> int:
    """FLOPs of a Placebo of these sizes on a map of this many pixels, two per multiply-add."""
    return 2 * pixels * hidden * (channels + kernel**2 + out_channels)
