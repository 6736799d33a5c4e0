"""Apply `trainer.freeze` to the stock parameters of the given layers, never to the graft.

Ultralytics freezes parameters with `model.N.` in their name, which would include attention below a layer. It also
enables the gradient of every parameter that it does not freeze.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from yolo26_attention.compat.pytorch import AnyBatchNorm
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.detector.grafted import graft_parts, grafted_attention
from yolo26_attention.detector.sites import layers_of

STOCK = "stock"  # the value of trainer.freeze that means all layers


def frozen_paths(model: nn.Module, freeze: int | str | list[Any] | None) -> int | str | list[Any] | None:
    """Convert `freeze` to a value that makes Ultralytics freeze the same layers without the graft.

    Args:
        model: grafted model, or the stock model, for which Ultralytics' own values are returned.
        freeze: number of layers, list of their indices, "stock" for all, or None.

    Returns:
        Paths below `model.`, which Ultralytics accepts in place of indices. It takes a path for that of a module, so
        `freeze_parameters` freezes the parameters among them.
    """
    parts = graft_parts(model)
    if freeze is None or (not parts and freeze != STOCK):
        return freeze
    layers = layers_of(model)
    count = len(layers) if freeze == STOCK else freeze
    chosen = list(range(count)) if isinstance(count, int) else list(count)
    grafted = {id(part) for part in parts.values()}
    paths: list[Any] = []
    for index in chosen:
        inside = isinstance(index, int) and index < len(layers)
        paths += list(_without(grafted, str(index), layers[index])) if inside else [index]
    return paths


def _without(parts: set[int], path: str, module: nn.Module) -> Iterator[str]:
    """Paths of the largest modules below a path without any part of the graft, and of parameters beside one."""
    if id(module) in parts:
        return
    if not any(id(inside) in parts for inside in module.modules()):
        yield path
        return
    yield from (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        yield from _without(parts, f"{path}.{name}", child)


def freeze_parameters(model: nn.Module, freeze: Any) -> None:
    """Freeze stock parameters of blocks that also hold a part of the graft.

    Args:
        model: the network, after Ultralytics froze layers.
        freeze: value from `frozen_paths`.
    """
    paths = {f"model.{path}" for path in freeze} if isinstance(freeze, list) else set()
    for name, parameter in model.named_parameters():
        if name in paths:
            parameter.requires_grad = False


def graft_gradients(model: nn.Module) -> dict[str, bool]:
    """Whether each parameter of the graft is trained, by its name in the model."""
    return {
        f"{path}.{name}": parameter.requires_grad
        for path, part in graft_parts(model).items()
        for name, parameter in part.named_parameters()
    }


def restore_gradients(model: nn.Module, learns: Mapping[str, bool]) -> list[str]:
    """Restore `requires_grad` of the graft after Ultralytics froze layers; returns the names that changed."""
    changed = []
    for name, parameter in model.named_parameters():
        if learns.get(name, parameter.requires_grad) != parameter.requires_grad:
            parameter.requires_grad = learns[name]
            changed.append(name)
    return changed


def freeze_batch_norms(model: nn.Module, freeze: Any, graft_frozen: bool) -> None:
    """Keep the running statistics of frozen batch norms of a network in training mode.

    Args:
        model: model whose batch norms Ultralytics froze by name, which may hit the graft's or miss some.
        freeze: value from `frozen_paths`.
        graft_frozen: whether the graft keeps its initial values.
    """
    parts = graft_parts(model)
    for part in parts.values():
        part.train()
    prefixes = tuple(f"model.{path}." for path in freeze) if parts and isinstance(freeze, list) else ()
    frozen = grafted_attention(model).values() if graft_frozen else []
    norms = [module for attention in frozen for module in attention.modules()]
    norms += [module for name, module in model.named_modules() if f"{name}.".startswith(prefixes)]
    for norm in norms:
        if isinstance(norm, AnyBatchNorm):
            norm.eval()


class FrozenBuffers:
    """The buffers of a frozen graft, which a module may change itself, such as running statistics of its own.

    Args:
        model: the model before its training.
    """

    def __init__(self, model: nn.Module) -> None:
        """Keep copies."""
        self._kept = [
            (part, name, buffer, buffer.clone())
            for attention in grafted_attention(model).values()
            for part in attention.modules()
            for name, buffer in part.named_buffers(recurse=False)
        ]

    def restore(self) -> None:
        """Give the buffers their initial values again, after a backward pass."""
        for part, name, buffer, value in self._kept:
            setattr(part, name, buffer.copy_(value))


def check_freeze(model: nn.Module, freeze: Any, graft_frozen: bool) -> None:
    """Refuse a value that freezes nothing or everything, or that is invalid.

    Args:
        model: the model with its graft.
        freeze: value of `trainer.freeze`.
        graft_frozen: whether the graft keeps its initial values.

    Raises:
        ValueError: with the value and what to give instead.
    """
    layers = layers_of(model)
    key = f"trainer.freeze={as_override(freeze)}"
    _check_value(key, freeze, len(layers))
    paths: Any = frozen_paths(model, freeze)
    paths = list(range(paths)) if isinstance(paths, int) else paths
    prefixes = tuple(f"model.{path}." for path in paths)
    graft = {name for name, learns in graft_gradients(model).items() if learns}
    names = {name for name, _ in model.named_parameters()} - set(graft_gradients(model))
    learning = {name for name in names if not f"{name}.".startswith(prefixes)}
    if learning == names:
        raise ValueError(f"{key} freezes nothing: these layers have no parameters; give others, or null")
    if learning:
        return
    if graft_frozen:
        attention = {id(p) for module in grafted_attention(model).values() for p in module.parameters()}
        graft -= {name for name, parameter in model.named_parameters() if id(parameter) in attention}
    if not graft:
        raise ValueError(f"{key} leaves nothing to train; freeze fewer layers")
    if freeze != STOCK:
        raise ValueError(f"{key} freezes the whole stock network; use trainer.freeze={STOCK} to train the graft alone")


def _check_value(key: str, freeze: Any, layers: int) -> None:
    way_out = f"give a number of layers, a list of their indices such as [0,1,2], {STOCK} for all of them, or null"
    indices = [freeze] if type(freeze) is int else freeze
    if freeze != STOCK and not (isinstance(indices, list) and all(type(index) is int for index in indices)):
        raise ValueError(f"{key} is not a set of layers; {way_out}")
    if freeze == [] or (type(freeze) is int and freeze < 1):
        raise ValueError(f"{key} freezes nothing; {way_out}")
    if type(freeze) is int and freeze > layers:
        raise ValueError(f"{key}: this network has {layers} layers; give fewer, or {STOCK} for all of them")
    if isinstance(freeze, list) and (strange := [index for index in freeze if not 0 <= index < layers]):
        raise ValueError(f"{key}: there is no layer {strange[0]}; this network has layers 0 to {layers - 1}")
