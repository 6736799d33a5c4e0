"""Reflected borders whose backward only slices, flips and adds, hence deterministic on every device."""

import torch
from jaxtyping import Float
from torch import Tensor


def reflect_pad(
    x: Float[Tensor, "batch channels height width"], padding: int
) -> Float[Tensor, "batch channels height+2*{padding} width+2*{padding}"]:
    """Extend a map by `padding` pixels on each side, reflected without repeating the edge.

    If the map is smaller than the padding, the reflection repeats (a map of side 3, pixels a b c, continues
    a b c b a b c ...); a side of 1 repeats its only pixel.

    Args:
        x: the map.
        padding: pixels on each of the four sides, 0 or more.

    Source: the border in the authors' code of ACmix (Pan et al. 2022), torch's ReflectionPad2d, which refuses maps that
    are not larger than the padding.
    """
    for dim in (-2, -1):
        x = _extend(x, padding, dim)
    return x


def fold_reflection(grad: Float[Tensor, "..."], padding: int, dims: tuple[int, int] = (-2, -1)) -> Float[Tensor, "..."]:
    """Adjoint of reflect_pad: add each pixel of the border to the pixel from which it was reflected.

    Args:
        grad: gradient of a padded map, with any axes beside the two.
        padding: pixels of the border on each side.
        dims: the two axes that have a border; the result is shorter by 2 * padding along each.
    """
    for dim in reversed(dims):
        grad = _fold(grad, padding, dim)
    return grad


def _steps(side: int, padding: int) -> list[int]:
    # One reflection covers side - 1 pixels; only after a full one does the next reflection continue the pattern.
    steps = []
    while padding > 0:
        steps.append(min(padding, side - 1))
        padding -= steps[-1]
        side += 2 * steps[-1]
    return steps


def _extend(x: Tensor, padding: int, dim: int) -> Tensor:
    side = x.shape[dim]
    if side == 1:
        return x.repeat_interleave(1 + 2 * padding, dim) if padding else x
    for step in _steps(side, padding):
        side = x.shape[dim]
        before = x.narrow(dim, 1, step).flip(dim)
        after = x.narrow(dim, side - 1 - step, step).flip(dim)
        x = torch.cat((before, x, after), dim)
    return x


def _fold(grad: Tensor, padding: int, dim: int) -> Tensor:
    side = grad.shape[dim] - 2 * padding
    if side == 1:
        return grad.sum(dim, keepdim=True)
    for step in reversed(_steps(side, padding)):
        side = grad.shape[dim] - 2 * step
        inner = grad.narrow(dim, step, side).clone()
        inner.narrow(dim, 1, step).add_(grad.narrow(dim, 0, step).flip(dim))
        inner.narrow(dim, side - 1 - step, step).add_(grad.narrow(dim, side + step, step).flip(dim))
        grad = inner
    return grad
