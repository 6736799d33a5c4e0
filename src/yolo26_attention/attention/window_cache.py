"""Constants of windowed attention, such as masks and indices, that are kept between calls."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Shaped
from torch import Tensor

# A map needs one mask, and one index for each of up to dilation^2 grids, in each direction.
MOST = 1024

_kept: OrderedDict[Hashable, Tensor] = OrderedDict()
_noted: list[list[Tensor]] = []


def constant(
    key: Hashable, like: Shaped[Tensor, "..."], make: Callable[[], Shaped[Tensor, "..."]]
) -> Shaped[Tensor, "..."]:
    """Return the tensor that `make` builds, from an earlier call with the same key, device and dtype if there is one.

    Args:
        key: everything on which the tensor depends, except device and dtype.
        like: a tensor of the call; gives device and dtype.
        make: builds the tensor, which nobody may change.
    """
    # A graph holds its own constants, and a fake tensor has no value to keep.
    if type(like) is not Tensor or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return make()
    full = (key, like.device, like.dtype)
    if full in _kept:
        _kept.move_to_end(full)
        made = _kept[full]
    else:
        with torch.inference_mode(False), torch.no_grad():
            made = make()
        # What is made while a CUDA graph is captured has its values only when the graph runs.
        captured = made.is_cuda and torch.cuda.is_current_stream_capturing()
        if type(made) is Tensor and not captured:
            _kept[full] = made
            if len(_kept) > MOST:
                _kept.popitem(last=False)
    for noted in _noted:
        noted.append(made)
    return made


@contextmanager
def noted_constants() -> Iterator[list[Shaped[Tensor, "..."]]]:
    """Give a list to which each call of `constant` in the block adds its tensor."""
    noted: list[Tensor] = []
    _noted.append(noted)
    try:
        yield noted
    finally:
        _noted.pop()
