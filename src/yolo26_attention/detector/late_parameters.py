"""Create the parameters that a user's class creates in its first forward pass."""

import copy
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from yolo26_attention.detector.blame import defined
from yolo26_attention.detector.isolation import own_generator
from yolo26_attention.detector.place import Place
from yolo26_attention.detector.sites import inference


def make_parameters(attention: nn.Module, again: Callable[[], nn.Module], place: Place, channels: int) -> None:
    """Run once a module that creates parameters in its first forward pass, with the current random generator.

    Args:
        attention: the new module.
        again: builds another instance.
        place: its place.
        channels: channels of its input.

    Raises:
        ValueError: if the shapes of these parameters depend on the size of the first map.
    """
    shapes = []
    for extra in (0, 1):
        with own_generator("trial"):
            trial = again() if extra else copied_module(attention)
            _run_blank(trial, place, channels, extra)
        shapes.append(_shapes(trial))
        if shapes[0] == _shapes(attention):
            return
    changed = [name for name, shape in shapes[0].items() if shapes[1].get(name) != shape]
    if changed:
        raise ValueError(
            f"attention at site {place}: {type(attention).__name__} takes the size of {changed[0]} from the first map "
            f"({defined(type(attention).forward)}), but maps have many sizes: create it in __init__, from an "
            "option of the class"
        )
    _run_blank(attention, place, channels, 0)


def _run_blank(module: nn.Module, place: Place, channels: int, extra: int) -> None:
    # The check that follows reports the failure.
    with suppress(Exception), inference(module):
        module(torch.zeros(1, channels, place.site.height + extra, place.site.width + extra))


def _shapes(module: nn.Module) -> dict[str, torch.Size | None]:
    """Shapes of the parameters and buffers in its state dict; None for those without a shape yet."""
    tensors = module.state_dict(keep_vars=True).items()
    return {
        name: None if is_lazy(tensor) else tensor.shape for name, tensor in tensors if isinstance(tensor, torch.Tensor)
    }


def copied_module(module: nn.Module) -> nn.Module:
    """Copy a module, so that trials leave no trace; the probe refuses modules that cannot be copied."""
    try:
        return copy.deepcopy(module)
    except Exception:  # noqa: BLE001
        return module
