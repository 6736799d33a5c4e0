"""Constants of windowed attention, such as masks and indices, that are kept between calls."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from jaxtyping import Shaped
from torch import Tensor

# A study of images of many sizes needs more than this only if it changes size at every image.
MOST = 64

_kept: OrderedDict[Hashable, Tensor] = OrderedDict()


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
        return _kept[full]
    with torch.inference_mode(False), torch.no_grad():
        made = make()
    if type(made) is Tensor:
        _kept[full] = made
        if len(_kept) > MOST:
            _kept.popitem(last=False)
    return made
