"""Options of every attention mechanism, free of torch so that `--help` and completion stay quick.

Each class holds exactly the keyword arguments of the class or function that `_target_` names, which is called with the
channels of a site as its first argument. An option means the same wherever it exists: `heads` counts heads,
`kernel_att` is the side of the window, `reduction` divides the channels, `shortcut` adds the input to the output.

On CUDA no mechanism uses an operation without a deterministic backward (maxima are taken by amax, rings and borders by
slicing and indexing), fused attention over the whole map aside: see Attention2dConfig.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from yolo26_attention.attention.options_timm import TIMM_SCHEMAS

# Pixels: wider than any map that a detector sees at 2,000 px, where a window that is wider only costs memory.
LARGEST_KERNEL = 255


class Paths(Enum):
    """Which of ACmix's two paths contribute."""

    both = "both"
    attention = "attention"
    convolution = "convolution"


class Combine(Enum):
    """How ACmix adds its two paths: the strategies that Pan et al. (2022) compare in their ablation."""

    learned = "learned"
    complement = "complement"
    sum = "sum"
    fixed = "fixed"


class Shift(Enum):
    """How ACmix's shift convolution starts, and whether it learns."""

    learned = "learned"
    fixed = "fixed"
    random = "random"


class Implementation(Enum):
    """Which implementation computes the windowed attention; auto takes the first that can run."""

    auto = "auto"
    tiled = "tiled"
    triton = "triton"
    shifted = "shifted"


@dataclass
class BaselineConfig:
    """No attention: the stock model, built along the same path as every variant."""

    name: str = "baseline"


@dataclass
class ACmixConfig:
    """Options of `yolo26_attention.attention.acmix.ACmix`."""

    name: str = "acmix"
    _target_: str = "yolo26_attention.attention.acmix.ACmix"
    heads: int = 4
    kernel_att: int = 7
    kernel_conv: int = 3
    dilation: int = 1
    paths: Paths = Paths.both
    combine: Combine = Combine.learned
    rate1: float = 0.5
    rate2: float = 0.5
    shift: Shift = Shift.learned
    position: bool = True
    implementation: Implementation = Implementation.auto


@dataclass
class SASAConfig:
    """Stand-alone self-attention: the attention path of ACmix by itself (Ramachandran et al. 2019)."""

    name: str = "sasa"
    _target_: str = "yolo26_attention.attention.sasa.SASA"
    heads: int = 4
    kernel_att: int = 7  # side of the window in pixels, odd
    dilation: int = 1  # pixels between neighbouring keys
    position: bool = True  # relative positions in the logits
    implementation: Implementation = Implementation.auto


@dataclass
class NeighbourhoodConfig:
    """Neighbourhood attention: windowed attention with nothing added (Hassani et al. 2023)."""

    name: str = "neighbourhood"
    _target_: str = "yolo26_attention.attention.neighbourhood.NeighbourhoodAttention"
    heads: int = 4
    kernel_att: int = 7  # side of the window in pixels, odd
    dilation: int = 1  # pixels between neighbouring keys
    implementation: Implementation = Implementation.auto


@dataclass
class SimAMConfig:
    """Each pixel weighted by how far it is from its channel's mean; no parameters (Yang et al. 2021)."""

    name: str = "simam"
    _target_: str = "yolo26_attention.attention.simam.SimAM"
    e_lambda: float = 1e-4  # added to the variance, the paper's lambda


@dataclass
class AreaConfig:
    """Area attention: attention within strips of the map, and a 7x7 position convolution (Tian et al. 2025).

    Ultralytics' own class. Where area does not divide H * W, the last row is repeated until area divides the rows, and
    cut off again. The paper and yolo12.yaml use 4 areas; 1, the class's own default, is attention over the whole map.
    """

    name: str = "area"
    _target_: str = "yolo26_attention.detector.from_ultralytics.AreaAttention"
    heads: int | None = None  # null: one per 32 channels, as A2C2f has it
    area: int = 4  # number of strips


@dataclass
class PSAConfig:
    """Position-sensitive attention: attention over the whole map, then a feed-forward layer (Wang et al. 2024).

    Ultralytics' own PSABlock. C2PSA, stock in YOLO26, has this block behind a split and one head per 64 channels.
    """

    name: str = "psa"
    _target_: str = "yolo26_attention.detector.from_ultralytics.psa"
    heads: int = 4
    attn_ratio: float = 0.5  # channels of a key over those of a head
    shortcut: bool = True  # add the input to the output, around both halves


ATTENTION_SCHEMAS = {
    "baseline": BaselineConfig,
    "acmix": ACmixConfig,
    "sasa": SASAConfig,
    "neighbourhood": NeighbourhoodConfig,
    "simam": SimAMConfig,
    **TIMM_SCHEMAS,
    "area": AreaConfig,
    "psa": PSAConfig,
}


def resolve_options(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The class of a mechanism, as a dotted path, and all its options as plain values, from those that differ.

    Args:
        name: one of ATTENTION_SCHEMAS but the baseline, or the dotted path of a class of one's own.
        options: keyword arguments; of a class of one's own they are taken as they are.

    Raises:
        ValueError: for an unknown name, and for an option that the mechanism does not have or cannot read.
    """
    schema = ATTENTION_SCHEMAS.get(name)
    if schema is None and "." in name:
        return name, dict(options)
    if schema is None or schema is BaselineConfig:
        known = ", ".join(known for known in ATTENTION_SCHEMAS if known != "baseline")
        raise ValueError(f"{name} is no attention; choose one of {known}, or give the dotted path of a class")
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
