"""Parameter groups of the graft: shows and changes what the optimizer receives."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from yolo26_attention.config.schema import GraftOptimizerConfig
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.files.model import ParameterGroup


def regroup(optimizer: Optimizer, model: nn.Module, options: GraftOptimizerConfig) -> None:
    """Move the graft's parameters into their own groups and apply the options, in place.

    Call it before a scheduler reads the learning rates. Default options change nothing.
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
        if options.weight_decay is not None:
            changed["weight_decay"] = options.weight_decay
            if changed["param_group"] in {"weight", "muon"}:  # Ultralytics resets their decay after it halves the batch
                changed["param_group"] = "attention"
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
