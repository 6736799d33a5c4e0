"""What a network takes to compute, counted and not timed: parameters and FLOPs."""

import copy
import inspect
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import thop
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolo26_attention.compat.pytorch import FakeTensorMode
from yolo26_attention.evaluation.unseen import Watch, ran


@dataclass(frozen=True)
class Counted:
    """FLOPs of a forward pass, and what of it is not in them: the operator, and in brackets where it runs."""

    flops: int
    not_counted: tuple[str, ...] = ()


def count_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, channels: int, height: int, width: int) -> int:
    """FLOPs of `count_operators` alone."""
    return count_operators(model, channels, height, width).flops


def count_operators(model: nn.Module, channels: int, height: int, width: int) -> Counted:
    """FLOPs (two per multiply-add) of one map of (channels, height, width), counted on the operators that run.

    An attention module that does its sums where the counter cannot see them, or that computes masked products, states
    its exact count in a method `flops(height, width)`; that number takes the place of what the counter saw of it.
    What has no formula and may do multiply-adds is named. Under torch's FakeTensorMode nothing is computed or
    allocated, and the count is the same.
    """
    weight = next(model.parameters(), torch.empty(0))
    x = torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype)
    counter = FlopCounterMode(display=False, custom_mapping=_formulas(), skip_unsupported=True)
    root = type(model).__name__

    def place() -> str:
        return max(counter.mod_tracker.parents, key=len).removeprefix(root).removeprefix(".").removeprefix("Global")

    watch = Watch(counter.flop_registry, place)
    with _own_statements(model, watch) as stated, ran(model) as called, torch.no_grad(), _slow_path(), watch, counter:
        out = model(x)
    watch.finish(out, called)
    seen = counter.get_flop_counts()
    total = int(counter.get_total_flops())
    for name, flops in stated.items():
        total += flops - sum(seen.get(f"{root}.{name}" if name else root, {}).values())
    total += sum(flops for at, flops in watch.summed if not any(_inside(at, name) for name in stated))
    unseen = {pair: None for pair in watch.found if not any(_inside(pair[1], name) for name in stated)}
    return Counted(total, _in_words(unseen, getattr(model, "grafted_sites", {})))


def count_without_computing(model: nn.Module, channels: int, height: int, width: int) -> Counted:
    """As `count_operators`, on fake tensors where the model takes them; the model stays as it is.

    What reads values, or runs kernels that know no fake tensors, is computed after all.
    """
    copied = copy.deepcopy(model)  # a module may keep a tensor of its forward pass
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return count_operators(copied, channels, height, width)
    except Exception:  # noqa: BLE001  whatever is wrong with the model itself is raised again
        return count_operators(model, channels, height, width)


def count_flops_by_thop(model: nn.Module, channels: int, height: int, width: int) -> int:
    """FLOPs (two per multiply-add) of one map as thop counts them, for comparison with published tables.

    It takes what is computed for what is needed: masked products of tiled attention are in it, sums of shifted products
    and layers that it has no rule for are not, so the figure depends on the implementation.
    """
    weight = next(model.parameters(), torch.empty(0))
    x = torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype)
    operations, _ = thop.profile(copy.deepcopy(model), inputs=[x], verbose=False)  # it leaves counters in the modules
    return int(2 * operations)


def _formulas() -> dict[Any, Any]:
    """FLOPs of operators that PyTorch has no formula for; each is called with the shapes of its arguments."""
    aten = torch.ops.aten

    def matrix_vector(matrix: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * math.prod(matrix)

    def recurrent(x: Sequence[int], weight: Sequence[int], hidden: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * x[0] * x[1] * (math.prod(weight) + math.prod(hidden))

    def deformable(x: Any, weight: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:
        return 2 * math.prod(out_shape) * math.prod(weight[1:])

    formulas = {
        aten.mv: matrix_vector,
        aten.dot: matrix_vector,
        aten.vdot: matrix_vector,
        aten.addmv: lambda _, matrix, *__, **___: matrix_vector(matrix),
        aten.addbmm: lambda _, a, b, *__, **___: 2 * math.prod(a) * b[2],
        aten.mkldnn_rnn_layer: recurrent,
    }
    if hasattr(torch.ops.torchvision, "deform_conv2d"):  # registered once torchvision.ops is imported
        formulas[torch.ops.torchvision.deform_conv2d] = deformable
    return formulas


@contextmanager
def _slow_path() -> Iterator[None]:
    """Let PyTorch's attention layers run operator by operator: the counter sees nothing of their fast path."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="FlopCounterMode does not have a registered")  # we say so
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _own_statements(model: nn.Module, watch: Watch) -> Iterator[dict[str, int]]:
    """While open, a forward pass fills it with the modules' own statements of their FLOPs, the outermost ones'."""
    stated: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...]) -> None:
            if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].dim() != 4:
                return  # it is given no map, so there is no height and width to ask for
            batch, _, height, width = inputs[0].shape
            try:
                flops = int(module.flops(height, width))
            except Exception as error:  # noqa: BLE001  the user's code
                watch.note(f"its own flops({height}, {width}), which failed ({type(error).__name__}: {error})", name)
                return
            stated[name] = stated.get(name, 0) + batch * flops

        return hook

    names: list[str] = []
    handles = []
    for name, module in model.named_modules():
        if _states_flops(module) and not any(_inside(name, outer) for outer in names):
            names.append(name)
            handles.append(module.register_forward_pre_hook(note(name)))
    try:
        yield stated
    finally:
        for handle in handles:
            handle.remove()


def _states_flops(module: nn.Module) -> bool:
    """Whether a module has a method `flops(height, width)`; others have attributes and methods of that name, too."""
    method = getattr(type(module), "flops", None)
    if not inspect.isroutine(method):
        return False
    names = [name.lower() for name in inspect.signature(method).parameters if name != "self"]
    return len(names) >= 2 and names[0] in {"h", "height"} and names[1] in {"w", "width"}


def _inside(name: str, outer: str) -> bool:
    return not outer or name == outer or name.startswith(f"{outer}.")


def _in_words(unseen: dict[tuple[str, str], None], sites: dict[str, int]) -> tuple[str, ...]:
    """One text for each operator, with the sites it runs at, or elsewhere the modules."""
    where: dict[str, dict[str, None]] = {}
    for what, module in unseen:
        site = next((f"site {site}" for site, layer in sites.items() if _inside(module, f"model.{layer}")), module)
        where.setdefault(what, {})[site] = None
    return tuple(
        f"{what} ({', '.join(filter(None, places))})" if any(places) else what for what, places in where.items()
    )
