"""The modules by which attention joins a block. Checkpoints pickle them, so their names must not change."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from ultralytics.nn.modules import Bottleneck, Conv


class Gated(nn.Module):
    """Blend attention in by a learned scalar that starts at 0; (B, C, H, W) to the same.

    The output is x + gate * (attention(x) - x): x at the start, if the attention's output is finite, and the
    attention's output at a gate of 1.
    """

    def __init__(self, attention: nn.Module):
        super().__init__()
        self.attention = attention
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        # Under autocast attention may return another dtype than x; the map keeps its dtype.
        return x + (self.gate * (self.attention(x) - x)).to(x.dtype)


class Replacement(nn.Module):
    """Attention in place of a block; the attention determines the output shape.

    Building checks that the output has the block's height, width and channels. The wrapper is also used without a
    projection: Ultralytics sets `i`, `f`, `type` and `np` on a layer, and attention may have submodules of these
    names.

    Args:
        attention: from `channels` to `channels` if there is a projection before it.
        project: from the block's input channels to its output channels; None if not needed.
    """

    def __init__(self, attention: nn.Module, project: nn.Module | None = None):
        super().__init__()
        self.project = project
        self.attention = attention

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch channels _ _"]:
        return self.attention(x if self.project is None else self.project(x))


class Series(nn.Sequential):
    """Several attention modules at one site, each of which runs on the output of the one before it."""


class AttentionConv(Replacement):
    """An Ultralytics Conv whose convolution is replaced by attention; it keeps its batch norm and activation.

    It does not inherit from Conv, because fusing a model would fold the batch norm into the missing convolution.
    """

    def __init__(self, attention: nn.Module, project: nn.Module | None, bn: nn.Module, act: nn.Module):
        super().__init__(attention, project)
        self.bn = bn
        self.act = act

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return self.act(self.bn(super().forward(x)))


def bottleneck_convolutions(block: nn.Module) -> dict[str, Conv]:
    """The 3x3 convolutions inside the bottlenecks of a block, by their path within it; empty if there are none."""
    return {
        f"{path}.{name}": child
        for path, module in block.named_modules()
        if isinstance(module, Bottleneck)
        for name, child in module.named_children()
        if isinstance(child, Conv) and child.conv.kernel_size == (3, 3)
    }
