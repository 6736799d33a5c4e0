"""Load the grafts of a checkpoint into the same grafts of a model, and refuse to lose one silently."""

import copy
from dataclasses import asdict
from typing import Any

from torch import nn

from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.detector.grafted import Joined, joined
from yolo26_attention.detector.specification import Graft


def graft_difference(model: nn.Module, weights: nn.Module) -> str | None:
    """Describe the first attention of a checkpoint that the model lacks.

    The model may have others beside it. The seed is ignored, and so are options that the class did not have when the
    checkpoint was written.

    Returns:
        The difference in words; None if the model has every attention of the checkpoint.
    """
    found = _pairs(model, weights)
    return found if isinstance(found, str) else None


def load_graft(model: nn.Module, weights: nn.Module) -> list[str]:
    """Load the tensors of every attention of a checkpoint, including projections, into a model that has it.

    Returns:
        The names of the loaded tensors; empty if the checkpoint is of a stock model.

    Raises:
        ValueError: if the model lacks an attention of the checkpoint, whose values would be lost.
    """
    found = _pairs(model, weights)
    if isinstance(found, str):
        raise ValueError(f"the attention of the checkpoint would be lost: {found}")
    loaded = []
    for ours, theirs in found:
        for (path, part), source in zip(ours.parts().items(), theirs.parts().values(), strict=True):
            values = source.state_dict()
            part.load_state_dict(values)
            loaded += [f"{path}.{name}" for name in values]
    return loaded


def _pairs(model: nn.Module, weights: nn.Module) -> list[tuple[Joined, Joined]] | str:
    """Each attention of the checkpoint beside the same one of the model, or what the model lacks, in words."""
    ours, pairs = joined(model), []
    for theirs in joined(weights):
        there = [one for one in ours if _stock_place(one) == _stock_place(theirs)]
        same = next((one for one in there if _difference(one.graft, theirs.graft) is None), None)
        if same is None:
            return _missing(there, theirs)
        ours.remove(same)
        if (lacking := _lacking(same, theirs)) is not None:
            return f"it has {_named(theirs)}, but {lacking}"
        pairs.append((same, theirs))
    return pairs


def _stock_place(one: Joined) -> tuple[str, str]:
    """The site, and the convolution that a bottleneck's attention replaced."""
    return one.site, one.place if one.graft.mode == "bottleneck" else ""


def _missing(there: list[Joined], theirs: Joined) -> str:
    alike = next((one for one in there if one.graft.target == theirs.graft.target), None)
    if alike is not None and (difference := _difference(alike.graft, theirs.graft)) is not None:
        name, had, has = difference
        return f"it has {_named(theirs)} with {name}={had}, but this run has {name}={has}"
    has = ", ".join(map(_named, there)) or "no attention there"
    return f"it has {_named(theirs)}, but this run has {has}"


def _difference(ours: Graft, theirs: Graft) -> tuple[str, str, str] | None:
    """The first option in which two grafts differ, and both values as a user writes them; None if they are equal."""
    has = _outline(ours)
    for name, value in _outline(theirs).items():
        if name in has and has[name] != value:
            return name, as_override(value), as_override(has[name])
    return None


def _outline(graft: Graft) -> dict[str, Any]:
    """The options that two equal grafts share at a site."""
    outline = {
        "attention": graft.target,
        "placement.mode": graft.mode,
        "placement.gate": graft.gate,
        **{f"attention.{name}": value for name, value in graft.options.items()},
    }
    if graft.match is not None:  # the shapes reflect the match
        matched = asdict(graft.match)
        outline |= {"placebo.matches": matched["name"], "placebo.options": matched["options"]}
    return outline


def _lacking(ours: Joined, theirs: Joined) -> str | None:
    """A tensor that only one of them has, or in another shape; None if the values of theirs fit ours."""
    parts = theirs.parts().values()
    for (path, part), source in zip(ours.parts().items(), parts, strict=False):
        kept = source.state_dict()
        for name, tensor in part.state_dict().items():
            if name not in kept or kept[name].shape != tensor.shape:
                return f"no {path}.{name} of shape {list(tensor.shape)}"
        # A class may take more than its state dict has, as ACmix takes a bias of dep_conv.
        if unknown := copy.deepcopy(part).load_state_dict(kept, strict=False).unexpected_keys:
            return f"this run's has no {path}.{unknown[0]}"
    return None if len(ours.parts()) == len(parts) else f"no projection at {ours.place}"


def _named(one: Joined) -> str:
    return f"{one.graft.target} at {one.place if one.graft.mode == 'bottleneck' else one.site}"
