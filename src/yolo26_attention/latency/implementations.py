"""Which implementation of windowed attention a network uses at each site."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.attention.window import noted_choices
from yolo26_attention.detector.grafted import grafted_attention


def implementations(model: nn.Module, images: Tensor) -> dict[str, list[str]]:
    """Run a network once and name the implementations at each site that has windowed attention.

    Args:
        model: in evaluation mode, on the device and in the dtype of the images.
        images: (B, C, H, W).
    """
    found: dict[str, list[str]] = {}
    with noted_choices() as chosen:

        def keep(site: str) -> Callable[..., None]:
            def hook(*_: Any) -> None:
                if chosen:
                    found[site] = sorted(set(chosen))
                chosen.clear()

            return hook

        hooks = [module.register_forward_hook(keep(site)) for site, module in grafted_attention(model).items()]
        try:
            with torch.no_grad():
                model(images)
        finally:
            for hook in hooks:
                hook.remove()
    return found
