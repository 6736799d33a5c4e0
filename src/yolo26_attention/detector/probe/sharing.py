"""Check that no two parts of a network hold the same parameter."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from yolo26_attention.detector.probe.candidate import Candidate


def check_ties(candidate: Candidate) -> None:
    """Check that it registers every parameter once.

    Raises:
        UnfitError: with both names, if it does not.
    """
    names: dict[tuple[int, int], str] = {}
    for name, parameter in candidate.module.named_parameters(remove_duplicate=False):
        pointer = _pointer(parameter)
        if pointer and (first := names.setdefault((pointer, parameter.numel()), name)) != name:
            raise candidate.unfit(
                f"holds {first} a second time as {name}",
                "the optimizer and the averaged weights would update it twice in each step; keep it under one name and "
                "pass it on in forward, as in F.conv2d(x, self.query.weight)",
                forward=False,
            )


def check_shared(candidate: Candidate, other: nn.Module) -> None:
    """Check that another instance of the class has parameters of its own, and give the module buffers of its own.

    A constant buffer may come from a cache of the class; a copy makes no difference to it.

    Raises:
        UnfitError: with the shared part.
    """
    module = candidate.module
    theirs = {_pointer(tensor) for tensor in _tensors(other)} - {0}
    parts = {id(part) for part in other.modules() if next(_tensors(part), None) is not None}
    shared = [name or "itself" for name, part in module.named_modules() if id(part) in parts]
    shared += [name for name, parameter in module.named_parameters() if _pointer(parameter) in theirs]
    if shared:
        raise candidate.unfit(
            f"shares {shared[0]} with every other instance of its class",
            "its values would depend on what was built and trained before in the same process; create it in __init__, "
            "or copy it there (copy.deepcopy, .clone())",
            forward=False,
        )
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if _pointer(buffer) in theirs:
                setattr(part, name, buffer.clone())


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())


def _pointer(tensor: Tensor) -> int:
    """Where its values are; 0 if it has none."""
    if is_lazy(tensor) or tensor.is_meta or tensor.layout != torch.strided or not tensor.numel():
        return 0
    return tensor.data_ptr()
