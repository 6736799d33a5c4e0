"""Check that what a module remembers of a training reaches the averaged weights and a resumed run."""

import copy
import inspect
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from yolo26_attention.compat.pytorch import AnyBatchNorm
from yolo26_attention.detector.probe.candidate import ODD, Candidate, close

OF_TORCH = frozenset(vars(nn.Module()))  # attributes of every module
LIBRARIES = ("torch", "torchvision", "timm", "ultralytics", "yolo26_attention", "builtins", "abc", "typing")
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
LOST = "learns state in training that is not in its state dict"
WAY_OUT = (
    "it would be lost in the averaged weights that are validated and saved, and on resuming; keep it in float buffers "
    "(register_buffer), or compute it anew in each pass"
)


def check_state(candidate: Candidate, trained: nn.Module) -> None:
    """Check that all state that a training changes is in the state dict and can be averaged.

    Outputs are compared exactly, because state may have little effect after a few steps.

    Args:
        candidate: the module.
        trained: a copy after some training steps.

    Raises:
        UnfitError: with the buffer or attribute, if it is one.
    """
    norms = {id(part.num_batches_tracked) for part in trained.modules() if isinstance(part, AnyBatchNorm)}
    before = dict(candidate.module.named_buffers())
    for name, buffer in trained.named_buffers():
        changed = name in before and not torch.equal(before[name], buffer)
        if changed and not buffer.is_floating_point() and id(buffer) not in norms:
            raise candidate.unfit(
                f"changes {name} in training, a buffer of {buffer.dtype}",
                "the averaged weights that are validated and saved keep its initial value, as only floating-point "
                "tensors are averaged; make it a float buffer",
            )
    resumed = copy.deepcopy(candidate.module)
    try:
        resumed.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise candidate.unfit(
            f"does not load its own state dict: {' '.join(str(error).split())}",
            "an interrupted run could not resume; create all parameters and buffers in __init__",
        ) from error
    averaged = _averaged(candidate, trained)
    trial = _Trial(candidate, resumed, candidate.map(ODD, 2), torch.get_rng_state())
    used, again = copy.deepcopy(trained), copy.deepcopy(resumed)
    if trial.differ(trial.output(used, False), trial.output(again, False), trained, False):
        raise candidate.unfit(f"{LOST}{trial.culprits(trained, False)}", WAY_OUT)
    if trial.differ(trial.output(averaged, False), trial.output(again, False), averaged, False):
        raise candidate.unfit(
            f"gives an outdated output in evaluation mode after its weights change{trial.culprits(averaged, False)}",
            "the averaged weights that are validated change without a call of train(), eval() or load_state_dict(); "
            "compute from parameters and buffers anew in each pass",
        )
    buffers = {name: buffer.clone() for name, buffer in used.named_buffers()}
    if trial.differ(trial.output(used, True), trial.output(again, True), trained, True):
        raise candidate.unfit(f"{LOST}{trial.culprits(trained, True)}", WAY_OUT)
    once = remembered(used)
    for name, buffer in used.named_buffers():
        if name in buffers and buffers[name].shape == buffer.shape and name in used.state_dict():
            buffer.copy_(buffers[name])
    trial.output(used, True)
    # After the same pass again, a cache is the same, but what counts or collects is not.
    if counted := _differences(once, remembered(used)):
        raise candidate.unfit(f"changes {counted[0]} in each training step, which is not in its state dict", WAY_OUT)


