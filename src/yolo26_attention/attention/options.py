"""Options of every attention mechanism, without importing torch, so that `--help` and completion are fast.

Each class holds exactly the keyword arguments of the class or function that `_target_` names, which is called with the
channels of a site as its first argument. Docstrings, meanings and ranges are what `--help` and docs/attentions.md show.
An option has the same meaning everywhere: `heads` is the number of heads, `kernel_att` is the side of the window,
`reduction` divides the channels, `shortcut` adds the input to the output.

On CUDA no mechanism uses an operation without a deterministic backward (maxima use amax, rings and borders slicing and
indexing), except fused attention over the whole map: see Attention2dConfig.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from yolo26_attention.attention.option_field import ANY, DIVIDES, ODD, POSITIVE, option
from yolo26_attention.attention.options_timm import TIMM_SCHEMAS

BASELINE = "baseline"  # the name of no attention, and of the variant without one
# Pixels: wider than any map of a detector at 2,000 px; a wider window would only cost memory.
LARGEST_KERNEL = 255


class Paths(StrEnum):
    """The paths of ACmix that contribute."""

    both = "both"
    attention = "attention"
    convolution = "convolution"


class Combine(StrEnum):
    """How ACmix adds its two paths: the strategies in the ablation of Pan et al. (2022)."""

    learned = "learned"
    complement = "complement"
    sum = "sum"
    fixed = "fixed"


class Shift(StrEnum):
    """Initial values of ACmix's shift convolution, and whether it is learned."""

    learned = "learned"
    fixed = "fixed"
    random = "random"


class Implementation(StrEnum):
    """Implementation of the windowed attention; auto uses the first of the others that can run."""

    auto = "auto"
    triton = "triton"
    tiled = "tiled"
    shifted = "shifted"


@dataclass
class BaselineConfig:
    """No attention: the stock model, built by the same code as every variant."""

    name: str = BASELINE


_HEADS = "number of heads"
_WINDOW = "side of the attention's window in pixels"
_DILATION = "pixels between neighbouring keys of the window"
_IMPLEMENTATION = "of the windowed attention; auto takes the first of the others that can run"


@dataclass
class ACmixConfig:
    """Windowed self-attention and a convolution that share their 1x1 projections (Pan et al. 2022).

    An option that has no effect with the given paths, combine and kernel_att must keep its default.
    """

    name: str = "acmix"
    _target_: str = "yolo26_attention.attention.acmix.ACmix"
    heads: int = option(4, _HEADS, DIVIDES)
    kernel_att: int = option(7, _WINDOW, ODD)
    kernel_conv: int = option(3, "side of the convolution in pixels", ODD)
    dilation: int = option(1, _DILATION, POSITIVE)
    paths: Paths = option(Paths.both, "the paths that contribute; a single path has no rate")
    combine: Combine = option(
        Combine.learned,
        "learned: two rates; complement: rate1 is learned, rate2 = 1 - rate1; sum: both 1; fixed: both as given",
    )
    rate1: float = option(0.5, "weight of the attention; its initial value if it is learned", ANY)
    rate2: float = option(0.5, "weight of the convolution; its initial value if it is learned", ANY)
    shift: Shift = option(
        Shift.learned,
        "the shift convolution starts from one-hot shifts and is learned, stays at them, or starts from random values",
    )
    position: bool = option(True, "relative positions in the logits")
    implementation: Implementation = option(Implementation.auto, _IMPLEMENTATION)


@dataclass
class SASAConfig:
    """Stand-alone self-attention: the attention path of ACmix alone (Ramachandran et al. 2019).

    With kernel_att=1 the other options but implementation have no effect and must keep their defaults.
    """

    name: str = "sasa"
    _target_: str = "yolo26_attention.attention.sasa.SASA"
    heads: int = option(4, _HEADS, DIVIDES)
    kernel_att: int = option(7, _WINDOW, ODD)
    dilation: int = option(1, _DILATION, POSITIVE)
    position: bool = option(True, "relative positions in the logits")
    implementation: Implementation = option(Implementation.auto, _IMPLEMENTATION)


@dataclass
class NeighbourhoodConfig:
    """Neighbourhood attention: plain windowed attention (Hassani et al. 2023).

    With kernel_att=1 the other options but implementation have no effect and must keep their defaults.
    """

    name: str = "neighbourhood"
    _target_: str = "yolo26_attention.attention.neighbourhood.NeighbourhoodAttention"
    heads: int = option(4, _HEADS, DIVIDES)
    kernel_att: int = option(7, _WINDOW, ODD)
    dilation: int = option(1, _DILATION, POSITIVE)
    implementation: Implementation = option(Implementation.auto, _IMPLEMENTATION)


@dataclass
class SimAMConfig:
    """Weights each pixel by its distance from its channel's mean; no parameters (Yang et al. 2021)."""

    name: str = "simam"
    _target_: str = "yolo26_attention.attention.simam.SimAM"
    e_lambda: float = option(1e-4, "added to the variance, the paper's lambda", "above 0")


