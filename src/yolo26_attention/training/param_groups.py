"""Parameter groups of the graft: shows and changes what the optimizer receives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from yolo26_attention.detector.grafted import grafted_attention


@dataclass(frozen=True)
class GraftOptions:
    """How the graft's parameters are optimized; the defaults leave Ultralytics' groups as they are.

    Args:
        lr_factor: factor on the learning rate of the group that Ultralytics chose.
        muon: if False, MuSGD updates the graft's parameters by SGD alone, without Muon.
        weight_decay: replaces the group's weight decay; None keeps it.
        frozen: whether the graft keeps its initial values.
    """

    lr_factor: float = 1.0
    muon: bool = True
    weight_decay: float | None = None
    frozen: bool = False


def regroup(optimizer: Optimizer, model: nn.Module, options: GraftOptions) -> None:
    """Move the graft's parameters into their own groups and apply the options, in place.

    Call it before a scheduler reads the learning rates. Default options change nothing.
    """
    if options == GraftOptions():
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


def describe(optimizer: Optimizer, model: nn.Module) -> list[dict[str, Any]]:
    """Describe the optimizer's groups as plain values: the number of trained parameters and the graft's names."""
    names: Mapping[int, str] = {
        id(parameter): f"{site}.{name}"
        for site, module in grafted_attention(model).items()
        for name, parameter in module.named_parameters()
    }
    return [
        {
            "group": group.get("param_group"),
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
            "muon": bool(group.get("use_muon")),
            "parameters": len(learning),
            "attention": [names[id(p)] for p in learning if id(p) in names],
        }
        for group in optimizer.param_groups
        for learning in [[p for p in group["params"] if p.requires_grad]]
    ]
