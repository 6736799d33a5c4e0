"""SimAM: weights every pixel by its distinctiveness in its channel, without parameters (Yang et al. 2021)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SimAM(nn.Module):
    """Multiply every pixel by a sigmoid gate of its inverse energy; (B, channels, H, W) to the same, any H, W >= 1.

    out = x * sigmoid(1 / e), 1 / e = (x - m)^2 / (4 * (v + e_lambda)) + 1 / 2, with m the mean of x's channel over the
    map and v its variance over H * W - 1. On a map of one pixel v is 0. Computed in float32 at least.

    Args:
        channels: channels of input and output; does not affect the module.
        e_lambda: added to the variance, above 0.

    Raises:
        ValueError: if e_lambda is not above 0.

    Source: Yang et al. 2021, the minimal energy of eq. 5, with the variance of the authors' code: the paper's equation
    divides by H * W, their listing by H * W - 1.
    """

    def __init__(self, channels: int, *, e_lambda: float = 1e-4):
        super().__init__()
        if not e_lambda > 0:
            raise ValueError(f"{e_lambda=} must be above 0, or a constant map divides by zero; try 1e-4")
        self.e_lambda = e_lambda

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        squares = (wide - wide.mean((2, 3), keepdim=True)).square()
        # Tensor arithmetic keeps an exported size dynamic.
        rest = (torch.ones_like(squares[:1, :1]).sum() - 1).clamp(min=1)
        variance = squares.sum((2, 3), keepdim=True) / rest
        gate = (squares / (4 * (variance + self.e_lambda)) + 0.5).sigmoid()
        return (wide * gate).to(x.dtype)

    def extra_repr(self) -> str:
        return f"e_lambda={self.e_lambda}"
