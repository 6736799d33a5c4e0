"""What a network takes to compute, counted and not timed: parameters and FLOPs."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import thop
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, channels: int, height: int, width: int) -> int:
    """FLOPs (two per multiply-add) of one map of (channels, height, width), counted on the operators that run.

    An attention module that does its sums where the counter cannot see them, or that computes masked products, states
    its exact count in a method `flops(height, width)`; that number takes the place of what the counter saw of it.
    Under torch's FakeTensorMode nothing is computed or allocated, and the count is the same.
    """
    weight = next(model.parameters(), torch.empty(0))
    x = torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype)
    exact: dict[str, int] = {}
    counter = FlopCounterMode(display=False)
    with _exact_counts(model, exact), torch.no_grad(), counter:
        model(x)
    seen = counter.get_flop_counts()
    root = type(model).__name__
    total = int(counter.get_total_flops())
    for name, flops in exact.items():
        total += flops - sum(seen.get(f"{root}.{name}" if name else root, {}).values())
    return total


def count_flops_by_thop(model: nn.Module, channels: int, height: int, width: int) -> int:
    """FLOPs (two per multiply-add) of one map as thop counts them, for comparison with published tables.

    It takes what is computed for what is needed: masked products of tiled attention are in it, sums of shifted products
    and layers that it has no rule for are not, so the figure depends on the implementation.
    """
    weight = next(model.parameters(), torch.empty(0))
    x = torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype)
    operations, _ = thop.profile(copy.deepcopy(model), inputs=[x], verbose=False)  # it leaves counters in the modules
    return int(2 * operations)


@contextmanager
def _exact_counts(model: nn.Module, counts: dict[str, int]) -> Iterator[None]:
    """While open, a forward pass fills `counts` with the modules' own statements of their FLOPs."""

    def note(name: str) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
            batch, _, height, width = inputs[0].shape
            counts[name] = batch * module.flops(height, width)

        return hook

    handles = [
        module.register_forward_pre_hook(note(name))
        for name, module in model.named_modules()
        if hasattr(module, "flops")
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
