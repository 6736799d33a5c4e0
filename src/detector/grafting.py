"""Grafts attention onto the sites of a model that is already built and loaded.

Stock first, graft second, from a generator of its own: every stock tensor keeps its name and its value whatever is
grafted, and the global random stream is left untouched.
"""

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.nn.tasks import BaseModel

from src.detector.sites import Site, find_sites, inference


@dataclass(frozen=True)
class Graft:
    """What to graft, where, and from which seed its initial values are drawn.

    Args:
        target: dotted path of a class called with a site's channels; None leaves the model as it is (baseline).
        options: keyword arguments of that class.
        sites: names from `find_sites`.
        seed: seed of the graft's own generator.
    """

    target: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    seed: int = 0


def graft(model: BaseModel, spec: Graft) -> list[Site]:
    """Append attention behind the named sites of a built, loaded model, in place.

    The module becomes the child `attention` of the site's block and runs on the block's output, so no layer index, no
    `f`, `i`, `type` and no stock tensor's name changes.

    Args:
        model: a stock model, weights already loaded.
        spec: what, where and from which seed.

    Returns:
        The grafted sites, in network order; empty for the baseline.

    Raises:
        ValueError: for a site that the model does not have, options that the class refuses at a site, or a module that
            changes the shape of the map.
    """
    if spec.target is None:
        return []
    sites = find_sites(model)
    unknown = [name for name in spec.sites if name not in sites]
    if unknown:
        raise ValueError(f"placement.sites={list(spec.sites)}: no site {unknown[0]!r} here; it has {sorted(sites)}")
    chosen = sorted((sites[name] for name in set(spec.sites)), key=lambda site: site.layer)
    for site in chosen:
        block = model.model[site.layer]
        attention = _build(spec, site)
        attention.train(block.training)
        block.attention = attention.to(next(block.parameters()))
        block.register_forward_hook(append)
        block.np += sum(p.numel() for p in attention.parameters())
    model.grafted_sites = {site.name: site.layer for site in chosen}  # plain types: checkpoints pickle it
    return chosen


def append(block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Forward hook of a grafted block. A module-level function, because checkpoints pickle it by name."""
    return block.attention(output)


def _build(spec: Graft, site: Site) -> nn.Module:
    """Build the attention for one site from the graft's own generator, and check that it keeps the map's shape."""
    assert spec.target is not None
    module_name, _, class_name = spec.target.rpartition(".")
    attention_class = getattr(importlib.import_module(module_name), class_name)
    expected = (1, site.channels, site.height, site.width)
    with _own_generator(f"{spec.seed}/{site.name}"):
        try:
            attention: nn.Module = attention_class(site.channels, **spec.options)
        except ValueError as error:
            raise ValueError(f"attention at site {site.name}: {error}") from error
        with inference(attention):
            shape = tuple(attention(torch.zeros(expected)).shape)
    if shape != expected:
        raise ValueError(
            f"{class_name} turns the map at site {site.name} from {expected} into {shape}; "
            "appended attention must keep the shape"
        )
    return attention


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
    """The grafted modules of a model by site; empty for a stock model."""
    return {site: model.model[layer].attention for site, layer in getattr(model, "grafted_sites", {}).items()}


def grafted_scalars(model: nn.Module) -> dict[str, float]:
    """Every scalar parameter of the graft, such as ACmix's two rates, as `SITE/NAME`."""
    return {
        f"{site}/{name}": parameter.item()
        for site, attention in grafted_attention(model).items()
        for name, parameter in attention.named_parameters()
        if parameter.numel() == 1
    }