@dataclass(frozen=True)
class _Trial:
    """Compares copies of a module that have the same state dict on one map, with the same random numbers."""

    candidate: Candidate
    reference: nn.Module
    x: Tensor
    generator: Tensor

    def output(self, module: nn.Module, training: bool) -> Tensor:
        torch.set_rng_state(self.generator)
        with torch.no_grad():
            return self.candidate.run(module.train(training), self.x)

    def differ(self, first: Tensor, second: Tensor, module: nn.Module, training: bool) -> bool:
        """Whether outputs differ, except for operations of the module that gave the first that vary by rounding."""
        if torch.equal(first, second):
            return False
        again = self.output(copy.deepcopy(module), training)
        return torch.equal(first, again) or not close(first, second)

    def culprits(self, module: nn.Module, training: bool) -> str:
        """Attributes by which a module differs from the reference; those that alone change its output, if any."""
        names = _differences(remembered(self.reference), remembered(module))
        output = self.output(copy.deepcopy(module), training)
        alone = [
            name
            for name in names
            if not torch.equal(output, self.output(_with(module, self.reference, name), training))
        ]
        return f": {', '.join((alone or names)[:3])}" if names else ""


def _averaged(candidate: Candidate, trained: nn.Module) -> nn.Module:
    """A copy that ran in evaluation mode, stays in it, and received the weights as Ultralytics averages them."""
    averaged = copy.deepcopy(candidate.module).eval()
    learned = trained.state_dict()
    with torch.no_grad():
        candidate.run(averaged, candidate.map(ODD, 1))
        for name, tensor in averaged.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(learned[name])
    return averaged


def _with(module: nn.Module, source: nn.Module, name: str) -> nn.Module:
    """A copy with one attribute of another instance."""
    copied = copy.deepcopy(module)
    path, _, attribute = name.rpartition(".")
    try:
        part, other = copied.get_submodule(path), source.get_submodule(path)
    except AttributeError:  # of a class
        return copied
    held, theirs = ((one._buffers if attribute in one._buffers else vars(one)) for one in (part, other))
    if attribute in theirs:
        held[attribute] = copy.deepcopy(theirs[attribute])
    else:
        held.pop(attribute, None)
    return copied


def remembered(module: nn.Module) -> dict[str, Any]:
    """What a module holds outside its state dict, by name: plain attributes, and buffers that are not persistent.

    Includes attributes of a user's classes. The values are frozen, for a comparison after later passes.
    """
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        names = {**{name: part._buffers[name] for name in part._non_persistent_buffers_set}, **vars(part)}
        for name, value in names.items():
            if name not in OF_TORCH:
                found[f"{path}.{name}".lstrip(".")] = _frozen(value, {})
        for kind in type(part).__mro__:
            if kind is not object and kind.__module__.partition(".")[0] not in LIBRARIES:
                found |= {
                    f"{kind.__name__}.{name}": _frozen(value, {})
                    for name, value in vars(kind).items()
                    if isinstance(value, (int, float, Tensor, np.ndarray, list, dict, set)) and name[:2] != "__"
                }
    return found


def _frozen(value: Any, seen: dict[int, Any]) -> Any:
    """A value that stays as it is: equal for equal contents, with copies of tensors and arrays."""
    if isinstance(value, PLAIN):
        return value
    if id(value) in seen:
        return "seen before"
    seen[id(value)] = value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray | np.generic):
        return torch.from_numpy(np.array(value)) if value.dtype.kind in "fiub" else repr(value)
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, nn.Module | type) or inspect.isroutine(value):
        return type(value).__qualname__
    return tuple(_contents(value, seen))


def _contents(value: Any, seen: dict[int, Any]) -> Iterator[Any]:
    yield type(value).__qualname__
    if isinstance(value, Mapping):
        yield from ((repr(key), _frozen(one, seen)) for key, one in value.items())
    elif isinstance(value, set | frozenset):
        yield from sorted(map(repr, value))
    elif isinstance(value, Collection):
        yield from (_frozen(one, seen) for one in value)
    elif hasattr(value, "__dict__"):
        yield from ((name, _frozen(one, seen)) for name, one in vars(value).items())
    else:
        yield repr(value)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys([*before, *after]))
    return [name for name in names if name not in before or name not in after or not _equal(before[name], after[name])]


def _equal(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, Tensor):
        same = first.shape == second.shape and first.dtype == second.dtype and first.device == second.device
        return same and bool(((first == second) | ((first != first) & (second != second))).all())
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second or (first != first and second != second))
