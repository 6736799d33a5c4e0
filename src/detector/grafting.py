"""Grafts attention onto the sites of a model that is already built and loaded.

Stock first, graft second, from a generator of its own: every stock tensor that still has a place keeps its name and
its value whatever is grafted, and the global random stream is left untouched.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.nn.modules import Conv
from ultralytics.nn.tasks import BaseModel
from ultralytics.utils.torch_utils import initialize_weights

from src.detector.modes import GATES, MODES, AttentionConv, Gated, Replacement, bottleneck_convolutions
from src.detector.sites import Site, choose_sites, find_sites, inference


@dataclass(frozen=True)
class Graft:
    """What to graft, where, how, and from which seed its initial values are drawn.

    Args:
        target: dotted path of a class called with a site's channels; None leaves the model as it is (baseline).
        options: keyword arguments of that class.
        sites: names from `find_sites`, and of the sets in `src.detector.sites.SETS`.
        seed: seed of the graft's own generator.
        mode: "append" (behind the block), "replace" (instead of the block) or "bottleneck" (instead of the 3x3
            convolutions inside the block's bottlenecks).
        gate: "none", or with append "zero": a learned scalar that starts at 0 blends the attention in.
    """

    target: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    seed: int = 0
    mode: str = "append"
    gate: str = "none"


def graft(model: BaseModel, spec: Graft) -> list[Site]:
    """Put attention at the named sites of a built, loaded model, in place.

    No layer index and no `f`, `i`, `type` changes. Appended attention becomes the child `attention` of the site's
    block and runs on the block's output, so that no stock tensor is lost; `replace` loses those of the block,
    `bottleneck` the kernels of the convolutions that it replaces.

    Args:
        model: a stock model, weights already loaded.
        spec: what, where, how and from which seed.

    Returns:
        The grafted sites, in network order; empty for the baseline.

    Raises:
        ValueError: for a site that the model does not have, a mode or gate that is unknown or that a site cannot take,
            options that the class refuses at a site, or a module that puts out a map of another shape than is needed.
    """
    if spec.target is None:
        return []
    _check_mode(spec)
    # Two pixels a side at the coarsest level: there a module that halves the map is noticed, which one pixel hides.
    sites = find_sites(model, imgsz=2 * max(32, int(model.stride.max())))
    chosen = choose_sites(spec.sites, sites)
    if spec.mode == "bottleneck":
        able = [name for name, site in sites.items() if bottleneck_convolutions(model.model[site.layer])]
        unable = [site.name for site in chosen if site.name not in able]
        if unable:
            raise ValueError(
                f"placement.mode=bottleneck: site {unable[0]} has no bottleneck with 3x3 convolutions; "
                f"{', '.join(able) or 'no site'} has"
            )
    for site in chosen:
        join = {"append": _append, "replace": _replace, "bottleneck": _bottleneck}[spec.mode]
        join(model, spec, site)
        block = model.model[site.layer]
        block.np = sum(p.numel() for p in block.parameters())
    model.grafted_sites = {site.name: site.layer for site in chosen}  # plain types: checkpoints pickle it
    return chosen


def _check_mode(spec: Graft) -> None:
    for key, value, known in (("mode", spec.mode, MODES), ("gate", spec.gate, GATES)):
        if value not in known:
            raise ValueError(f"placement.{key}={value} is unknown; choose one of {', '.join(known)}")
    if spec.gate != "none" and spec.mode != "append":
        raise ValueError(
            f"placement.gate={spec.gate} blends attention into the output of a block that stays, and "
            f"placement.mode={spec.mode} leaves none; use placement.mode=append, or placement.gate=none"
        )


def _append(model: BaseModel, spec: Graft, site: Site) -> None:
    block = model.model[site.layer]
    attention, _ = _build(spec, site, block, site.channels, site.channels)
    block.attention = _like(Gated(attention), block) if spec.gate == "zero" else attention
    block.register_forward_hook(append)


def _replace(model: BaseModel, spec: Graft, site: Site) -> None:
    block = model.model[site.layer]
    replacement = Replacement(*_build(spec, site, block, site.in_channels, site.channels)).train(block.training)
    replacement.i, replacement.f, replacement.type = block.i, block.f, block.type
    model.model[site.layer] = replacement


def _bottleneck(model: BaseModel, spec: Graft, site: Site) -> None:
    block = model.model[site.layer]
    for path, conv in bottleneck_convolutions(block).items():
        built = _build(spec, site, conv, conv.conv.in_channels, conv.conv.out_channels, path)
        block.set_submodule(path, AttentionConv(*built, conv.bn, conv.act).train(conv.training))


def append(block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Forward hook of a grafted block. A module-level function, because checkpoints pickle it by name."""
    return block.attention(output)


def _build(
    spec: Graft, site: Site, place: nn.Module, in_channels: int, channels: int, path: str = ""
) -> tuple[nn.Module, nn.Module | None]:
    """Build attention from in_channels to channels from the graft's own generator, and check the map it puts out.

    Args:
        spec: what to build.
        site: where, for messages and for the size of the map.
        place: the module whose device, dtype and training mode it takes over.
        in_channels: of the map it is given.
        channels: of the map it has to put out.
        path: of the convolution within the site's block, if it takes the place of one.

    Returns:
        The attention, and the projection that has to run before it where it cannot change the channels itself.
    """
    assert spec.target is not None
    module_name, _, class_name = spec.target.rpartition(".")
    attention_class = getattr(importlib.import_module(module_name), class_name)
    where = f"{site.name} ({path})" if path else site.name
    given, expected = (1, in_channels, site.height, site.width), (1, channels, site.height, site.width)
    with _own_generator(f"{spec.seed}/{site.name}/{path}" if path else f"{spec.seed}/{site.name}"):
        try:
            attention, project = _build_pair(attention_class, spec.options, in_channels, channels)
        except ValueError as error:
            raise ValueError(f"attention at site {where}: {error}") from error
        whole = Replacement(attention, project)
        with inference(whole):
            shape = tuple(whole(torch.zeros(given)).shape)
    if shape != expected:
        needed = "appended attention must keep the shape"
        if spec.mode != "append":
            needed = f"placement.mode={spec.mode} needs {expected} there"
        raise ValueError(f"{class_name} turns the map at site {where} from {given} into {shape}; {needed}")
    return _like(attention, place), None if project is None else _like(project, place)


def _build_pair(
    attention_class: Callable[..., nn.Module], options: Mapping[str, Any], in_channels: int, channels: int
) -> tuple[nn.Module, nn.Module | None]:
    """Attention alone if it can go from in_channels to channels; else attention behind a 1x1 convolution that does."""
    if in_channels == channels:
        return attention_class(channels, **options), None
    if "out_channels" in inspect.signature(attention_class).parameters:
        return attention_class(in_channels, out_channels=channels, **options), None
    attention = attention_class(channels, **options)
    project = Conv(in_channels, channels, 1)
    initialize_weights(project)  # the constants that Ultralytics gives the batch norms of a network it builds
    return attention, project


def _like(module: nn.Module, place: nn.Module) -> nn.Module:
    return module.train(place.training).to(next(place.parameters()))


@contextmanager
def _own_generator(key: str) -> Iterator[None]:
    """Draw from a stream that depends on the key alone, and put torch's CPU stream back as it was.

    `torch.manual_seed` would also reseed every GPU; only the CPU generator is used to initialise.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def grafted_attention(model: nn.Module) -> dict[str, nn.Module]:
    """The grafted modules of a model; empty for a stock model.

    By site, or by `SITE/PATH` where attention took the place of several convolutions of a block. A gate belongs to the
    module; a projection to the block's channels and a stock batch norm do not.
    """
    found = {}
    for site, layer in getattr(model, "grafted_sites", {}).items():
        block = model.model[layer]
        if hasattr(block, "attention"):
            found[site] = block.attention
            continue
        inside = {path: m.attention for path, m in block.named_modules() if isinstance(m, AttentionConv)}
        found |= {f"{site}/{path}": attention for path, attention in inside.items()}
    return found


def grafted_scalars(model: nn.Module) -> dict[str, float]:
    """Every scalar parameter of the graft, such as ACmix's two rates and the gate, as `SITE/NAME`.

    A parameter has the same name whether the attention is gated or not.
    """
    return {
        f"{site}/{name.removeprefix('attention.') if isinstance(attention, Gated) else name}": parameter.item()
        for site, attention in grafted_attention(model).items()
        for name, parameter in attention.named_parameters()
        if parameter.numel() == 1
    }
