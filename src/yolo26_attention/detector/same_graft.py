"""Load the graft of a checkpoint into the same graft, and refuse to lose it silently."""

from dataclasses import asdict
from typing import Any

from torch import nn

from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.detector.grafting import graft_of, graft_parts


def graft_difference(model: nn.Module, weights: nn.Module) -> str | None:
    """Describe how the graft of a checkpoint differs from the model's.

    It ignores the seed and options that the class did not have when the checkpoint was written.

    Returns:
        The difference in words; None if the checkpoint has no graft or the same one.
    """
    theirs, ours = _outline(weights), _outline(model)
    if theirs["attention"] is None:
        return None
    if theirs["attention"] != ours["attention"]:
        return f"it has {_named(theirs)}, but this run has {_named(ours)}"
    for name, value in theirs.items():
        if name in ours and ours[name] != value:
            had, has = as_override(value), as_override(ours[name])
            return f"it has {_named(theirs)} with {name}={had}, but this run has {name}={has}"
    kept, prefixes = weights.state_dict(), _prefixes(model)
    for name, tensor in model.state_dict().items():
        if name.startswith(prefixes) and (name not in kept or kept[name].shape != tensor.shape):
            return f"it has {_named(theirs)}, but no {name} of shape {list(tensor.shape)}"
    return None


def load_graft(model: nn.Module, weights: nn.Module) -> list[str]:
    """Load the graft's tensors, including projections, from a model with the same graft.

    Returns:
        The names of the loaded tensors; empty for a stock model.

    Raises:
        ValueError: if the other model has a different graft, whose values would be lost.
    """
    if difference := graft_difference(model, weights):
        raise ValueError(f"the attention of the checkpoint would be lost: {difference}")
    if graft_of(weights).target is None:
        return []
    values = {name: value for name, value in weights.state_dict().items() if name.startswith(_prefixes(model))}
    model.load_state_dict(values, strict=False)
    return list(values)


def _outline(model: nn.Module) -> dict[str, Any]:
    """The options that two equal grafts share."""
    spec = graft_of(model)
    outline = {
        "attention": spec.target,
        "placement.sites": list(getattr(model, "grafted_sites", {})),
        "placement.mode": spec.mode,
        "placement.gate": spec.gate,
        **{f"attention.{name}": value for name, value in spec.options.items()},
    }
    if spec.match is not None:  # the shapes reflect the match
        matched = asdict(spec.match)
        outline |= {"placebo.matches": matched["name"], "placebo.options": matched["options"]}
    return outline


def _prefixes(model: nn.Module) -> tuple[str, ...]:
    return tuple(f"{path}." for path in graft_parts(model))


def _named(outline: dict[str, Any]) -> str:
    if outline["attention"] is None:
        return "no attention"
    return f"{outline['attention']} at {', '.join(outline['placement.sites'])}"
