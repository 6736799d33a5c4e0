"""Gradients of dense attention, which tiles and whole maps share."""

import torch
from jaxtyping import Float
from torch import Tensor


def dense_gradients(
    q: Float[Tensor, "heads queries channels"],
    k: Float[Tensor, "heads keys channels"],
    v: Float[Tensor, "heads keys value_channels"],
    grad: Float[Tensor, "heads queries value_channels"],
    mask: Float[Tensor, "queries keys"],
    scale: float,
) -> tuple[
    Float[Tensor, "heads queries channels"],
    Float[Tensor, "heads keys channels"],
    Float[Tensor, "heads keys value_channels"],
]:
    """Gradients of q, k and v, from weights that are computed again.

    Args:
        q, k, v: operands of attention, one head of one tile or map after the other.
        grad: gradient of its result.
        mask: added to the logits.
        scale: factor of the logits.

    Source: Dao et al. 2022 (FlashAttention), section 3.1.
    """
    weights = torch.softmax(torch.baddbmm(mask, q, k.mT, alpha=scale), -1)
    dv = torch.bmm(weights.mT, grad)
    d_weights = torch.bmm(grad, v.mT)
    d_logits = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype).mul_(scale)
    return torch.bmm(d_logits, k), torch.bmm(d_logits.mT, q), dv
