"""Kernel launches of a network on a CUDA device, counted without one, on tensors that have a device but no values."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from yolo26_attention.attention import window_triton
from yolo26_attention.compat.pytorch import FakeTensorMode, TorchDispatchMode


class Counted(TorchDispatchMode):
    """Counts the operators that compute something; views and empty memory launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        memory = func.overloadpacket._qualified_op_name.startswith(("aten::empty", "aten::new_empty", "prim::"))
        written = any(argument.alias_info and argument.alias_info.is_write for argument in func._schema.arguments)
        view = not written and any(returned.alias_info for returned in func._schema.returns)
        self.count += not (memory or view)
        return func(*args, **(kwargs or {}))


@contextmanager
def one_kernel() -> Iterator[None]:
    """Let windowed attention be one launch, as its Triton kernel is, which takes real memory only."""

    def attend(q: Tensor, k: Tensor, v: Tensor, *geometry: int) -> Tensor:
        return v.new_zeros(q.shape[0], *q.shape[2:], v.shape[1]).permute(0, 3, 1, 2)

    with (
        mock.patch.object(window_triton, "can_run", return_value=None),
        mock.patch.object(window_triton, "run", attend),
    ):
        yield


def launches(network: nn.Module, side: int) -> int:
    """Launches of a second forward pass, when the maps of this size are stored, with one image of side x side."""
    moved = copy.deepcopy(network)
    with one_kernel(), FakeTensorMode(allow_non_fake_inputs=True):
        _pretend(moved)
        with torch.inference_mode():
            image = torch.empty(1, 3, side, side, device="cuda")
            moved(image)
            with Counted() as counted:
                moved(image)
    return counted.count


def _pretend(network: nn.Module) -> None:
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # The head reads its strides as numbers.
    heads: Any = [module for module in network.modules() if isinstance(getattr(module, "stride", None), Tensor)]
    strides = [head.stride.tolist() for head in heads]
    try:
        network._apply(lambda tensor: torch.empty_like(tensor, device="cuda"))
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
    for head, stride in zip(heads, strides, strict=True):
        head.stride = stride