@dataclass
class AreaConfig:
    """Area attention: attention within strips of the map, and a 7x7 position convolution (Tian et al. 2025).

    Ultralytics' class. If area does not divide H * W, the last row is repeated until area divides the rows, and removed
    afterwards. The paper and yolo12.yaml use 4 areas; 1, the class's default, is attention over the whole map.
    """

    name: str = "area"
    _target_: str = "yolo26_attention.detector.from_ultralytics.AreaAttention"
    heads: int | None = option(None, "number of heads; null: one per 32 channels, as in A2C2f", DIVIDES)
    area: int = option(4, "number of strips; 1: the whole map", POSITIVE)


@dataclass
class PSAConfig:
    """Position-sensitive attention: attention over the whole map, then a feed-forward layer (Wang et al. 2024).

    Ultralytics' PSABlock. C2PSA, stock in YOLO26, has this block after a split and one head per 64 channels.
    """

    name: str = "psa"
    _target_: str = "yolo26_attention.detector.from_ultralytics.psa"
    heads: int = option(4, _HEADS, DIVIDES)
    attn_ratio: float = option(
        0.5, "channels of a key divided by those of a head", "above 0, leaving a key at least one channel"
    )
    shortcut: bool = option(True, "add the input to the output, around both halves")


ATTENTION_SCHEMAS = {
    BASELINE: BaselineConfig,
    "acmix": ACmixConfig,
    "sasa": SASAConfig,
    "neighbourhood": NeighbourhoodConfig,
    "simam": SimAMConfig,
    **TIMM_SCHEMAS,
    "area": AreaConfig,
    "psa": PSAConfig,
}


def mechanism_of(target: str) -> str | None:
    """The name of a shipped mechanism by the dotted path of its class; None for a user's class."""
    return next((name for name, schema in ATTENTION_SCHEMAS.items() if getattr(schema, "_target_", "") == target), None)


def resolve_options(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Resolve a mechanism to the dotted path of its class and all its options as plain values.

    Args:
        name: one of ATTENTION_SCHEMAS except the baseline, or the dotted path of the user's class.
        options: keyword arguments that differ from the defaults; for a user's class they are returned unchanged.

    Raises:
        ValueError: if the name is unknown, or an option is unknown or invalid.
    """
    schema = ATTENTION_SCHEMAS.get(name)
    if schema is None and "." in name:
        return name, dict(options)
    if schema is None or schema is BaselineConfig:
        known = ", ".join(known for known in ATTENTION_SCHEMAS if known != BASELINE)
        raise ValueError(f"{name} is not an attention; choose one of {known}, or give the dotted path of a class")
    have = [field.name for field in fields(schema) if field.name not in {"name", "_target_"}]
    unknown = [key for key in options if key not in have]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]}; it has {', '.join(have)}")
    config = OmegaConf.structured(schema)
    for key, value in options.items():
        try:
            config[key] = value
        except OmegaConfBaseException as error:
            default = getattr(schema, key)
            raise ValueError(f"{key}={value}: {str(error).splitlines()[0]}; its default is {default}") from error
    values: dict[str, Any] = OmegaConf.to_container(config, enum_to_str=True)  # type: ignore[assignment]
    del values["name"]
    return values.pop("_target_"), values


def check_heads(heads: int, channels: int) -> None:
    """Raise ValueError, with the nearest valid numbers, unless heads divides channels."""
    if heads >= 1 and channels % heads == 0:
        return
    fitting = [n for n in range(1, channels + 1) if channels % n == 0]
    below = [n for n in fitting if n < heads][-1:]
    above = [n for n in fitting if n > heads][:1]
    near = " or ".join(map(str, below + above))
    raise ValueError(f"{heads=} does not divide the {channels} channels; try {near}")


def check_kernel(name: str, side: int, least: int = 1) -> None:
    """Raise ValueError, with the nearest valid number, unless a side is odd, at least `least` and not too large."""
    if side < least:
        raise ValueError(f"{name}={side} must be at least {least}; try {least}")
    if side % 2 == 0:
        raise ValueError(f"{name}={side} has no centre; try {side + 1}")
    if side > LARGEST_KERNEL:
        raise ValueError(f"{name}={side} is wider than {LARGEST_KERNEL}; try less")


def check_choice(name: str, value: str, choices: type[StrEnum]) -> None:
    """Raise ValueError, with the choices, unless the value is one of them."""
    if value not in tuple(choices):
        raise ValueError(f"{name}={value} is unknown; try {', '.join(choices)}")


def check_idle(options: Mapping[str, Any], idle: Iterable[str], schema: type, why: str) -> None:
    """Raise ValueError, with the default, if an option without effect has another value than that of the schema.

    Args:
        options: the given values, by option; it may have others.
        idle: the options without effect.
        schema: the class with the defaults.
        why: the values of other options that make them idle.
    """
    for name in idle:
        default = getattr(schema, name)
        if options[name] != default:
            raise ValueError(f"{name}={options[name]} has no effect with {why}; leave it at {default}")
