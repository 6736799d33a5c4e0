"""Count the parameters and FLOPs of a network."""

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
from yolo26_attention.evaluation.uncounted_flops import Watch, ran


@dataclass(frozen=True)
class Counted:
    """FLOPs of a forward pass, and the operators not counted, with the place where they run in brackets."""

    flops: int
    not_counted: tuple[str, ...] = ()


def count_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_operators(model: nn.Module, channels: int, height: int, width: int) -> Counted:
    """Count the FLOPs (two per multiply-add) of the operators that run on one map of (channels, height, width).

    An attention module whose sums are invisible to the counter, or which computes masked products, gives its exact
    count in a method `flops(height, width)`, which replaces the counter's value. Operators without a formula that may
    do multiply-adds are listed. Under torch's FakeTensorMode nothing is computed or allocated, and the count is the
    same.
    """
    weight = next(model.parameters(), torch.empty(0))
    return count_operators_on(model, torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype))


def count_operators_on(model: nn.Module, x: Tensor | list[Tensor]) -> Counted:
    """As `count_operators`, on the input of a model or of one of its layers: (B, C, H, W), or several of these."""
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
    """As `count_operators`, but on fake tensors if the model supports them; the model is not changed.

    Models that read values, or run kernels without fake-tensor support, are computed.
    """
    copied = copy.deepcopy(model)  # a module may keep a tensor of its forward pass
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return count_operators(copied, channels, height, width)
    except Exception:  # noqa: BLE001  an error of the model itself is raised again
        return count_operators(model, channels, height, width)


def count_flops_by_thop(model: nn.Module, channels: int, height: int, width: int) -> int:
    """Count the FLOPs (two per multiply-add) of one map with thop, for comparison with published tables.

    The result depends on the implementation: thop counts the masked products of tiled attention, but neither sums of
    shifted products nor layers without a rule.
    """
    weight = next(model.parameters(), torch.empty(0))
    x = torch.zeros(1, channels, height, width, device=weight.device, dtype=weight.dtype)
    operations, _ = thop.profile(copy.deepcopy(model), inputs=[x], verbose=False)  # thop leaves counters in the modules
    return int(2 * operations)


def _formulas() -> dict[Any, Any]:
    """FLOP formulas of operators for which PyTorch has none; each is called with the shapes of its arguments."""
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
    """Disable the fast path of PyTorch's attention layers, which is invisible to the counter."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="FlopCounterMode does not have a registered")  # in Counted
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _own_statements(model: nn.Module, watch: Watch) -> Iterator[dict[str, int]]:
    """Collect the results of the outermost modules' `flops` methods during a forward pass."""
    stated: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...]) -> None:
            if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].dim() != 4:
                return  # the input is not a map, so it has no height and width
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
    """Whether a module has a method `flops(height, width)`, as opposed to another attribute of that name."""
    method = getattr(type(module), "flops", None)
    if not inspect.isroutine(method):
        return False
    names = [name.lower() for name in inspect.signature(method).parameters if name != "self"]
    return len(names) >= 2 and names[0] in {"h", "height"} and names[1] in {"w", "width"}


def _inside(name: str, outer: str) -> bool:
    return not outer or name == outer or name.startswith(f"{outer}.")


def _in_words(unseen: dict[tuple[str, str], None], sites: dict[str, int]) -> tuple[str, ...]:
    """One text for each operator, with the sites, or otherwise the modules, in which it runs."""
    where: dict[str, dict[str, None]] = {}
    for what, module in unseen:
        site = next((f"site {site}" for site, layer in sites.items() if _inside(module, f"model.{layer}")), module)
        where.setdefault(what, {})[site] = None
    return tuple(
        f"{what} ({', '.join(filter(None, places))})" if any(places) else what for what, places in where.items()
    )
