"""Finds the sites of a built YOLO26 by role: never by layer number, which differs between models."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from ultralytics.nn.modules import Detect
from ultralytics.nn.tasks import BaseModel


@dataclass(frozen=True)
class Site:
    """A place in the network: the index of its layer, and the map it puts out at a given image size (pixels)."""

    name: str
    layer: int
    channels: int
    height: int
    width: int


def find_sites(model: BaseModel, imgsz: int = 64) -> dict[str, Site]:
    """Find the sites of a built detection model by role, with the shapes of their maps.

    A head that reads maps at strides 8, 16 and 32 gives `p3`, `p4` and `p5`: level k has stride 2**k.

    Args:
        model: a built Ultralytics detection model.
        imgsz: side of the square image at which heights and widths are measured, a multiple of the largest stride.

    Raises:
        ValueError: if the model has no detection head to name the levels by.
    """
    head = model.model[-1]
    if not isinstance(head, Detect):
        raise ValueError(f"sites are named by a detection head; this model ends in {type(head).__name__}")
    layers = {
        f"p{round(math.log2(stride))}": index for index, stride in zip(head.f, model.stride.tolist(), strict=True)
    }
    shapes = _layer_shapes(model, imgsz)
    return {name: Site(name, index, *shapes[index]) for name, index in layers.items()}


def _layer_shapes(model: BaseModel, imgsz: int) -> dict[int, tuple[int, int, int]]:
    """Run all layers but the head on a blank image; (channels, height, width) of each that puts out one map."""
    shapes: dict[int, tuple[int, int, int]] = {}
    weight = next(model.parameters())
    channels = model.yaml.get("channels", 3)
    x = torch.zeros(1, channels, imgsz, imgsz, device=weight.device, dtype=weight.dtype)
    outputs: list[Tensor] = []
    with inference(model):
        for layer in model.model[:-1]:
            if layer.f != -1:
                x = outputs[layer.f] if isinstance(layer.f, int) else [x if f == -1 else outputs[f] for f in layer.f]
            x = layer(x)
            outputs.append(x)
            shapes[layer.i] = tuple(x.shape[1:])
    return shapes


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, and the training mode of every module put back afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
