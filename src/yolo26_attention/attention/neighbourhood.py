"""Neighbourhood attention: plain windowed attention (Hassani et al. 2023)."""

from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.attention.options import (
    Implementation,
    NeighbourhoodConfig,
    check_choice,
    check_heads,
    check_idle,
    check_kernel,
)
from yolo26_attention.attention.window import window_attention


class NeighbourhoodAttention(nn.Module):
    """Attend from every pixel to its window and project the result; (B, channels, H, W) to the same, any H, W >= 1.

    Args:
        channels: of input and output.
        heads: must divide channels.
        kernel_att: odd side of the window, in pixels.
        dilation: pixels between neighbouring keys of one window.
        implementation: of the windowed attention, "auto" or a name from `window.IMPLEMENTATIONS`.

    Raises:
        ValueError: if a size does not fit, or if an option has no effect with the others.

    Source: Hassani et al. 2023, eq. 2 to 4, without the relative position bias. At the border the map is reflected; the
    authors shift the window inwards instead.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 4,
        kernel_att: int = 7,
        dilation: int = 1,
        implementation: str = "auto",
    ):
        super().__init__()
        check_heads(heads, channels)
        check_kernel("kernel_att", kernel_att)
        if dilation < 1:
            raise ValueError(f"{dilation=} must be at least 1")
        check_choice("implementation", implementation, Implementation)
        if kernel_att == 1:
            given = {"heads": heads, "dilation": dilation}
            check_idle(given, tuple(given), NeighbourhoodConfig, "kernel_att=1, a window of one key")
        self.heads, self.kernel_att, self.dilation = heads, kernel_att, dilation
        self.implementation = implementation
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    fixed_size = False

    def prepare_export(self, *, dynamic: bool) -> None:
        """Choose the form for exported graphs.

        Args:
            dynamic: whether the graph must take maps of any height and width.
        """
        self.fixed_size = not dynamic

    def forward(
        self, x: Float[Tensor, "batch {self.proj.in_channels} height width"]
    ) -> Float[Tensor, "batch {self.proj.out_channels} height width"]:
        q, k, v = self.qkv(x).chunk(3, 1)
        out = window_attention(
            q,
            k,
            v,
            heads=self.heads,
            window=self.kernel_att,
            dilation=self.dilation,
            implementation=self.implementation,
            fixed_size=self.fixed_size,
        )
        return self.proj(out)

    def flops(self, height: int, width: int) -> int:
        """Count the FLOPs for one map of this size, two per required multiply-add.

        The count includes the projections and kernel_att^2 keys and values per query, but not softmax and masked
        products.
        """
        channels = self.proj.in_channels
        return 2 * height * width * channels * (4 * channels + 2 * self.kernel_att**2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, kernel_att={self.kernel_att}, dilation={self.dilation}"
