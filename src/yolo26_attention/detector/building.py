"""Build the attention of one place in the network and check that it fits."""

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy
from ultralytics.nn.modules import Conv
from ultralytics.utils.torch_utils import initialize_weights

from yolo26_attention.detector.blame import defined, last_line
from yolo26_attention.detector.isolation import kept_settings, own_generator
from yolo26_attention.detector.modes import Replacement
from yolo26_attention.detector.own_imports import compile_from_source
from yolo26_attention.detector.placebo_size import Match, match_placebo
from yolo26_attention.detector.probe import (
    Candidate,
    UnfitError,
    Use,
    check_lone_image,
    check_modes,
    check_shared,
    check_ties,
    probe,
)
from yolo26_attention.detector.sites import Site, inference
from yolo26_attention.detector.trust import is_shipped

MOST_PARAMETERS = 100_000_000  # at one place; all of yolo26x has 60 million


@dataclass(frozen=True)
class Place:
    """The place of one attention module.

    Args:
        site: its site; height and width are those of the map at the image size at which sites were found.
        path: path of the convolution in the site's block that it replaces; "" if it joins the block as a whole.
        neighbour: the module whose device, dtype and training mode it adopts.
        in_channels: channels of its input.
        channels: required channels of its output.
        position: number of attention modules that join the site before it.
    """

    site: Site
    path: str
    neighbour: nn.Module
    in_channels: int
    channels: int
    position: int = 0

    @property
    def key(self) -> str:
        """Its part in the seed of its generator; the first attention of a site draws as if it were alone."""
        site = f"{self.site.name}#{self.position}" if self.position else self.site.name
        return f"{site}/{self.path}" if self.path else site

    def __str__(self) -> str:
        return f"{self.site.name} ({self.path})" if self.path else self.site.name


def build(
    target: str,
    options: Mapping[str, Any],
    place: Place,
    *,
    seed: int,
    mode: str,
    match: Match | None,
    scale: float,
) -> tuple[nn.Module, nn.Module | None]:
    """Build attention for a place with its own random generator, and check that it fits.

    Args:
        target: dotted path of a class called with channels.
        options: its keyword arguments.
        place: its place.
        seed: seed of the generator, combined with the place's name.
        mode: how it joins the site, for messages.
        match: what a Placebo must match.
        scale: image size at which FLOPs are matched, divided by that at which sites were found.

    Returns:
        The attention, and the projection before it if it cannot change the number of channels.

    Raises:
        ValueError: if the class cannot be imported or built, rejects its options, or changes the map's shape.
    """
    attention_class = find_class(target)
    key = f"{seed}/{place.key}"
    matched = None
    if match is not None:
        sizes, matched = _matched_sizes(match, place, key, scale)
        options = {**options, **sizes}
    with own_generator(key), kept_settings():
        attention, project = _complete(target, options, place)
    with own_generator(f"check/{key}"), kept_settings():
        tried = attention if is_shipped(target) else _copied(attention)
        _check_map(Replacement(tried, project), attention_class, place, mode)
    if matched is not None:
        placebo: Any = attention
        placebo.matched = matched  # read by yolo26_attention.detector.grafted.placebo_matches
    return like(attention, place.neighbour), None if project is None else like(project, place.neighbour)


def find_class(target: str) -> Callable[..., nn.Module]:
    """Import the class that a dotted path names.

    Raises:
        ValueError: with the last line of the traceback and the folders searched, if it cannot be imported.
    """
    module_name, _, class_name = target.rpartition(".")
    compile_from_source()
    try:
        with own_generator(f"import/{module_name}"), kept_settings():
            found: Callable[..., nn.Module] = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:
        prefixes = (sys.prefix, sys.base_prefix)
        own = [os.path.abspath(folder) for folder in sys.path if not os.path.abspath(folder).startswith(prefixes)]
        raise ValueError(
            f"attention._target_={target} cannot be imported ({last_line(error)}); write MODULE.CLASS; searched "
            f"{', '.join(dict.fromkeys(own))} and in the installed packages"
        ) from error
    return found


