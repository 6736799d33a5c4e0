"""Size a placebo to match the parameters or FLOPs of an attention."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from yolo26_attention.attention.placebo import placebo_flops, placebo_parameters
from yolo26_attention.config.schema import MatchBy, PlaceboConfig
from yolo26_attention.evaluation.flops import count_parameters, count_without_computing

TOLERANCE = 0.02
# In order of preference: of all that match, the simplest block is used.
KERNELS = (3, 1, 5, 7)
BIASES = (True, False)


@dataclass(frozen=True)
class Match:
    """The target of a placebo.

    Args:
        name: name of the attention, for messages.
        target: dotted path of its class.
        options: keyword arguments of that class.
        by: the value of a `MatchBy`; plain, because checkpoints hold it.
        imgsz: side of the square image at which FLOPs are counted, in pixels.

    Raises:
        ValueError: if `by` is unknown.
    """

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    by: str = PlaceboConfig.by.value
    imgsz: int = 640

    def __post_init__(self) -> None:
        """Check what is matched."""
        if self.by not in tuple(MatchBy):
            raise ValueError(f"by={self.by} is unknown: a placebo matches {' or '.join(MatchBy)}; give one of them")


def match_placebo(
    reference: nn.Module, channels: int, out_channels: int, height: int, width: int, match: Match, place: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose the sizes of the placebo of one place.

    Args:
        reference: the attention to match, with its projection at this place.
        channels: channels of the input.
        out_channels: channels of the output.
        height: height of the output at the image size of `match`, in pixels.
        width: likewise.
        match: the target.
        place: name of the place, for messages.

    Returns:
        Keyword arguments of Placebo, and the match as plain values: by, wanted, got, mismatch (a fraction).

    Raises:
        ValueError: if no placebo comes within 2 %, because the attention has too few parameters or FLOPs, or if some of
            the FLOPs to match are not counted.
    """
    if match.by == "parameters":
        wanted = count_parameters(reference)
    else:
        counted = count_without_computing(reference, channels, height, width)
        if counted.not_counted:
            raise ValueError(
                f"placebo.by=flops: {match.name} at {place} has work without a FLOP count, "
                f"{', '.join(counted.not_counted)}; use placebo.by=parameters, or give its class a method "
                "flops(height, width)"
            )
        wanted = counted.flops

    def count(hidden: int, kernel: int, bias: bool) -> int:
        if match.by == "parameters":
            return placebo_parameters(channels, out_channels, hidden, kernel, bias)
        return placebo_flops(channels, out_channels, hidden, kernel, height * width)

    def badness(size: tuple[int, int, bool]) -> tuple[bool, int, bool, float]:
        _, kernel, bias = size
        off = abs(count(*size) - wanted) / wanted if wanted else float("inf")
        return off > TOLERANCE, KERNELS.index(kernel), not bias, off

    sizes = []
    for kernel, bias in itertools.product(KERNELS, BIASES):
        fixed, each = count(0, kernel, bias), count(1, kernel, bias) - count(0, kernel, bias)
        below = max((wanted - fixed) // each, 1)
        sizes += [(below, kernel, bias), (below + 1, kernel, bias)]
    best = min(sizes, key=badness)
    got = count(*best)
    if not wanted or abs(got - wanted) / wanted > TOLERANCE:
        nearest = min((count(*size) for size in sizes), key=lambda number: abs(number - wanted))
        unit, way_out = "parameters", "match something larger"
        if match.by == "flops":
            unit, way_out = "FLOPs", f"use placebo.by=parameters, or {way_out}"
        raise ValueError(
            f"placebo.matches={match.name} has {wanted:,} {unit} at {place}, but the nearest placebo has "
            f"{nearest:,}, not within {TOLERANCE:.0%}; {way_out}"
        )
    hidden, kernel, bias = best
    matched = {"by": match.by, "wanted": wanted, "got": got, "mismatch": got / wanted - 1}
    return {"hidden": hidden, "kernel": kernel, "bias": bias}, matched
