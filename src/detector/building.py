"""Builds the attention of one place in the network, and checks that it fits there."""

import hashlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import Conv
from ultralytics.utils.torch_utils import initialize_weights

from src.detector.matching import Match, match_placebo
from src.detector.modes import Replacement
from src.detector.sites import Site, inference

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
    target: str, options: Mapping[str, Any], place: Place, *, seed: int, mode: str, match: Match | None, scale: float
) -> tuple[nn.Module, nn.Module | None]:
    """Build attention for a place from a generator of its own, and check the map it puts out.

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
    site, matched = place.site, None
    if match is not None:
        _check_size(find_class(match.target), match.options, place)
        # From another stream, or the placebo's values would depend on what it matches.
        with own_generator(f"reference/{key}"):
            reference = _construct(find_class(match.target), match.options, place)
        height, width = round(site.height * scale), round(site.width * scale)
        sizes, matched = match_placebo(
            Replacement(*reference), place.in_channels, place.channels, height, width, match, str(place)
        )
        options = {**options, **sizes}
    _check_size(attention_class, options, place)
    with own_generator(key):
        attention, project = _construct(attention_class, options, place)
    _check_map(Replacement(attention, project), attention_class, place, mode)
    if matched is not None:
        placebo: Any = attention
        placebo.matched = matched  # read by src.detector.grafting.placebo_matches
    return _like(attention, place.neighbour), None if project is None else _like(project, place.neighbour)


def find_class(target: str) -> Callable[..., nn.Module]:
    """Import the class that a dotted path names.

    Raises:
        ValueError: with the last line of the traceback and the folders searched, if it cannot be imported.
    """
    module_name, _, class_name = target.rpartition(".")
    try:
        found: Callable[..., nn.Module] = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:
        prefixes = (sys.prefix, sys.base_prefix)
        own = [os.path.abspath(folder) for folder in sys.path if not os.path.abspath(folder).startswith(prefixes)]
        raise ValueError(
            f"attention._target_={target} cannot be imported ({_last_line(error)}); write MODULE.CLASS; looked in "
            f"{', '.join(dict.fromkeys(own))} and in the installed packages"
        ) from error
    return found


def _check_size(attention_class: Callable[..., nn.Module], options: Mapping[str, Any], place: Place) -> None:
    """Refuse what has more parameters than any network here, before it takes the memory of the machine."""
    try:
        with torch.device("meta"):
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
    except Exception as error:
        called = ", ".join([str(place.channels), *(f"{key}={value!r}" for key, value in options.items())])
        raise ValueError(
            f"attention at site {place}: {attention_class.__module__}.{attention_class.__name__}({called}) failed: "
            f"{_last_line(error)}"
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
    except Exception as error:
        raise ValueError(
            f"attention at site {place}: {attention_class.__name__} failed on a map of {given}: {_last_line(error)}"
        ) from error
    if shape != expected:
        needed = "appended attention must keep the shape"
        if mode != "append":
            needed = f"placement.mode={mode} needs {expected} there"
        raise ValueError(
            f"{attention_class.__name__} turns the map at site {place} from {given} into {shape}; {needed}"
        )


def _last_line(error: Exception) -> str:
    """The last line of a traceback, and where the error was raised."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    last = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    theirs = raised.filename != __file__ and not raised.filename.startswith("<frozen")
    return f"{last} ({raised.filename}, line {raised.lineno})" if theirs else last


def _like(module: nn.Module, place: nn.Module) -> nn.Module:
    return module.train(place.training).to(next(place.parameters()))


@contextmanager
def own_generator(key: str) -> Iterator[None]:
    """Draw from a stream that depends on the key alone, and put torch's CPU stream back as it was.

    `torch.manual_seed` would also reseed every GPU; only the CPU generator is used to initialise.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1)
    try:
        yield
    finally:
        torch.set_rng_state(state)
