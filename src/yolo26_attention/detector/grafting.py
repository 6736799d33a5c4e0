"""Graft attention onto the sites of a model that is already built and loaded.

The stock model comes first, the graft second, from its own random generator: every stock tensor that remains keeps its
name and value for any graft, and the global random generator is not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.detector.building import build, like, probe_place
from yolo26_attention.detector.grafted import graft_of, grafts_at, remember
from yolo26_attention.detector.modes import AttentionConv, Gated, Replacement, Series, bottleneck_convolutions
from yolo26_attention.detector.place import Place
from yolo26_attention.detector.probe import Use
from yolo26_attention.detector.sites import Site, choose_sites, find_sites, largest_stride, layers_of
from yolo26_attention.detector.specification import Graft, check_joining, check_order
from yolo26_attention.detector.trust import is_shipped


@dataclass(frozen=True)
class Built:
    """The attention of one place, built but not yet attached."""

    graft: Graft
    place: Place
    attention: nn.Module
    project: nn.Module | None


@dataclass(frozen=True)
class Prepared:
    """Grafts that fit their model: with the sites that each has there, all of these sites, and what was built."""

    grafts: tuple[Graft, ...]
    sites: list[Site]
    built: list[Built]


def probe_sites(model: nn.Module) -> dict[str, Site]:
    """Find the sites of a model at the image size at which grafts are checked."""
    return find_sites(model, _probe_size(model))


def _probe_size(model: nn.Module) -> int:
    """Image size with two pixels a side at the coarsest level; one pixel would hide a module that halves the map."""
    return 2 * max(32, largest_stride(model))


def prepare(
    model: nn.Module, *grafts: Graft, sites: Mapping[str, Site] | None = None, use: Use | None = None
) -> Prepared:
    """Build the attention of some grafts and check that it fits, without changing the model.

    Args:
        model: a stock or grafted model.
        grafts: the grafts, in the order in which they join the model.
        sites: sites of the model from `probe_sites`; None to find them.
        use: use of the attention in a run, which is tried for classes from outside; None tries nothing.

    Raises:
        ValueError: if the model lacks a site, a mode or gate is unknown or impossible at a site, a class cannot be
            imported or rejects its options, its output has the wrong shape, or it is unfit for its use.
    """
    if not grafts:
        return Prepared((), [], [])
    there = probe_sites(model) if sites is None else sites
    resolved: list[Graft] = []
    built: list[Built] = []
    for graft in grafts:
        chosen = choose_sites(graft.sites, there, graft.key)
        with graft.blamed():
            check_joining(graft)
            if graft.mode == "bottleneck":
                _check_bottlenecks(model, graft, there, chosen)
            for site in chosen:
                earlier = grafts_at((*graft_of(model), *resolved), site.name)
                check_order(site.name, earlier, graft)
                _check_key(site.name, earlier, graft)
                built += _build_at(model, graft, site, len(earlier))
        resolved.append(replace(graft, sites=tuple(site.name for site in chosen)))
    if use is not None:
        _probe(built, use)
    names = {name for graft in resolved for name in graft.sites}
    return Prepared(tuple(resolved), [site for name, site in there.items() if name in names], built)


def _check_key(site: str, earlier: tuple[Graft, ...], graft: Graft) -> None:
    """Refuse two keys of a mix for one site, as the order of keys must not matter."""
    keys = {other.key for other in earlier if other.key} - {graft.key}
    if graft.key and keys:
        both = f"[{earlier[-1].name}, {graft.name}]"
        raise ValueError(f"site {site} is also in {keys.pop()}; name it under one key, with a list such as {both}")


def _build_at(model: nn.Module, graft: Graft, site: Site, position: int) -> list[Built]:
    scale = graft.match.imgsz / _probe_size(model) if graft.match else 1.0
    return [
        Built(
            graft,
            place,
            *build(
                graft.target, graft.options, place, seed=graft.seed, mode=graft.mode, match=graft.match, scale=scale
            ),
        )
        for place in _places(model, graft.mode, site, position)
    ]


def _probe(built: list[Built], use: Use) -> None:
    """Try the attention of each graft once for each kind of place."""
    kinds = {(id(one.graft), one.place.in_channels, one.place.channels, one.place.site.height): one for one in built}
    for one in kinds.values():
        graft = one.graft
        with graft.blamed():
            shipped = is_shipped(graft.target)
            probe_place(one.place, one.attention, one.project, graft.mode, use, shipped=shipped)


def graft(model: nn.Module, *grafts: Graft) -> list[Site]:
    """Graft attention onto a built, loaded model in place; on an error the model is not changed.

    No layer index and no `f`, `i`, `type` changes. Appended attention becomes the child `attention` of the site's
    block and runs on the block's output, so no stock tensor is lost; `replace` loses those of the block, `bottleneck`
    the kernels of the replaced convolutions. Several attention modules at a site become a `Series`.

    Args:
        model: a model with its weights loaded, stock or already grafted.
        grafts: the grafts, in the order in which they join the model; none leaves it as it is.

    Returns:
        The grafted sites, in network order.

    Raises:
        ValueError: as `prepare`.
    """
    prepared = prepare(model, *grafts)
    if not prepared.sites:
        return []
    for one in prepared.built:
        if one.graft.mode == "append":
            _append(model, one)
        elif one.graft.mode == "replace":
            _replace(model, one)
        else:
            _bottleneck(model, one)
    for site in prepared.sites:
        block = layers_of(model)[site.layer]
        block.np = sum(p.numel() for p in block.parameters())
    layers = {**getattr(model, "grafted_sites", {}), **{site.name: site.layer for site in prepared.sites}}
    in_order = dict(sorted(layers.items(), key=lambda item: item[1]))
    remember(model, (*graft_of(model), *prepared.grafts), in_order)
    return prepared.sites


def _check_bottlenecks(model: nn.Module, graft: Graft, sites: Mapping[str, Site], chosen: list[Site]) -> None:
    able = {name for name, site in sites.items() if bottleneck_convolutions(layers_of(model)[site.layer])}
    mode = graft.option("mode", "bottleneck")
    for site in chosen:
        if site.name not in able:
            there = ", ".join(name for name in sites if name in able) or "no site"
            raise ValueError(f"{mode}: site {site.name} has no bottleneck with 3x3 convolutions; choose from {there}")
        convolutions = bottleneck_convolutions(layers_of(model)[site.layer]).values()
        if not all(hasattr(conv, "bn") for conv in convolutions):
            raise ValueError(
                f"{mode}: the batch norms of site {site.name} are fused into its convolutions; graft before fusing"
            )


def _places(model: nn.Module, mode: str, site: Site, position: int) -> list[Place]:
    block = layers_of(model)[site.layer]
    if mode == "bottleneck":
        return [
            Place(site, path, conv, conv.conv.in_channels, conv.conv.out_channels, position)
            for path, conv in bottleneck_convolutions(block).items()
        ]
    neighbour = block if next(block.parameters(), None) is not None else model
    channels = site.channels if mode == "append" else site.in_channels
    return [Place(site, "", neighbour, channels, site.channels, position)]


def _append(model: nn.Module, one: Built) -> None:
    block = layers_of(model)[one.place.site.layer]
    attention = like(Gated(one.attention), one.place.neighbour) if one.graft.gate == "zero" else one.attention
    if not hasattr(block, "attention"):
        block.attention = attention
        block.register_forward_hook(append)
    elif isinstance(block.attention, Series):
        block.attention.append(attention)
    else:
        block.attention = Series(block.attention, attention).train(block.training)


def _replace(model: nn.Module, one: Built) -> None:
    block = layers_of(model)[one.place.site.layer]
    layer: Any = Replacement(one.attention, one.project).train(block.training)
    layer.i, layer.f, layer.type = block.i, block.f, block.type
    layers_of(model)[one.place.site.layer] = layer


def _bottleneck(model: nn.Module, one: Built) -> None:
    conv: Any = one.place.neighbour
    joined = AttentionConv(one.attention, one.project, conv.bn, conv.act).train(conv.training)
    layers_of(model)[one.place.site.layer].set_submodule(one.place.path, joined)


def append(
    block: Any, inputs: tuple[Any, ...], output: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels height width"]:
    """Forward hook of a grafted block. A module-level function, because checkpoints pickle it by name."""
    attended: Tensor = block.attention(output)
    return attended
