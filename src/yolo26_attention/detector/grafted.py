"""Read the grafts of a network back, also from a checkpoint."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from yolo26_attention.compat.former_names import current_name
from yolo26_attention.detector.modes import AttentionConv, Gated
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.sites import layers_of
from yolo26_attention.detector.specification import Graft
from yolo26_attention.evaluation.flops import count_parameters


@dataclass(frozen=True)
class Joined:
    """One attention in a network.

    Attributes:
        graft: the graft that put it there, with the sites that this network has.
        site: its site.
        place: its name in journals: SITE; SITE/PATH if it replaced a convolution at PATH of the block; SITE/MECHANISM
            if it is one of several in series.
        path: its path in the network.
        attention: the module, with its gate.
        project: the projection before it; None without one.
    """

    graft: Graft
    site: str
    place: str
    path: str
    attention: nn.Module
    project: nn.Module | None

    def parts(self) -> dict[str, nn.Module]:
        """The modules that it added to the network, by their path, without a bottleneck's stock batch norm."""
        found = {self.path: self.attention}
        return found if self.project is None else {**found, f"{joint_of(self.path)}.project": self.project}


def joint_of(path: str) -> str:
    """Path of the module that holds an attention, alone or in series."""
    return path[: path.rindex(".attention")]


def remember(model: nn.Module, grafts: tuple[Graft, ...], sites: dict[str, int]) -> None:
    """Store the grafts of a network in it, and the layers of their sites: plain types, because checkpoints pickle both.

    Args:
        model: the grafted model.
        grafts: all of its grafts, in the order in which they joined it.
        sites: layer of each grafted site.
    """
    network: Any = model
    network.grafted_sites = sites
    network.grafted_spec = [{name: value for name, value in asdict(graft).items() if name != "key"} for graft in grafts]


def graft_of(model: nn.Module) -> tuple[Graft, ...]:
    """The grafts of a model, including those from a checkpoint; empty for a stock model."""
    found: Any = getattr(model, "grafted_spec", [])
    stored: list[dict[str, Any]] = found
    if isinstance(found, dict):  # written when a network had one graft, perhaps with the name of a set of sites
        sites: Any = getattr(model, "grafted_sites", found["sites"])
        stored = [{**found, "sites": tuple(sites)}]
    return tuple(_current(dict(values)) for values in stored)


def _current(values: dict[str, Any]) -> Graft:
    values["target"] = current_name(values["target"])
    if values.get("match"):
        match = Match(**values["match"])
        values["match"] = replace(match, target=current_name(match.target))
    return Graft(**values)


def grafts_at(grafts: tuple[Graft, ...], site: str) -> tuple[Graft, ...]:
    """Those of some grafts that join a site, in order."""
    return tuple(graft for graft in grafts if site in graft.sites)


def joined(model: nn.Module) -> list[Joined]:
    """Every attention of a network, in network order; empty for a stock model."""
    grafts = graft_of(model)
    sites: dict[str, int] = getattr(model, "grafted_sites", {})
    return [
        one
        for site, layer in sites.items()
        for one in _joined_at(site, layers_of(model)[layer], f"model.{layer}", grafts_at(grafts, site))
    ]


def _joined_at(site: str, block: nn.Module, where: str, grafts: tuple[Graft, ...]) -> Iterator[Joined]:
    for path, part in block.named_modules():
        if isinstance(part, AttentionConv):
            yield Joined(grafts[0], site, f"{site}/{path}", f"{where}.{path}.attention", part.attention, part.project)
    outside = [graft for graft in grafts if graft.mode != "bottleneck"]
    if not outside:
        return
    holder: Any = block
    project = holder.project if outside[0].mode == "replace" else None
    if len(outside) == 1:
        yield Joined(outside[0], site, site, f"{where}.attention", holder.attention, project)
        return
    for index, (graft, name, attention) in enumerate(zip(outside, _names(outside), holder.attention, strict=True)):
        path = f"{where}.attention.{index}"
        yield Joined(graft, site, f"{site}/{name}", path, attention, project if index == 0 else None)


def _names(grafts: list[Graft]) -> list[str]:
    """Distinct names of the grafts in series at a site."""
    names = [graft.name for graft in grafts]
    before = [names[:index].count(name) for index, name in enumerate(names)]
    return [name if not count else f"{name}_{count + 1}" for name, count in zip(names, before, strict=True)]


def grafted_attention(model: nn.Module) -> dict[str, nn.Module]:
    """The grafted modules of a model by place; empty for a stock model.

    A module includes its gate, but neither its projection to the block's channels nor a stock batch norm.
    """
    return {one.place: one.attention for one in joined(model)}


def grafted_scalars(model: nn.Module) -> dict[str, float]:
    """Every scalar parameter of the grafts, such as ACmix's two rates and the gate, as `PLACE/NAME`.

    A parameter has the same name whether the attention is gated or not.
    """
    return {
        f"{place}/{name.removeprefix('attention.') if isinstance(attention, Gated) else name}": parameter.item()
        for place, attention in grafted_attention(model).items()
        for name, parameter in attention.named_parameters()
        if parameter.numel() == 1
    }


def graft_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that the grafts added, by their path in the model; empty for a stock model.

    These are the attention with its gate and the projections before it, without a bottleneck's stock batch norm.
    """
    return {path: module for one in joined(model) for path, module in one.parts().items()}


def placebo_matches(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The target of each placebo of a model and how closely it matches, by place; empty without placebos."""
    found = grafted_attention(model).items()
    modules: dict[str, Any] = {name: m.attention if isinstance(m, Gated) else m for name, m in found}
    return {name: module.matched for name, module in modules.items() if hasattr(module, "matched")}


def network_line(name: str, stock: int, model: nn.Module) -> str:
    """Describe a network in one line: what is grafted where, and the parameters that it adds.

    Args:
        name: name of the stock network.
        stock: its number of parameters.
        model: the network, grafted or not.
    """
    sites: dict[str, list[str]] = {}
    for graft in graft_of(model):
        sites.setdefault(f"{graft.mode} {graft.name}", []).extend(graft.sites)
    if not sites:
        return f"network  {name}, {stock:,} parameters, no attention grafted"
    what = "; ".join(f"{how} at {', '.join(where)}" for how, where in sites.items())
    return f"network  {name}, {stock:,} parameters; {what} ({count_parameters(model) - stock:+,})"


def prepare_export(network: nn.Module, *, dynamic: bool) -> None:
    """Let the attention choose its form for exported graphs; a module takes part by a method of this name.

    Without this call, every module keeps the form for any size.

    Args:
        network: the network to export.
        dynamic: whether the graph must take images of any height and width.
    """
    for module in network.modules():
        if callable(getattr(type(module), "prepare_export", None)):
            module.prepare_export(dynamic=dynamic)  # type: ignore[operator]
