"""Find the sites of a built YOLO by role, because layer numbers differ between models."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import Detect

SETS = {"neck": r"p\d+", "backbone": r"backbone_p\d+", "all": r".+"}  # site names in each set
# Blocks after the backbone's last stage, and their sites: pyramid pooling, and attention that is stock.
BACKBONE_ENDS = {"SPPF": "sppf", "SPP": "sppf", "SPPELAN": "sppf", "C2PSA": "c2psa", "PSA": "psa"}
FINEST_STAGE = 2  # level of the backbone's first stage


@dataclass(frozen=True)
class Site:
    """A block of the network: the index of its layer, and the shapes of its input and output.

    Height and width are those of the output at a given image size, in pixels.
    """

    name: str
    layer: int
    in_channels: int
    channels: int
    height: int
    width: int


def layers_of(model: nn.Module) -> Any:
    """The layers of a network by index; untyped, because Ultralytics adds attributes (`i`, `f`, `type`, `np`)."""
    return model.model


def largest_stride(model: nn.Module) -> int:
    """Largest stride of the maps that the head reads, in pixels of the image."""
    stride: Any = model.stride
    return int(stride.max())


def channels_of(model: nn.Module) -> int:
    """Number of channels of a network's input images."""
    settings: Any = model.yaml
    return int(settings.get("channels", 3))


def find_sites(model: nn.Module, imgsz: int = 64) -> dict[str, Site]:
    """Find the sites of a built YOLO of any task by role, in network order, with the shapes of their maps.

    `backbone_p2`, `backbone_p3`, ... are the backbone's stages, `sppf`, `c2psa` and `psa` the blocks after them. A head
    that reads maps at strides 8, 16 and 32 gives `p3`, `p4` and `p5`, the outputs of the neck: level k has stride 2**k.
    A model without a neck (classification) has none of these. A grafted block is still a site.

    Args:
        model: a built Ultralytics model.
        imgsz: side of the square image at which heights and widths are measured, a multiple of the largest stride.

    Raises:
        ValueError: if the model has none of these blocks.
    """
    maps = _layer_maps(model, imgsz)
    kinds = {layer.i: layer.type.rpartition(".")[2] for layer in layers_of(model)}
    ends = [index for index, kind in kinds.items() if kind in BACKBONE_ENDS]
    layers = {f"backbone_p{level}": index for level, index in _stages(model, maps, imgsz).items()}
    layers |= {BACKBONE_ENDS[kinds[index]]: index for index in ends}
    head = layers_of(model)[-1]
    if isinstance(head, Detect):
        strides: Any = model.stride
        reads: Any = head.f
        layers = {name: index for name, index in layers.items() if index not in reads}  # one name for each layer
        layers |= {f"p{_level(stride)}": index for index, stride in zip(reads, strides.tolist(), strict=True)}
    if not layers:
        raise ValueError(f"this model has no block to graft; it ends in {type(head).__name__}")
    in_order = sorted(layers.items(), key=lambda item: item[1])
    return {name: Site(name, index, *maps[index]) for name, index in in_order}


def choose_sites(names: Sequence[str], sites: Mapping[str, Site], key: str = "") -> list[Site]:
    """Resolve a list of sites and sets to unique sites, in network order.

    Args:
        names: sites and sets.
        sites: all sites of the model.
        key: what the user wrote, for messages; "" for `placement.sites`.

    Raises:
        ValueError: if the list is empty, or a name is neither a site nor a set with a site in this model.
    """
    there = f"it has {', '.join(sites)}, and the sets {', '.join(SETS)}"
    if not names:
        raise ValueError(f"placement.sites=[]: attention needs a site; {there}")
    written = key or f"placement.sites=[{','.join(names)}]"
    chosen: set[str] = set()
    for name in names:
        pattern = SETS.get(name, re.escape(name))
        found = [site for site in sites if re.fullmatch(pattern, site)]
        if not found:
            raise ValueError(f"{written}: no site {name!r} here; {there}")
        chosen.update(found)
    return [site for name, site in sites.items() if name in chosen]


def _stages(model: nn.Module, maps: Mapping[int, tuple[int, int, int, int]], imgsz: int) -> dict[int, int]:
    """The layer of each backbone stage by level: the last block at its stride that does not itself reduce the map."""
    settings: Any = model.yaml
    stages: dict[int, int] = {}
    for layer in layers_of(model)[1 : len(settings["backbone"])]:
        before = maps.get(layer.i - 1)
        if layer.f != -1 or layer.i not in maps or before is None or before[2:] != maps[layer.i][2:]:
            continue
        if layer.type.rpartition(".")[2] not in BACKBONE_ENDS:
            stages[_level(imgsz / maps[layer.i][2])] = layer.i
    return {level: index for level, index in stages.items() if level >= FINEST_STAGE}


def _level(stride: float) -> int:
    return round(math.log2(stride))


def _layer_maps(model: nn.Module, imgsz: int) -> dict[int, tuple[int, int, int, int]]:
    """Run all layers except the head on a blank image.

    Returns (input channels, channels, height, width) of each layer that makes one map.
    """
    maps: dict[int, tuple[int, int, int, int]] = {}
    weight = next(model.parameters())
    x: Any = torch.zeros(1, channels_of(model), imgsz, imgsz, device=weight.device, dtype=weight.dtype)
    outputs: list[Any] = []
    with inference(model):
        for layer in layers_of(model)[:-1]:
            if layer.f != -1:
                x = outputs[layer.f] if isinstance(layer.f, int) else [x if f == -1 else outputs[f] for f in layer.f]
            given = [one for group in (x if isinstance(x, list) else [x]) for one in _maps(group)]
            x = layer(x)
            outputs.append(x)
            if isinstance(x, torch.Tensor):
                maps[layer.i] = (sum(one.shape[1] for one in given), *x.shape[1:])
    return maps


def _maps(output: Any) -> list[torch.Tensor]:
    """The maps of a layer's output: one, or a tuple of them as from CBLinear."""
    return list(output) if isinstance(output, tuple) else [output]


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; restores the training mode of every module afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
