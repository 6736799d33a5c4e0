"""Whole YOLO26n: stock, with ACmix after the blocks of P3, P4 and P5, and with the original ACmix there."""

import copy

import torch
from torch import Tensor, nn
from ultralytics import YOLO

from benchmarks.original import UnfoldACmix
from yolo26_attention.attention.acmix import ACmix

# The last block of the neck at each level, and its output channels in yolo26n.
SITES = {16: 64, 19: 128, 22: 256}


class Appended(nn.Module):
    """A layer of the network, and an attention after it."""

    def __init__(self, layer: nn.Module, attention: nn.Module):
        super().__init__()
        self.layer, self.attention = layer, attention
        self.i, self.f, self.type, self.np = layer.i, layer.f, layer.type, layer.np

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.layer(x))


def models(device: str) -> dict[str, nn.Module]:
    """The networks by name, unfused, on the device; the two ACmix have the same values."""
    stock = YOLO("yolo26n.yaml").model.to(device)
    grafted, original = copy.deepcopy(stock), copy.deepcopy(stock)
    for site, channels in SITES.items():
        ours, theirs = ACmix(channels), UnfoldACmix(channels)
        theirs.load_state_dict(ours.state_dict())
        grafted.model[site] = Appended(grafted.model[site], ours.to(device))
        original.model[site] = Appended(original.model[site], theirs.to(device))
    return {"stock": stock, "ACmix": grafted, "original ACmix": original}


def inference(model: nn.Module, images: Tensor):
    """A function that predicts for the images, as after model.fuse()."""
    model = copy.deepcopy(model).eval().fuse(verbose=False)

    def run() -> None:
        with torch.no_grad():
            model(images)

    return run


def training(model: nn.Module, images: Tensor):
    """A function that does a forward and a backward through every output of the network."""
    model = copy.deepcopy(model).train()

    def run() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            outputs = model(images)
        sum(y.float().square().mean() for y in _tensors(outputs)).backward()

    return run


def _tensors(outputs) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.requires_grad else []
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [y for value in values for y in _tensors(value)]
