"""Attention from Ultralytics, with this program's option names, checked before Ultralytics receives them.

It is here because the attention package does not depend on YOLO. Batch norms get the constants that Ultralytics sets
in every network that it builds.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from ultralytics.nn.modules.block import AAttn, PSABlock
from ultralytics.utils.torch_utils import initialize_weights

from yolo26_attention.attention.options import check_heads


class AreaAttention(AAttn):
    """Attention within `area` strips of the map; (B, channels, H, W) to the same, any H, W >= 1.

    The map's pixels, row by row, are cut into `area` parts of equal length. If area does not divide H * W, the last row
    is repeated until area divides the rows, and the added rows are removed afterwards: pixels of the last part then
    also attend to copies of the last row.

    Args:
        channels: of input and output.
        heads: must divide channels; one per 32 channels if None, as in A2C2f.
        area: number of parts.

    Raises:
        ValueError: if heads does not divide channels, or if area is below 1.

    Source: Tian et al. 2025 (YOLOv12), section 3.2, in Ultralytics' code, whose state dicts load.
    """

    def __init__(self, channels: int, *, heads: int | None = None, area: int = 4):
        if heads is None:
            heads = max(channels // 32, 1)
        check_heads(heads, channels)
        if area < 1:
            raise ValueError(f"{area=} must be at least 1; try 4, or 1 for the whole map")
        super().__init__(channels, heads, area)
        initialize_weights(self)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        if self.area == 1:
            return super().forward(x)
        height, width = x.shape[2], x.shape[3]
        # Arithmetic instead of a branch keeps exported sizes dynamic.
        missing = (height * width % self.area != 0) * ((self.area - height % self.area) % self.area)
        last = x[:, :, -1:].expand(-1, -1, missing, -1)
        return super().forward(torch.cat([x, last], 2))[:, :, :height]

    def extra_repr(self) -> str:
        return f"heads={self.num_heads}, area={self.area}"


def psa(channels: int, *, heads: int = 4, attn_ratio: float = 0.5, shortcut: bool = True) -> nn.Module:
    """Position-sensitive attention over the whole map and a feed-forward layer; (B, channels, H, W) to the same.

    Args:
        channels: of input and output.
        heads: must divide channels.
        attn_ratio: channels of a query or key divided by those of a head, which has channels / heads.
        shortcut: whether to add the input to the output, around the attention and around the feed-forward layer.

    Raises:
        ValueError: if heads does not divide channels, or if attn_ratio gives a key no channels.

    Source: Wang et al. 2024 (YOLOv10), section 3.2; Ultralytics' PSABlock.
    """
    check_heads(heads, channels)
    head_channels = channels // heads
    if attn_ratio <= 0 or int(head_channels * attn_ratio) < 1:
        way_out = 0.5 if head_channels > 1 else 1.0
        raise ValueError(f"{attn_ratio=} leaves none of a head's {head_channels} channels; try {way_out}")
    block = PSABlock(channels, attn_ratio=attn_ratio, num_heads=heads, shortcut=shortcut)
    initialize_weights(block)
    return block
