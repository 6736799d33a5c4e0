"""Parameter groups of the graft: shows and changes what the optimizer receives."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from yolo26_attention.config.schema import GraftOptimizerConfig
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.files.model import ParameterGroup

OWN = "attention"  # name of the groups with a weight decay of their own
DECAYED = ("weight", "muon")  # groups that Ultralytics decays; it sets their decay again after it halves the batch


def scaled_decay(decay: float, batch: int, nbs: int) -> float:
    """Weight decay as Ultralytics scales it to the images of an optimizer step.

    Args:
        decay: as given.
        batch: images of a batch, over all GPUs.
        nbs: nominal batch, over which gradients are accumulated.
    """
    return decay * batch * max(round(nbs / batch), 1) / nbs  # in the order of Ultralytics, for the same rounding


def set_own_decay(optimizer: Optimizer, options: GraftOptimizerConfig, batch: int, nbs: int) -> None:
    """Set the weight decay of the graft's own groups, as Ultralytics sets that of its groups for another batch."""
    for group in optimizer.param_groups:
        if group.get("param_group") == OWN and options.weight_decay is not None:
            group["weight_decay"] = scaled_decay(options.weight_decay, batch, nbs)


def regroup(optimizer: Optimizer, model: nn.Module, options: GraftOptimizerConfig, batch: int, nbs: int) -> None:
    """Move the graft's parameters into their own groups and apply the options, in place.

    Call it before a scheduler reads the learning rates. Default options change nothing.

    Args:
        optimizer: as built by Ultralytics.
        model: the network with the graft.
        options: how the graft's parameters are optimized.
        batch: images of a batch, over all GPUs.
        nbs: nominal batch, over which gradients are accumulated.
    """
    if options == GraftOptimizerConfig():
        return
    grafted = {id(p) for module in grafted_attention(model).values() for p in module.parameters()}
    moved = []
    for group in optimizer.param_groups:
        own = [p for p in group["params"] if id(p) in grafted]
        if not own:
            continue
        group["params"] = [p for p in group["params"] if id(p) not in grafted]
        changed: dict[str, Any] = {**group, "params": own, "lr": group["lr"] * options.lr_factor}
        if options.weight_decay is not None and group.get("param_group") in DECAYED:
            changed["param_group"] = OWN
        if not options.muon and group.get("use_muon"):
            changed["use_muon"] = False
        moved.append(changed)
    if options.frozen:
        for group in moved:
            for parameter in group["params"]:
                parameter.requires_grad = False
        return
    for group in moved:
        optimizer.add_param_group(group)
    set_own_decay(optimizer, options, batch, nbs)


def describe(optimizer: Optimizer, model: nn.Module) -> list[ParameterGroup]:
    """Describe the optimizer's groups: the number of trained parameters and the graft's names."""
    names: Mapping[int, str] = {
        id(parameter): f"{site}.{name}"
        for site, module in grafted_attention(model).items()
        for name, parameter in module.named_parameters()
    }
    return [
        ParameterGroup(
            group=group.get("param_group"),
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            muon=bool(group.get("use_muon")),
            parameters=len(learning),
            attention=[names[id(p)] for p in learning if id(p) in names],
        )
        for group in optimizer.param_groups
        for learning in [[p for p in group["params"] if p.requires_grad]]
    ]
