"""Check that a module can be copied, averaged, saved and loaded completely, as in a training."""

import copy
import io
import pickle
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.detector.blame import last_line
from yolo26_attention.detector.probe.candidate import SQUARE, Candidate, close
from yolo26_attention.detector.probe.memory import OF_TORCH

PLAIN = (type(None), bool, int, float, str, bytes)
CONTAINERS = (Mapping, list, tuple, set, frozenset, deque)


def check_parts(candidate: Candidate) -> None:
    """Check its parameters and submodules.

    Raises:
        UnfitError: if torch does not see a part, or if a training would treat a part incorrectly.
    """
    module = candidate.module
    for name, parameter in module.named_parameters():
        if parameter.is_complex():
            raise candidate.unfit(
                f"has a complex parameter, {name}",
                "the averaged weights that are validated and saved would keep its initial value; store real and "
                "imaginary parts in one real parameter and use torch.view_as_complex",
                forward=False,
            )
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise candidate.unfit(
                f"puts a {type(value).__name__} into its state dict ({name})",
                "the averaged weights hold tensors alone, so the training would fail; keep numbers in buffers "
                "(register_buffer) instead of get_extra_state",
                forward=False,
            )
    known = {id(part) for part in [*module.modules(), *module.parameters(), *module.buffers()]}
    for name, part in _unregistered(module, known):
        raise candidate.unfit(
            f"holds {name}, a {type(part).__name__} that torch does not see",
            "it would be neither trained nor saved: use nn.ModuleList, nn.ModuleDict, nn.ParameterList or nn.Parameter",
            forward=False,
        )


def check_modes(candidate: Candidate) -> None:
    """Check that a part that was built in evaluation mode stays there.

    An attribute of a class, such as Ultralytics' default activation, is shared with other networks, which change its
    mode.

    Raises:
        UnfitError: if it does not.
    """
    classes = {cls for part in candidate.module.modules() for cls in type(part).__mro__}
    shared = {id(value) for cls in classes for value in vars(cls).values() if isinstance(value, nn.Module)}
    resting = [name for name, part in candidate.module.named_modules() if not part.training and id(part) not in shared]
    if candidate.module.training and resting:
        trained = copy.deepcopy(candidate.module).train()
        if woken := [name for name in resting if trained.get_submodule(name).training]:
            raise candidate.unfit(
                f"puts {woken[0]} in evaluation mode, which ends when training starts",
                "override train(self, mode=True) to keep it",
                forward=False,
            )


def check_copies(candidate: Candidate, module: nn.Module, when: str) -> nn.Module:
    """Copy and pickle it, as at the end of each epoch.

    Args:
        candidate: the module.
        module: the module or a trained copy.
        when: time of the check, for the message.

    Returns:
        A copy of the module from before it ran here.

    Raises:
        UnfitError: with the attribute that prevents it.
    """
    copied = _attempted(candidate, module, when, copy.deepcopy, "copied")
    saved = _attempted(candidate, module, when, _saved, "saved")
    before = copy.deepcopy(module)
    same = torch.random.get_rng_state()
    outputs = []
    for other in (module, copied, saved):
        torch.random.set_rng_state(same)
        mode = other.training
        with torch.no_grad():
            outputs.append(candidate.run(other.eval(), candidate.map(SQUARE, 1)))
        other.train(mode)
    if not all(close(outputs[0], output) for output in outputs[1:]):
        raise candidate.unfit(
            f"gives another output after it is copied, or saved and loaded{when}",
            "check __deepcopy__, __getstate__, __setstate__ and __reduce__",
            forward=False,
        )
    return before


def _attempted(candidate: Candidate, module: nn.Module, when: str, attempt: Any, done: str) -> nn.Module:
    try:
        result: nn.Module = attempt(module)
    except (Exception, SystemExit) as error:
        at = _culprit(module, attempt)
        raise candidate.unfit(
            f"cannot be {done}{when}{at and f' because of {at}'}: {last_line(error)}",
            "each epoch ends with a saved copy: use named functions at the top level of your file "
            "instead of lambdas and nested functions or classes, and keep only detached tensors between passes",
            forward=False,
        ) from error
    return result


def _saved(module: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    loaded: nn.Module = torch.load(buffer, weights_only=False)
    return loaded


def _culprit(module: nn.Module, attempt: Any) -> str:
    """Find the attribute that makes the attempt fail."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in {"_modules", "_parameters", "_buffers"} or isinstance(value, PLAIN):
                continue
            try:
                copy.deepcopy(value) if attempt is copy.deepcopy else pickle.dumps(value)
            except Exception:  # noqa: BLE001  any error identifies the attribute
                return f"{path}.{name}".lstrip(".")
    return ""


def _unregistered(module: nn.Module, known: set[int]) -> Iterator[tuple[str, Any]]:
    """Modules, parameters and trainable tensors in plain attributes, and in lists and dictionaries at any depth."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            for one in _held(value, set()) if name not in OF_TORCH else ():
                trainable = isinstance(one, Tensor) and one.requires_grad and one.is_leaf
                if (trainable or isinstance(one, nn.Module)) and id(one) not in known:
                    yield f"{path}.{name}".lstrip("."), one


def _held(value: Any, seen: set[int]) -> Iterator[Any]:
    """A value, or what a container holds in the end."""
    if not isinstance(value, CONTAINERS):
        yield value
    elif id(value) not in seen:
        seen.add(id(value))
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _held(one, seen)
