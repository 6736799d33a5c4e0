"""Build the attention of one place in the network and check that it fits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from yolo26_attention.detector.blame import last_line
from yolo26_attention.detector.construction import construct
from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.isolation import kept_settings, own_generator
from yolo26_attention.detector.late_parameters import copied_module, make_parameters
from yolo26_attention.detector.modes import Replacement
from yolo26_attention.detector.place import Place
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
from yolo26_attention.detector.sites import inference
from yolo26_attention.detector.trust import is_shipped


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
        tried = attention if is_shipped(target) else copied_module(attention)
        _check_map(Replacement(tried, project), attention_class, place, mode)
    if matched is not None:
        placebo: Any = attention
        placebo.matched = matched  # read by yolo26_attention.detector.grafted.placebo_matches
    return like(attention, place.neighbour), None if project is None else like(project, place.neighbour)


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
    """As `construct`, and create the parameters that a user's class creates in its first forward pass."""
    attention, project = construct(find_class(target), options, place)
    if not is_shipped(target):
        channels = place.in_channels if project is None else place.channels
        candidate = Candidate(attention, channels, place.channels, 1)
        with _named(place):
            check_modes(candidate)

        def again() -> nn.Module:
            return construct(find_class(target), options, place)[0]

        make_parameters(attention, again, place, channels)
        with _named(place):
            check_ties(candidate)
            with own_generator("trial"):
                check_shared(candidate, again())
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
            f"{_way_out(error)}"
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


def _way_out(error: BaseException) -> str:
    """What to change in a class whose forward has the signature of transformers, `forward(x, H, W)`."""
    if not (isinstance(error, TypeError) and "forward() missing" in str(error)):
        return ""
    return "; it is called as forward(x): read the height and width of a map from x.shape"
