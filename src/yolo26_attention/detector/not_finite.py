"""Which attention of a network outputs non-finite values for finite inputs."""

import copy
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.detector.sites import inference

# Mean and standard deviation of activations that a trained network may have, and that still fit into half precision.
LARGE = 30.0


class NotFinite:
    """Checks the output of every attention without synchronizing with the device."""

    def __init__(self, model: nn.Module):
        self.made: dict[str, Tensor] = {}  # by site: whether it produced non-finite values
        self.hooks = [
            module.register_forward_hook(partial(self._look, site)) for site, module in grafted_attention(model).items()
        ]

    def _look(self, site: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made = inputs[0].isfinite().all() & ~output.isfinite().all()
        self.made[site] = self.made[site] | made if site in self.made else made

    def sites(self) -> list[str]:
        """The sites whose attention produced such values, in the order in which they ran."""
        return [site for site, made in self.made.items() if made]

    def end(self) -> None:
        """Remove the hooks."""
        for hook in self.hooks:
            hook.remove()


def sites_not_finite(model: nn.Module, images: Float[Tensor, "batch channels height width"]) -> list[str]:
    """Sites whose attention outputs non-finite values for the images."""
    watched = NotFinite(model)
    try:
        with torch.no_grad():
            model(images)
    finally:
        watched.end()
    return watched.sites()


def overflowing(
    model: nn.Module, images: Float[Tensor, "batch channels height width"], dtype: torch.dtype
) -> list[str]:
    """Sites whose attention outputs non-finite values in a dtype for large activations, normal with mean 30 and std 30.

    Args:
        model: the network, which is not changed; each of its modules stays in its mode.
        images: images in the network's dtype, for the shapes of the maps at the sites.
        dtype: of the trial, float16 or bfloat16.
    """
    shapes: dict[str, torch.Size] = {}
    modules = grafted_attention(model)
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, site=site: shapes.update({site: inputs[0].shape}))
        for site, module in modules.items()
    ]
    try:
        with inference(model):
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    draw = torch.Generator().manual_seed(0)
    found = []
    for site, shape in shapes.items():
        x = (torch.randn(shape, generator=draw) * LARGE + LARGE).to(images.device, dtype)
        with torch.no_grad():
            answer = copy.deepcopy(modules[site]).eval().to(dtype)(x)
        if not answer.isfinite().all():
            found.append(site)
    return found
