"""SASA: stand-alone self-attention, the attention path of ACmix alone (Ramachandran et al. 2019)."""

from yolo26_attention.attention.acmix import ACmix


class SASA(ACmix):
    """Attend from every pixel to its window; (B, channels, H, W) to (B, channels, ceil(H / stride), ceil(W / stride)).

    Args:
        channels: of input and output.
        heads: must divide channels.
        kernel_att: odd side of the window, in pixels.
        stride: pixels of the input between neighbouring pixels of the output.
        dilation: pixels between neighbouring keys of one window.
        position: whether the logits contain the relative position.
        implementation: of the windowed attention, "auto" or a name from `window.IMPLEMENTATIONS`.

    Raises:
        ValueError: if a size does not fit, or if an option has no effect with the others.

    Source: Ramachandran et al. 2019, eq. 2 and 3. The relative position is ACmix's, a linear map of the coordinates,
    instead of an embedding of each offset, and the border is reflected instead of filled with zeros.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 4,
        kernel_att: int = 7,
        stride: int = 1,
        dilation: int = 1,
        position: bool = True,
        implementation: str = "auto",
    ):
        super().__init__(
            channels,
            heads=heads,
            kernel_att=kernel_att,
            stride=stride,
            dilation=dilation,
            paths="attention",
            position=position,
            implementation=implementation,
        )
