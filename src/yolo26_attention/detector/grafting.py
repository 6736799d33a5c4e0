"""Graft attention onto the sites of a model that is already built and loaded.

The stock model comes first, the graft second, from its own random generator: every stock tensor that remains keeps its
name and value for any graft, and the global random generator is not used.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.compat.former_names import current_name
from yolo26_attention.config.schema import Gate, Mode
from yolo26_attention.detector.building import build, like, probe_place
from yolo26_attention.detector.modes import AttentionConv, Gated, Replacement, bottleneck_convolutions
from yolo26_attention.detector.place import Place
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.probe import Use
from yolo26_attention.detector.sites import Site, choose_sites, find_sites, largest_stride, layers_of
from yolo26_attention.detector.trust import is_shipped


@dataclass(frozen=True)
class Graft:
    """The specification of a graft.

    Args:
        target: dotted path of a class called with a site's channels; None leaves the model as it is (baseline).
        options: keyword arguments of that class.
        sites: names from `find_sites`, or of sets in `yolo26_attention.detector.sites.SETS`.
        seed: seed of the graft's own generator, for its initial values.
        mode: "append" (after the block), "replace" (instead of the block) or "bottleneck" (instead of the 3x3
            convolutions inside the block's bottlenecks).
        gate: "none", or with append "zero": a learned scalar that starts at 0 blends the attention in.
        match: what the class, a Placebo, must match at every place; its sizes are then added to the options.
    """

    target: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    seed: int = 0
    mode: str = "append"
    gate: str = "none"
    match: Match | None = None


@dataclass(frozen=True)
class Prepared:
    """A graft that fits its model, built but not yet attached."""

    sites: list[Site]
    built: list[tuple[Place, nn.Module, nn.Module | None]]


def probe_sites(model: nn.Module) -> dict[str, Site]:
    """Find the sites of a model at the image size at which grafts are checked."""
    return find_sites(model, _probe_size(model))


def _probe_size(model: nn.Module) -> int:
    """Image size with two pixels a side at the coarsest level; one pixel would hide a module that halves the map."""
    return 2 * max(32, largest_stride(model))


def prepare(model: nn.Module, spec: Graft, sites: Mapping[str, Site] | None = None, use: Use | None = None) -> Prepared:
    """Build attention for the given sites and check that it fits, without changing the model.

    Args:
        model: a stock model.
        spec: the graft.
        sites: sites of the model from `probe_sites`; None to find them.
        use: use of the attention in a run, which is tried for classes from outside; None tries nothing.

    Raises:
        ValueError: if the model lacks a site, a mode or gate is unknown or impossible at a site, the class cannot be
            imported or rejects its options, its output has the wrong shape, or it is unfit for its use.
    """
    if spec.target is None:
        return Prepared([], [])
    _check_mode(spec)
    if sites is None:
        sites = probe_sites(model)
    chosen = choose_sites(spec.sites, sites)
    if spec.mode == "bottleneck":
        _check_bottlenecks(model, sites, chosen)
    scale = spec.match.imgsz / _probe_size(model) if spec.match else 1.0
    built = [
        (place, *build(spec.target, spec.options, place, seed=spec.seed, mode=spec.mode, match=spec.match, scale=scale))
        for site in chosen
        for place in _places(model, spec.mode, site)
    ]
    if use is not None:
        kinds = {(one[0].in_channels, one[0].channels, one[0].site.height): one for one in built}
        for place, attention, project in kinds.values():
            probe_place(place, attention, project, spec.mode, use, shipped=is_shipped(spec.target))
    return Prepared(chosen, built)


def graft(model: nn.Module, spec: Graft) -> list[Site]:
    """Graft attention onto a built, loaded model in place; on an error the model is not changed.

    No layer index and no `f`, `i`, `type` changes. Appended attention becomes the child `attention` of the site's
    block and runs on the block's output, so no stock tensor is lost; `replace` loses those of the block, `bottleneck`
    the kernels of the replaced convolutions.

    Args:
        model: a stock model with its weights loaded.
        spec: the graft.

    Returns:
        The grafted sites, in network order; empty for the baseline.

    Raises:
        ValueError: as `prepare`.
    """
    prepared = prepare(model, spec)
    if not prepared.sites:
        return []
    for place, attention, project in prepared.built:
        if spec.mode == "append":
            _append(model, place, Gated(attention) if spec.gate == "zero" else attention)
        elif spec.mode == "replace":
            _replace(model, place, Replacement(attention, project))
        else:
            _bottleneck(model, place, attention, project)
    for site in prepared.sites:
        block = layers_of(model)[site.layer]
        block.np = sum(p.numel() for p in block.parameters())
    network: Any = model
    # Plain types: checkpoints pickle both.
    network.grafted_sites = {site.name: site.layer for site in prepared.sites}
    network.grafted_spec = asdict(spec)
    return prepared.sites


def _check_mode(spec: Graft) -> None:
    for key, value, known in (("mode", spec.mode, Mode), ("gate", spec.gate, Gate)):
        if value not in known.__members__:
            raise ValueError(f"placement.{key}={value} is unknown; choose one of {', '.join(known.__members__)}")
    if spec.gate != "none" and spec.mode != "append":
        raise ValueError(
            f"placement.gate={spec.gate} blends attention into the output of a block, but "
            f"placement.mode={spec.mode} removes the block; use placement.mode=append, or placement.gate=none"
        )


def _check_bottlenecks(model: nn.Module, sites: Mapping[str, Site], chosen: list[Site]) -> None:
    able = {name for name, site in sites.items() if bottleneck_convolutions(layers_of(model)[site.layer])}
    for site in chosen:
        if site.name not in able:
            there = ", ".join(name for name in sites if name in able) or "no site"
            raise ValueError(
                f"placement.mode=bottleneck: site {site.name} has no bottleneck with 3x3 convolutions; choose "
                f"from {there}"
            )
        convolutions = bottleneck_convolutions(layers_of(model)[site.layer]).values()
        if not all(hasattr(conv, "bn") for conv in convolutions):
            raise ValueError(
                f"placement.mode=bottleneck: the batch norms of site {site.name} are fused into its convolutions; "
                "graft before fusing"
            )


def _places(model: nn.Module, mode: str, site: Site) -> list[Place]:
    block = layers_of(model)[site.layer]
    if mode == "append":
        return [Place(site, "", block, site.channels, site.channels)]
    if mode == "replace":
        return [Place(site, "", block, site.in_channels, site.channels)]
    return [
        Place(site, path, conv, conv.conv.in_channels, conv.conv.out_channels)
        for path, conv in bottleneck_convolutions(block).items()
    ]


def _append(model: nn.Module, place: Place, attention: nn.Module) -> None:
    block = layers_of(model)[place.site.layer]
    block.attention = like(attention, block)
    block.register_forward_hook(append)


def _replace(model: nn.Module, place: Place, replacement: Replacement) -> None:
    block = layers_of(model)[place.site.layer]
    layer: Any = replacement.train(block.training)
    layer.i, layer.f, layer.type = block.i, block.f, block.type
    layers_of(model)[place.site.layer] = replacement


def _bottleneck(model: nn.Module, place: Place, attention: nn.Module, project: nn.Module | None) -> None:
    conv: Any = place.neighbour
    joined = AttentionConv(attention, project, conv.bn, conv.act).train(conv.training)
    layers_of(model)[place.site.layer].set_submodule(place.path, joined)


def append(
    block: Any, inputs: tuple[Any, ...], output: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels height width"]:
    """Forward hook of a grafted block. A module-level function, because checkpoints pickle it by name."""
    attended: Tensor = block.attention(output)
    return attended


def grafted_attention(model: nn.Module) -> dict[str, nn.Module]:
    """The grafted modules of a model by site; empty for a stock model.

    The key is `SITE/PATH` if attention replaced several convolutions of a block. A module includes its gate, but
    neither its projection to the block's channels nor a stock batch norm.
    """
    found = {}
    for site, layer in getattr(model, "grafted_sites", {}).items():
        block = layers_of(model)[layer]
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


def graft_of(model: nn.Module) -> Graft:
    """The graft of a model, including one from a checkpoint; for a stock model, that of the baseline."""
    values = dict(getattr(model, "grafted_spec", {}))
    if values.get("target"):
        values["target"] = current_name(values["target"])
    if values.get("match"):
        match = Match(**values["match"])
        values["match"] = replace(match, target=current_name(match.target))
    return Graft(**values)


def graft_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that the graft added, by their path in the model; empty for a stock model.

    These are the attention with its gate and the projections before it, without a bottleneck's stock batch norm.
    """
    found: dict[str, nn.Module] = {}
    for layer in getattr(model, "grafted_sites", {}).values():
        block = layers_of(model)[layer]
        joints = [(path, m) for path, m in block.named_modules() if isinstance(m, Replacement)] or [("", block)]
        for path, joint in joints:
            where = ".".join(filter(None, ("model", str(layer), path)))
            children = dict(joint.named_children())
            found |= {f"{where}.{name}": children[name] for name in ("attention", "project") if name in children}
    return found


def placebo_matches(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The target of each placebo of a model and how closely it matches, by place; empty without placebos."""
    found = grafted_attention(model).items()
    modules: dict[str, Any] = {name: m.attention if isinstance(m, Gated) else m for name, m in found}
    return {name: module.matched for name, module in modules.items() if hasattr(module, "matched")}
