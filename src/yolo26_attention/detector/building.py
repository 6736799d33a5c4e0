"""Builds the attention of one place in the network, and checks that it fits there."""

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
from torch.nn.parameter import is_lazy
from ultralytics.nn.modules import Conv
from ultralytics.utils.torch_utils import initialize_weights

from yolo26_attention.detector.blame import defined, last_line
from yolo26_attention.detector.isolation import kept_settings, own_generator
from yolo26_attention.detector.modes import Replacement
from yolo26_attention.detector.placebo_size import Match, match_placebo
from yolo26_attention.detector.probe import Candidate, UnfitError, Use, check_lone_image, check_modes, probe
from yolo26_attention.detector.sites import Site, inference
from yolo26_attention.detector.trust import is_shipped

MOST_PARAMETERS = 100_000_000  # at one place; all of yolo26x has 60 million


@dataclass(frozen=True)
class Place:
    """Where one attention module goes.

    Args:
        site: its site; height and width are those of the map at the image size at which sites were found.
        path: of the convolution within the site's block that it replaces; "" if it joins the block as a whole.
        neighbour: the module whose device, dtype and training mode it takes over.
        in_channels: of the map it is given.
        channels: of the map it has to put out.
    """

    site: Site
    path: str
    neighbour: nn.Module
    in_channels: int
    channels: int

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
    """Build attention for a place from a generator of its own, and check that it fits there.

    Args:
        target: dotted path of a class called with channels.
        options: its keyword arguments.
        place: where it goes.
        seed: of the generator, together with the place's name.
        mode: how it joins the site, for messages.
        match: what a Placebo has to match here.
        scale: the image size at which FLOPs are matched over that at which sites were found.

    Returns:
        The attention, and the projection that has to run before it where it cannot change the channels itself.

    Raises:
        ValueError: if the class cannot be imported or built, refuses its options, or changes the map's shape.
    """
    attention_class = find_class(target)
    key = f"{seed}/{place.site.name}/{place.path}" if place.path else f"{seed}/{place.site.name}"
    matched = None
    if match is not None:
        sizes, matched = _matched_sizes(match, place, key, scale)
        options = {**options, **sizes}
    _check_size(attention_class, options, place)
    with own_generator(key), kept_settings():
        attention, project = _complete(target, options, place)
    with own_generator(f"check/{key}"), kept_settings():
        tried = attention if is_shipped(target) else _copied(attention)
        _check_map(Replacement(tried, project), attention_class, place, mode)
    if matched is not None:
        placebo: Any = attention
        placebo.matched = matched  # read by yolo26_attention.detector.grafting.placebo_matches
    return like(attention, place.neighbour), None if project is None else like(project, place.neighbour)


def find_class(target: str) -> Callable[..., nn.Module]:
    """Import the class that a dotted path names.

    Raises:
        ValueError: with the last line of the traceback and the folders searched, if it cannot be imported.
    """
    module_name, _, class_name = target.rpartition(".")
    try:
        with own_generator(f"import/{module_name}"), kept_settings():
            found: Callable[..., nn.Module] = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:
        prefixes = (sys.prefix, sys.base_prefix)
        own = [os.path.abspath(folder) for folder in sys.path if not os.path.abspath(folder).startswith(prefixes)]
        raise ValueError(
            f"attention._target_={target} cannot be imported ({last_line(error)}); write MODULE.CLASS; looked in "
            f"{', '.join(dict.fromkeys(own))} and in the installed packages"
        ) from error
    return found