def _matched_sizes(match: Match, place: Place, key: str, scale: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the placebo of a place, and how closely it matches."""
    height, width = round(place.site.height * scale), round(place.site.width * scale)
    # From a separate generator; otherwise the placebo's values would depend on what it matches.
    with own_generator(f"reference/{key}"), kept_settings():
        reference = Replacement(*_complete(match.target, match.options, place))
        return match_placebo(reference, place.in_channels, place.channels, height, width, match, str(place))


def probe_place(
    place: Place, attention: nn.Module, project: nn.Module | None, mode: str, use: Use, *, shipped: bool
) -> None:
    """Try the attention of a place in every way in which a run uses it, without changing it.

    For this program's attention, which tests cover otherwise, it only checks that it accepts the run's batches.

    Raises:
        ValueError: with the place, the class, its file and line, and the way out.
    """
    given = place.in_channels if project is None else place.channels
    needs = "appended attention must keep the shape"
    if mode != "append":
        needs = f"placement.mode={mode} needs {place.channels} channels there, and the height and width of its input"
    candidate = Candidate(attention, given, place.channels, max(place.site.height // 2, 1), needs)
    with _named(place):
        if not shipped:
            probe(candidate, use)
        if use.lone:
            with own_generator("lone"):
                check_lone_image(candidate, use.lone)


@contextmanager
def _named(place: Place) -> Iterator[None]:
    """Add the place to error messages about a module."""
    try:
        yield
    except UnfitError as error:
        raise ValueError(f"attention at site {place}: {error}") from error


def _complete(target: str, options: Mapping[str, Any], place: Place) -> tuple[nn.Module, nn.Module | None]:
    """As `_construct`, and create the parameters that a user's class creates in its first forward pass."""
    attention, project = _construct(find_class(target), options, place)
    if not is_shipped(target):
        channels = place.in_channels if project is None else place.channels
        candidate = Candidate(attention, channels, place.channels, 1)
        with _named(place):
            check_modes(candidate)

        def again() -> nn.Module:
            return _construct(find_class(target), options, place)[0]

        _make_parameters(attention, again, place, channels)
        with _named(place):
            check_ties(candidate)
            with own_generator("trial"):
                check_shared(candidate, again())
    return attention, project


def _make_parameters(attention: nn.Module, again: Callable[[], nn.Module], place: Place, channels: int) -> None:
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
            trial = again() if extra else _copied(attention)
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


def _copied(module: nn.Module) -> nn.Module:
    """Copy a module, so that trials leave no trace; the probe refuses modules that cannot be copied."""
    try:
        return copy.deepcopy(module)
    except Exception:  # noqa: BLE001
        return module


@contextmanager
def _limited(name: str, options: Mapping[str, Any]) -> Iterator[Callable[[nn.Module], nn.Module]]:
    """Refuse more parameters than any network here has, as soon as they are registered, while a class is built.

    torch's meta device would tell their number without allocating them, but a class may keep what it builds there.
    Gives a function that passes a built module on, after the same check: copied parts are not registered one by one.
    """
    registered: dict[tuple[int, str], int] = {}

    def refuse(parameters: int) -> None:
        if parameters > MOST_PARAMETERS:
            given = ", ".join(f"{key}={value}" for key, value in options.items()) or name
            raise ValueError(f"{given} gives more than {MOST_PARAMETERS:,} parameters; try smaller sizes")

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        if isinstance(parameter, nn.Parameter) and not is_lazy(parameter):
            registered[id(module), name] = parameter.numel()
            refuse(sum(registered.values()))

    def counted(module: nn.Module) -> nn.Module:
        if isinstance(module, nn.Module):
            refuse(sum(parameter.numel() for parameter in module.parameters() if not is_lazy(parameter)))
        return module

    handle = register_module_parameter_registration_hook(count)
    try:
        yield counted
    finally:
        handle.remove()


def _construct(
    attention_class: Callable[..., nn.Module], options: Mapping[str, Any], place: Place
) -> tuple[nn.Module, nn.Module | None]:
    """Build attention from in_channels to channels if it can; otherwise attention after a 1x1 convolution that does."""
    try:
        with _limited(attention_class.__name__, options) as counted:
            if place.in_channels == place.channels:
                return counted(attention_class(place.channels, **options)), None
            if "out_channels" in inspect.signature(attention_class).parameters:
                return counted(attention_class(place.in_channels, out_channels=place.channels, **options)), None
            attention = counted(attention_class(place.channels, **options))
    except ValueError as error:
        raise ValueError(f"attention at site {place}: {error}") from error
    except (Exception, SystemExit) as error:
        called = ", ".join([str(place.channels), *(f"{key}={value!r}" for key, value in options.items())])
        raise ValueError(
            f"attention at site {place}: {attention_class.__module__}.{attention_class.__name__}({called}) failed: "
            f"{last_line(error)}"
        ) from error
    project = Conv(place.in_channels, place.channels, 1)
    initialize_weights(project)  # Ultralytics' constants for batch norms
    return attention, project


def _check_map(whole: Replacement, attention_class: Callable[..., nn.Module], place: Place, mode: str) -> None:
    """Run it once on a blank map of the site's size."""
    size = (place.site.height, place.site.width)
    given, expected = (1, place.in_channels, *size), (1, place.channels, *size)
    try:
        with inference(whole):
            shape = tuple(whole(torch.zeros(given)).shape)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"attention at site {place}: {attention_class.__name__} failed on a map of {given}: {last_line(error)}"
        ) from error
    if shape != expected:
        needed = "appended attention must keep the shape"
        if mode != "append":
            needed = f"placement.mode={mode} needs {expected} there"
        raise ValueError(
            f"{attention_class.__name__} changes the map at site {place} from {given} to {shape}; {needed}"
        )


def like(module: nn.Module, place: nn.Module) -> nn.Module:
    """Move a module to the device, training mode and floating-point dtype of a place, without other changes."""
    weight = next(place.parameters())
    module.train(place.training).to(weight.device)
    # `to(dtype)` would drop the imaginary part of complex tensors.
    return {
        torch.float16: module.half,
        torch.bfloat16: module.bfloat16,
        torch.float32: module.float,
        torch.float64: module.double,
    }[weight.dtype]()