def _matched_sizes(match: Match, place: Place, key: str, scale: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the placebo of a place, and how near it comes to what it matches."""
    _check_size(find_class(match.target), match.options, place)
    height, width = round(place.site.height * scale), round(place.site.width * scale)
    # From another stream, or the placebo's values would depend on what it matches.
    with own_generator(f"reference/{key}"), kept_settings():
        reference = Replacement(*_complete(match.target, match.options, place))
        return match_placebo(reference, place.in_channels, place.channels, height, width, match, str(place))


def probe_place(
    place: Place, attention: nn.Module, project: nn.Module | None, mode: str, use: Use, *, shipped: bool
) -> None:
    """Try the attention of a place in every way in which a run uses it; it stays as it is.

    Of this program's own, which tests try in every other way, only whether it takes the batches that there will be.

    Raises:
        ValueError: naming the place, the class, its file and line, and the way out.
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
    """Add the place to what is said about a module."""
    try:
        yield
    except UnfitError as error:
        raise ValueError(f"attention at site {place}: {error}") from error


def _complete(target: str, options: Mapping[str, Any], place: Place) -> tuple[nn.Module, nn.Module | None]:
    """As `_construct`, and with the parameters that a user's class makes at its first forward only."""
    attention, project = _construct(find_class(target), options, place)
    if not is_shipped(target):
        channels = place.in_channels if project is None else place.channels
        with _named(place):
            check_modes(Candidate(attention, channels, place.channels, 1))
        _make_parameters(attention, lambda: _construct(find_class(target), options, place)[0], place, channels)
    return attention, project


def _make_parameters(attention: nn.Module, again: Callable[[], nn.Module], place: Place, channels: int) -> None:
    """Run a module once that makes parameters at its first forward, for the generator at hand to draw them.

    Args:
        attention: just built.
        again: builds another one.
        place: where it goes.
        channels: of the map that it is given.

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
            f"attention at site {place}: {type(attention).__name__} gives {changed[0]} the size of the first map that "
            f"it is given ({defined(type(attention).forward)}); maps have many sizes: make it in __init__, from an "
            "option of the class"
        )
    _run_blank(attention, place, channels, 0)


def _run_blank(module: nn.Module, place: Place, channels: int, extra: int) -> None:
    # What fails here is said by the check that follows.
    with suppress(Exception), inference(module):
        module(torch.zeros(1, channels, place.site.height + extra, place.site.width + extra))


def _shapes(module: nn.Module) -> dict[str, torch.Size | None]:
    """Of its parameters and buffers; None of those that have no shape yet."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: None if is_lazy(tensor) else tensor.shape for name, tensor in tensors}


def _copied(module: nn.Module) -> nn.Module:
    """A copy, for what is tried to leave no trace; what cannot be copied is refused by the probe."""
    try:
        return copy.deepcopy(module)
    except Exception:  # noqa: BLE001
        return module


def _check_size(attention_class: Callable[..., nn.Module], options: Mapping[str, Any], place: Place) -> None:
    """Refuse what has more parameters than any network here, before it takes the memory of the machine."""
    try:
        with own_generator("size"), kept_settings(), torch.device("meta"):
            module = attention_class(place.channels, **options)
            parameters = sum(parameter.numel() for parameter in module.parameters())
    except Exception:  # noqa: BLE001  the class itself says what is wrong when it is built
        return
    if parameters > MOST_PARAMETERS:
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        raise ValueError(f"attention at site {place}: {given} makes {parameters:,} parameters; try smaller sizes")


def _construct(
    attention_class: Callable[..., nn.Module], options: Mapping[str, Any], place: Place
) -> tuple[nn.Module, nn.Module | None]:
    """Attention alone if it can go from in_channels to channels; else attention behind a 1x1 convolution that does."""
    try:
        if place.in_channels == place.channels:
            return attention_class(place.channels, **options), None
        if "out_channels" in inspect.signature(attention_class).parameters:
            return attention_class(place.in_channels, out_channels=place.channels, **options), None
        attention = attention_class(place.channels, **options)
    except ValueError as error:
        raise ValueError(f"attention at site {place}: {error}") from error
    except (Exception, SystemExit) as error:
        called = ", ".join([str(place.channels), *(f"{key}={value!r}" for key, value in options.items())])
        raise ValueError(
            f"attention at site {place}: {attention_class.__module__}.{attention_class.__name__}({called}) failed: "
            f"{last_line(error)}"
        ) from error
    project = Conv(place.in_channels, place.channels, 1)
    initialize_weights(project)  # the constants that Ultralytics gives the batch norms of a network it builds
    return attention, project


def _check_map(whole: Replacement, attention_class: Callable[..., nn.Module], place: Place, mode: str) -> None:
    """Run it once on a blank map of the site."""
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
            f"{attention_class.__name__} turns the map at site {place} from {given} into {shape}; {needed}"
        )


def like(module: nn.Module, place: nn.Module) -> nn.Module:
    """Bring a module to the device, the training mode and the floating type of a place; nothing else of it changes."""
    weight = next(place.parameters())
    module.train(place.training).to(weight.device)
    # Not `to(dtype)`, which takes their imaginary part from complex tensors.
    return {
        torch.float16: module.half,
        torch.bfloat16: module.bfloat16,
        torch.float32: module.float,
        torch.float64: module.double,
    }[weight.dtype]()
